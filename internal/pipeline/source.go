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

// Element is one list element.
type Element struct {
	Payload []byte
	Len     int64 // the true length; larger than len(Payload) when the element was cut
	Hash    uint64
}

// Settled is a range of a claim that a sink is done with, and what became of it.
type Settled struct {
	Claim    ClaimID
	From, To uint32
	Counts   Counts
}

// Counts are the ledger's columns, counted by position.
type Counts struct {
	Effective   uint64 `json:"effective"`
	Duplicates  uint64 `json:"duplicates"`
	Filtered    uint64 `json:"filtered"`
	DeadLetters uint64 `json:"dead_letters"`
	Spooled     uint64 `json:"spooled"`
	Pending     uint64 `json:"pending"`
}
