package pipeline

import (
	"context"
	"sync"
	"time"
)

// openAfter is the number of calls that must fail in a row before the breaker opens. One failed call is a hiccup; three
// are a sick sink, and its batches need not stay in memory.
const openAfter = 3

// breaker holds a sink's calls back while it fails. Closed it lets every call pass, but after a failure only when the
// back-off is over; open it lets one call at a time try.
type breaker struct {
	backoff Backoff

	mu      sync.Mutex
	failed  int       // calls in a row
	until   time.Time // no call before
	probing bool
	changed chan struct{} // closed and replaced at every change
}

func newBreaker(b Backoff) *breaker {
	return &breaker{backoff: b, changed: make(chan struct{})}
}

// wait returns when a call may be made. The caller must then call done exactly once.
func (b *breaker) wait(ctx context.Context) error {
	for {
		ok, changed, left := b.ask()
		if ok {
			return nil
		}
		if err := b.pause(ctx, changed, left); err != nil {
			return err
		}
	}
}

// try is wait without waiting: done must be called only if it answers true.
func (b *breaker) try() bool {
	ok, _, _ := b.ask()
	return ok
}

func (b *breaker) ask() (ok bool, changed <-chan struct{}, left time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	open := b.failed >= openAfter
	if !now.Before(b.until) && !(open && b.probing) {
		b.probing = open
		return true, nil, 0
	}
	return false, b.changed, b.until.Sub(now)
}

func (b *breaker) pause(ctx context.Context, changed <-chan struct{}, left time.Duration) error {
	if left <= 0 {
		left = b.backoff.Max // another call probes: changed tells when it is back
	}
	t := time.NewTimer(left)
	defer t.Stop()
	select {
	case <-t.C:
	case <-changed:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// done reports a call's outcome; after is the time the sink asked for, if any.
func (b *breaker) done(ok bool, after time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
	if ok {
		b.failed, b.until = 0, time.Time{}
	} else {
		b.until = time.Now().Add(max(b.backoff.Delay(b.failed), after))
		b.failed++
	}
	close(b.changed)
	b.changed = make(chan struct{})
}

// cancelled gives a call back that was not made, or whose outcome says nothing about the sink.
func (b *breaker) cancelled() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
	close(b.changed)
	b.changed = make(chan struct{})
}

// open tells whether the sink is taken for sick.
func (b *breaker) open() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failed >= openAfter
}

// pauseLeft is the time until the next call may be made.
func (b *breaker) pauseLeft() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return max(0, time.Until(b.until))
}

// failing tells whether the last call failed.
func (b *breaker) failing() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failed > 0
}
