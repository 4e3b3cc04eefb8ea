package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"time"

	"sluice/internal/record"
)

// Spool keeps batches of sinks that are down, durably and outside the source. It may be used concurrently.
type Spool interface {
	// Where names the spool: equal for every process that reaches the same one, and without white space.
	Where() string
	// Put stores a batch durably. If one is there already that begins at the same position, that is checked and kept,
	// and its end returned: it is of the same claim.
	Put(ctx context.Context, id SpoolID, b *SpoolBatch) (to uint32, err error)
	// Starts yields where batches begin, ascending. It ends after its first error.
	Starts(ctx context.Context, id SpoolID) iter.Seq2[Position, error]
	// Head reads what is known of the batch that begins there, or ErrNotSpooled.
	Head(ctx context.Context, id SpoolID, start Position) (SpoolHead, error)
	// Read returns elements of that batch, from a claim's index on, under the bounds of Stream.Read.
	Read(ctx context.Context, id SpoolID, start Position, index, max uint32, limit int64) ([]Element, error)
	// Remove deletes a batch; one that is not there is deleted.
	Remove(ctx context.Context, id SpoolID, start Position) error
}

// ErrNewer says that a newer version of sluice has written what was to be read. It is whole, and that version can go on with it.
var ErrNewer = errors.New("a newer version of sluice has written it")

// SpoolID names the spool of one sink on one stream.
type SpoolID struct {
	Lineage string
	Sink    string
}

// SpoolHead is a spooled batch without its elements: a range of a claim, with what a delivery needs to know of the claim.
type SpoolHead struct {
	Source    string          `json:"source"` // labels, as in StreamID
	List      string          `json:"list"`
	Kind      Kind            `json:"kind"`
	Format    record.Format   `json:"format"`
	Claim     ClaimID         `json:"claim"`
	ClaimTime time.Time       `json:"claim_time"`
	ClaimLen  uint32          `json:"claim_len"`
	From      uint32          `json:"from"`
	To        uint32          `json:"to"`
	Shape     json.RawMessage `json:"shape"` // the ClaimShape recorded with the claim
}

// SpoolBatch is a batch on its way to the spool.
type SpoolBatch struct {
	SpoolHead
	Elements []Element // To-From of them
}

// claim is the batch as if it were a claim of its own, so that it is delivered like one.
func (h *SpoolHead) claim(sink string) Claim {
	return Claim{ID: h.Claim, Len: h.To, Time: h.ClaimTime, Owes: []string{sink}, Shape: h.Shape}
}

// spooledElements reads what a cache wants from the batch in hand. It implements elements.
type spooledElements struct {
	place Spool
	id    SpoolID
	start Position
	head  SpoolHead
}

func (e *spooledElements) Kind() Kind            { return e.head.Kind }
func (e *spooledElements) Format() record.Format { return e.head.Format }

func (e *spooledElements) Read(ctx context.Context, _ ClaimID, index, max uint32, limit int64) ([]Element, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, spoolTimeout, errSpoolTimeout)
	defer cancel()
	return e.place.Read(ctx, e.id, e.start, index, max, limit)
}
