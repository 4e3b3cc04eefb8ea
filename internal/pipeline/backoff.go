package pipeline

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff is a capped exponential back-off with full jitter above a half: attempt n waits between 0.5 and 1 times
// min(Max, Min * 2^n), so that lanes that failed together do not come back together.
type Backoff struct{ Min, Max time.Duration }

// Delay of the n-th repeat, counted from 0.
func (b Backoff) Delay(n int) time.Duration {
	d := b.Min
	for range n {
		if d >= b.Max {
			break
		}
		d *= 2
	}
	d = min(d, b.Max)
	if d <= 0 {
		return 0
	}
	return d/2 + rand.N(d/2+1)
}

// sleep waits, or returns the context's cause.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
