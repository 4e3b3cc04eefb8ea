package pipeline

import (
	"context"
	"time"

	"sluice/internal/record"
)

// Source finds streams and hands them to the pipeline. Run returns when ctx is done and every stream it handed over
// has been given back, or with an error that stops the program (Fatal).
type Source interface {
	Name() string
	Run(ctx context.Context, p Drain) error
}

// Drain is what a source is given: the consumer of its streams.
type Drain interface {
	// Gained hands over a stream. The drain works on it until the stream's Done is closed.
	Gained(Stream)
	// Owes is what a claim made now of a stream of that kind owes.
	Owes(Kind) Owed
	// Willing tells whether any sink takes data at the moment. While none does, a source claims only as often as its
	// lists' TTL demands.
	Willing() bool
}

// Owed is recorded with a claim: the sinks it owes and what shapes their effects, content-addressed by Key.
type Owed struct {
	Sinks []string // names, sorted
	Key   string   // hash of JSON
	JSON  []byte   // canonical encoding of a ClaimShape
	Local bool     // some of the sinks keep their store on the state directory's machine

	LocalSinks []string // which
}

// Claim is an open claim of a stream.
type Claim struct {
	ID     ClaimID
	Len    uint32
	Time   time.Time // the server's
	Owes   []string
	Shape  []byte            // JSON of the ClaimShape recorded with it
	Cursor map[string]uint32 // by owed sink, as of when the stream was gained; missing means 0
}

// Stream is a leased list. Its methods may be called concurrently. Every method fails once Done is closed.
type Stream interface {
	ID() StreamID
	Kind() Kind
	Format() record.Format
	// Done is closed when the stream is not ours any more, or what was remembered of it is void (connection lost, new
	// epoch, lease lost): everything in memory counts for nothing, the same list may be gained anew.
	Done() <-chan struct{}
	// Claims are the open claims, in order, that may be delivered from (replicated as demanded). Changed is closed when
	// a claim was added after the call.
	Claims() (claims []Claim, changed <-chan struct{})
	// Read returns elements of a claim from index on, at least one and at most max, and no more bytes than limit after
	// the first; fewer than max only at the claim's end or for the limit. An element longer than the source's bound
	// comes cut, with its true length.
	Read(ctx context.Context, claim ClaimID, index, max uint32, limit int64) ([]Element, error)
	// Settle moves a sink's cursor over the given ranges, books their counts and trims, in one atomic step that may be
	// repeated. Ranges are consecutive and begin at the cursor.
	Settle(ctx context.Context, sink string, ranges []Settled) error
	// Members of the stream for a sink.
	Members(sink string) Members
}

// ArenaReader is a Stream that can read into memory which is used again.
type ArenaReader interface {
	// ReadInto is Stream.Read, but for where the elements lie: in the arena, as far as they fit its blocks. They are
	// gone with the arena's next use.
	ReadInto(ctx context.Context, claim ClaimID, index, max uint32, limit int64, into *Arena) ([]Element, error)
}

// Spoolable is a Stream whose records may leave it for a sink's spool, and that knows when they should.
type Spoolable interface {
	// Short says why records that came at that time, by the server's clock, may not wait in the source any longer; empty
	// when they may. A zero time asks for the source's memory alone.
	Short(oldest time.Time) string
	// Spools are the runs of the stream's records that lie in spools, by sink. The sink gets them before anything else.
	Spools() map[string]Spooled
	// Replicated returns when what Spools and Members showed as the stream was gained is as durable as a claim must be to be
	// delivered from. Nothing is delivered from a spool before.
	Replicated(ctx context.Context) error
	// SettleSpooled moves a sink's cursor like Settle, over a range that lies in the spool where from now on: behind
	// what lies there already.
	SettleSpooled(ctx context.Context, sink, where string, r Settled) error
	// Unspool books consecutive ranges, from the spool's beginning on, as what became of them, in one atomic step that
	// may be repeated. When it returns nil, they are not needed any more.
	Unspool(ctx context.Context, sink string, ranges []Settled) error
}

// Spooled is a run of positions of a stream, of those that a sink is owed, that lies in the sink's spool.
type Spooled struct {
	From, To Position
	Where    string // names the spool
}

// Noter is a Stream that keeps notes of sinks with their cursors: set and moved in one step.
type Noter interface {
	// Note is that of the cursor as of when the stream was gained; empty when there is none.
	Note(sink string) string
}

// Brief is a Stream that ends when what it was handed over with is settled: its records are flushed as soon as they are
// gathered, since it has nothing to wait for.
type Brief interface {
	Brief() bool
}

// Element is one list element.
type Element struct {
	Payload []byte
	Len     int64 // the true length; larger than len(Payload) when the element was cut
	Hash    uint64
	ID      record.ID // what the record is known by where it comes from; zero: its time and its hash make it
	Repeat  bool      // the source's own state has it already: it counts as a duplicate in every sink
	Absent  bool      // the source has nothing at this index, which is counted nowhere: what it follows has it elsewhere
	Dead    string    // why no sink can take it; empty when nothing is known against it
}

// id is the record ID of an element whose record is of a time.
func (e *Element) id(t time.Time) record.ID {
	if e.ID != (record.ID{}) {
		return e.ID
	}
	return record.MakeID(t, e.Hash)
}

// Settled is a range of a claim that a sink is done with, and what became of it.
type Settled struct {
	Claim    ClaimID
	From, To uint32
	Counts   Counts
	Note     string    // Result.Note; empty leaves what is kept as it is
	Claimed  time.Time // when the claim was made; only of what is shed, so that its hours are kept

	unspooled bool // it came from the spool
}

// Counts are the ledger's columns, counted by position.
type Counts struct {
	Effective   uint64 `json:"effective"`
	Duplicates  uint64 `json:"duplicates"`
	Filtered    uint64 `json:"filtered"`
	DeadLetters uint64 `json:"dead_letters"`
	Spooled     uint64 `json:"spooled"`
	Pending     uint64 `json:"pending"`
	Shed        uint64 `json:"shed,omitempty"` // the part of filtered that there was no room for
}
