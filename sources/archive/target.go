package archive

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"sluice/internal/pipeline"
)

// Target is a sink that rows are replayed into, and how. Its methods are for one goroutine at a time.
type Target struct {
	Name     string
	Sink     pipeline.Writer
	Filter   Filter        // the sink's own
	Timeout  time.Duration // of one call
	Retry    pipeline.Backoff
	Patience time.Duration // after which a sink that fails all the time is given up
	Shape    pipeline.Shape
	// ByID tells that the sink knows records by their ID and never looks at positions: rows of many claims go together.
	ByID bool
	Log  *slog.Logger

	Counts Counts

	moved bool // the last call settled some of its items
}

// Counts tell what became of the rows that a target was given.
type Counts struct {
	Written  int64 `json:"written"`  // took effect now or earlier
	Filtered int64 `json:"filtered"` // left out by the sink's filters or nature
	Refused  int64 `json:"refused"`  // the store refuses them for good; they stay in the archive
}

// Open opens the sink, again and again while its store may come back.
func (t *Target) Open(ctx context.Context) error {
	return t.again(ctx, func(ctx context.Context) error { return t.Sink.Open(ctx) }, func(err error) bool {
		class, _ := pipeline.Classify(err)
		return class == pipeline.FatalError
	})
}

// again calls do until it succeeds, hopeless says that it never will, or the target's patience ends.
func (t *Target) again(ctx context.Context, do func(context.Context) error, hopeless func(error) bool) error {
	began := time.Now()
	for n := 0; ; n++ {
		call, cancel := context.WithTimeout(ctx, t.Timeout)
		err := do(call)
		cancel()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case hopeless(err):
			return fmt.Errorf("sink %s: %w", t.Name, err)
		case t.moved: // some of its records were taken: it is slow, not down
			t.moved, began, n = false, time.Now(), 0
		case time.Since(began) > t.Patience:
			return fmt.Errorf("sink %s is given up after %s: %w", t.Name, t.Patience, err)
		}
		if n == 0 {
			t.Log.Warn("the sink fails; it is tried again", "sink", t.Name, "err", err)
		}
		_, after := pipeline.Classify(err)
		if err := pause(ctx, max(t.Retry.Delay(min(n, 1<<10)), after)); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// write makes a batch durable: what fails is repeated by item, what fails as a whole for good is split until the culprit
// stands alone.
func (t *Target) write(ctx context.Context, b pipeline.Batch) error {
	if len(b.Items) == 0 {
		return nil
	}
	var split error
	err := t.again(ctx, func(ctx context.Context) error {
		res, err := t.Sink.Write(ctx, &b)
		var partial *pipeline.PartialError
		switch class, _ := pipeline.Classify(err); {
		case err == nil:
			t.note(&b, res, len(b.Items))
			return nil
		case errors.As(err, &partial) && len(partial.Retry) > 0:
			t.note(&b, res, len(b.Items)-len(partial.Retry))
			t.moved = len(partial.Retry) < len(b.Items)
			b.Items = only(b.Items, partial.Retry)
			return err
		case class == pipeline.PermanentBatch:
			split = err
			return nil
		}
		return err
	}, func(error) bool { return false })
	switch {
	case err != nil || split == nil:
		return err
	case len(b.Items) == 1:
		t.refuse(&b, 0, split.Error())
		return nil
	}
	first, second := b, b
	middle := len(b.Items) / 2
	first.Items, second.Items = b.Items[:middle], b.Items[middle:]
	first.To, second.From = second.Items[0].Index, second.Items[0].Index
	if err := t.write(ctx, first); err != nil {
		return err
	}
	return t.write(ctx, second)
}

func only(items []pipeline.Item, retry []int) []pipeline.Item {
	out := make([]pipeline.Item, len(retry))
	for i, at := range retry {
		out[i] = items[at]
	}
	return out
}

// note counts what became of the settled items of a batch.
func (t *Target) note(b *pipeline.Batch, res pipeline.Result, settled int) {
	t.Counts.Filtered += int64(res.Filtered)
	t.Counts.Written += int64(settled - res.Filtered - len(res.Dead))
	for _, d := range res.Dead {
		t.refuse(b, d.Item, d.Reason)
	}
}

// saidRefusals is how many refused records are named in the log.
const saidRefusals = 10

func (t *Target) refuse(b *pipeline.Batch, item int, why string) {
	if t.Counts.Refused++; t.Counts.Refused <= saidRefusals {
		t.Log.Warn("the sink refuses a record for good; it stays in the archive", "sink", t.Name,
			"record", b.Items[item].ID.String(), "list", b.Stream.List, "reason", why)
	}
}
