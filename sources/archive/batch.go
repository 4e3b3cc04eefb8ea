package archive

import (
	"context"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	format "sluice/internal/archive"
	"sluice/internal/pipeline"
)

// perRow is about what a row weighs in memory beside its strings, in bytes.
const perRow = 1 << 10

// batches cuts rows into batches for targets.
type batches struct {
	limits pipeline.Batching
	now    time.Time // of the replay's begin: decides what is too old for a store
	rows   []format.Row
	bytes  int64
}

// add takes a row and tells whether the rows make a batch now.
func (b *batches) add(r *format.Row) bool {
	b.rows = append(b.rows, *r)
	b.bytes += perRow + int64(len(r.Record.RawRequest)+len(r.Record.RawResponse)+len(r.Record.Path)+len(r.Record.UserAgent))
	return len(b.rows) >= b.limits.Records || b.bytes >= b.limits.Bytes
}

// take gives the rows away.
func (b *batches) take() []format.Row {
	rows := b.rows
	b.rows, b.bytes = nil, 0
	return rows
}

// deliver writes rows into all targets, side by side, and returns when they are durable everywhere.
func (b *batches) deliver(ctx context.Context, targets []*Target, rows []format.Row) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, t := range targets {
		g.Go(func() error {
			for _, run := range t.runs(rows) {
				if err := t.write(ctx, t.batch(run, b.now)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// runs cuts rows so that each run may be one batch: of one list, and for a sink that looks at positions of one claim and
// ascending.
func (t *Target) runs(rows []format.Row) (out [][]format.Row) {
	for len(rows) > 0 {
		n := 1
		for n < len(rows) && t.together(&rows[n-1], &rows[n]) {
			n++
		}
		out, rows = append(out, rows[:n]), rows[n:]
	}
	return out
}

func (t *Target) together(a, b *format.Row) bool {
	if a.Stream != b.Stream {
		return false
	}
	return t.ByID || a.Position.Claim == b.Position.Claim && a.Position.Index < b.Position.Index
}

// batch makes a batch of a run, without what the sink's filters leave out. For a sink that knows records by their ID the
// indices are only an order.
func (t *Target) batch(run []format.Row, now time.Time) pipeline.Batch {
	first, last := &run[0], &run[len(run)-1]
	out := pipeline.Batch{
		Stream: first.Stream, Kind: pipeline.Analytics, Claim: first.Position.Claim, ClaimTime: now,
		From: first.Position.Index, To: last.Position.Index + 1, Items: make([]pipeline.Item, 0, len(run)), Shape: t.Shape,
	}
	if t.ByID {
		out.From, out.To = 0, uint32(len(run))
	}
	for i := range run {
		r := &run[i]
		if !t.Filter.Passes(r.Record) {
			t.Counts.Filtered++
			continue
		}
		index := r.Position.Index
		if t.ByID {
			index = uint32(i)
		}
		out.Items = append(out.Items, pipeline.Item{Index: index, ID: r.ID, Record: r.Record})
	}
	out.Items = slices.Clip(out.Items)
	return out
}
