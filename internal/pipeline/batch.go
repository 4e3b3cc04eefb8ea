package pipeline

import (
	"context"
	"encoding/json"
	"time"

	"sluice/internal/record"
)

// StreamID names where records come from: a list of a source. Only Lineage identifies; the others are labels.
type StreamID struct {
	Source  string
	List    string
	Lineage string // 32 lower-case hex characters, random, created with the list's registry
}

// Kind tells what a stream carries.
type Kind uint8

// The kinds of records.
const (
	Analytics Kind = iota
	Uptime
)

// Item is one record of a batch. Exactly one of Record and Uptime is set, by the stream's kind.
type Item struct {
	Index  uint32 // within the claim
	ID     record.ID
	Record *record.Record
	Uptime *record.Uptime
	Raw    []byte // the payload as it came; not to be written to
}

// Batch is a run of consecutive positions of one claim, as one sink gets it: what was masked, dropped, poisoned or
// filtered for that sink is not among its Items. It may be cut anew at any delivery. A batch and everything it points
// to is valid only until the call it was passed to returns, and is never written to by a sink.
type Batch struct {
	Stream    StreamID
	Kind      Kind
	Claim     ClaimID
	ClaimTime time.Time // the server's time when the claim was made: what decides instead of now
	From, To  uint32    // the index range [From, To) this batch stands for
	Items     []Item    // ascending by Index, all within [From, To); may be empty
	Shape     Shape     // what shapes this sink's effects, as recorded with the claim
	Members   Members   // of this sink and stream
	Note      string    // Result.Note of what was settled, or will be, right before this batch; empty when there is none
}

// First and End are the batch's range as positions.
func (b *Batch) First() Position { return Position{b.Claim, b.From} }

// End is the position right behind the batch.
func (b *Batch) End() Position { return Position{b.Claim, b.To} }

// Shape is what of a sink's configuration shapes its effects, in the sink's own JSON (Sink.Shape), as it was recorded
// when the claim was made: a changed configuration takes effect with the next claim only. Key is equal for equal
// shapes and never empty.
type Shape struct {
	Key    string
	JSON   json.RawMessage
	Record RecordShape // what shaped the records before every sink
}

// RecordShape names what was done to the records before any sink saw them, and which of them the sink gets. An archive's
// manifest repeats it.
type RecordShape struct {
	Region     string   `json:"region"`
	Masks      []Mask   `json:"masks,omitempty"`
	DropBodies bool     `json:"drop_bodies,omitempty"`
	Accept     Accept   `json:"accept"`
	Filters    *Filters `json:"filters,omitempty"`
}

// Mask hides a field of every record before it is stored anywhere.
type Mask struct {
	Field  string `json:"field" yaml:"field"`
	Action string `json:"action" yaml:"action"`
}

// Accept is the window around the claim's time within which a record's own time must lie.
type Accept struct {
	Past   time.Duration `json:"past"`
	Future time.Duration `json:"future"`
}

// Filters choose the records a sink gets. Empty lists choose all; a skip list wins.
type Filters struct {
	OrgIDs            []string `json:"org_ids,omitempty" yaml:"org_ids"`
	APIIDs            []string `json:"api_ids,omitempty" yaml:"api_ids"`
	ResponseCodes     []int    `json:"response_codes,omitempty" yaml:"response_codes"`
	SkipOrgIDs        []string `json:"skip_org_ids,omitempty" yaml:"skip_org_ids"`
	SkipAPIIDs        []string `json:"skip_api_ids,omitempty" yaml:"skip_api_ids"`
	SkipResponseCodes []int    `json:"skip_response_codes,omitempty" yaml:"skip_response_codes"`
}

// MemberRange is the run of positions [From, To) of one stream that a gathering sink puts into its next objects
// together. Tag is the sink's own and opaque.
type MemberRange struct {
	From, To Position
	Tag      string
}

// Members lets a gathering sink fix, before the first byte leaves, which positions its next objects hold, so that
// whoever repeats them after a crash makes the same ones. There is at most one recorded range a stream and sink; it
// is cleared when the sink's cursor has passed its end.
type Members interface {
	// Recorded is the range that was recorded and is not settled yet. The pipeline never cuts a batch across its end.
	Recorded() (MemberRange, bool)
	// Record makes the range durable, and replicated, before it returns nil. A range that is recorded already is an
	// error unless it is equal.
	Record(ctx context.Context, m MemberRange) error
}
