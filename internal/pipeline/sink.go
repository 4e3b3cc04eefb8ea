package pipeline

import (
	"context"
	"encoding/json"
	"time"
)

// Sink is a destination. A concrete sink is also a Writer or a Gatherer.
type Sink interface {
	// Open connects and prepares the store (collections, indexes, templates). The pipeline calls it until it succeeds,
	// with back-off, before anything else; it must be repeatable. A Fatal error stops the program: only what an
	// operator must cure is fatal. ctx ends with the attempt, not with the sink.
	Open(ctx context.Context) error
	// Shape is what of the configuration shapes this sink's effects (bucket, layout, prefix, ...), in an encoding that
	// is equal for equal settings. It comes back with every batch that was claimed under it. What only says where the
	// store is, or how it is reached, does not belong in it. It holds no secret.
	Shape() json.RawMessage
	// Takes tells whether the sink takes records of that kind at all.
	Takes(Kind) bool
	// Close frees what Open made. Nothing is in flight when it is called; it is called once, also without Open.
	Close(ctx context.Context) error
}

// Writer makes a batch durable before it returns. Calls for different streams may come at the same time, those of one
// stream one after another and in order.
type Writer interface {
	Sink
	// Write makes every item's effect durable, exactly once however often it is called with the same items, cut in any
	// way. A nil error settles all items; *PartialError names those to be repeated and settles the rest; any other
	// error settles none (see Retry, RetryAfter, Permanent, Fatal).
	Write(ctx context.Context, b *Batch) (Result, error)
}

// Gatherer gathers many batches into fewer, larger writes. All its calls come from one goroutine, batches of a stream
// in order and without a gap.
type Gatherer interface {
	Sink
	// Add takes a batch over; it is settled by a later Flush. It keeps nothing that aliases the batch. ErrFull asks for a
	// Flush first; the same batch then comes again. After any other error nothing of the batch is kept.
	Add(ctx context.Context, b *Batch) (Result, error)
	// Due is when Flush should come next; zero when nothing is gathered. A time that has passed means at once.
	Due() time.Time
	// Flush makes durable what is due, or everything when all is set. Progress counts also beside an error: what it
	// names as settled is durable. After a retryable error Flush comes again; see Apart for one that leaves the rest well.
	Flush(ctx context.Context, all bool) (Progress, error)
	// Forget drops everything gathered of a stream that is not durable: the stream is lost, or comes again from its
	// cursor. What the sink knows of the store's state (positions read) may stay if it is checked at the next write.
	Forget(StreamID)
}

// Result tells what became of a batch's items other than taking effect.
type Result struct {
	Filtered   int    // items the sink leaves out by its nature (an MCP record in raw, say)
	Duplicates int    // items dropped because the sink's own kept state had them (Kafka repeats, replay)
	Dead       []Dead // items that can never be delivered: they become dead letters
	// Note, of a Writer that settles the whole batch, is kept with the cursor that passes it and comes back with the next
	// batch (Batch.Note). It is the sink's own and small; empty leaves the last one as it is.
	Note string
}

// Dead is an item that can never be delivered, and why.
type Dead struct {
	Item   int // index into Batch.Items
	Reason string
}

// Progress is what a Flush achieved.
type Progress struct {
	Settled []Mark     // for each stream named: everything below the position is durable
	Rewind  []StreamID // streams to be delivered again from their cursor; the sink has forgotten them already
}

// Mark is a position of a stream.
type Mark struct {
	Stream StreamID
	Pos    Position
}
