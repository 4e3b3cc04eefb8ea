// Package tally gathers, item by item, what became of a batch that a writer sends in several requests, and makes of it
// the answer that pipeline.Writer asks for.
package tally

import (
	"slices"
	"sync"

	"sluice/internal/pipeline"
)

// Tally is told about the items that did not take effect; an item that it is told nothing about has. Each item is told
// about once at most. Its methods may be called concurrently.
type Tally struct {
	mu       sync.Mutex
	items    int
	filtered int
	dead     []pipeline.Dead
	retry    []int
	err      error
}

// New begins the tally of a batch of so many items.
func New(items int) *Tally { return &Tally{items: items} }

// Filter says that an item is left out by the sink's nature.
func (t *Tally) Filter() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.filtered++
}

// Dead says that an item can never be delivered, and why.
func (t *Tally) Dead(item int, reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dead = append(t.dead, pipeline.Dead{Item: item, Reason: reason})
}

// Retry says that items are to be repeated, and why. Of several reasons the first fatal one is reported, else the one
// that asks for the longest wait, else the first.
func (t *Tally) Retry(items []int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.retry = append(t.retry, items...)
	if t.err == nil || graver(err, t.err) {
		t.err = err
	}
}

func graver(a, b error) bool {
	aClass, aWait := pipeline.Classify(a)
	bClass, bWait := pipeline.Classify(b)
	if aFatal, bFatal := aClass == pipeline.FatalError, bClass == pipeline.FatalError; aFatal != bFatal {
		return aFatal
	}
	return aWait > bWait
}

// Result is the answer to Write: the reason alone when every item is to be repeated, a *pipeline.PartialError when some
// are.
func (t *Tally) Result() (pipeline.Result, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	slices.SortFunc(t.dead, func(a, b pipeline.Dead) int { return a.Item - b.Item })
	result := pipeline.Result{Filtered: t.filtered, Dead: t.dead}
	switch {
	case len(t.retry) == 0:
		return result, nil
	case len(t.retry) == t.items:
		return pipeline.Result{}, t.err
	}
	slices.Sort(t.retry)
	return result, &pipeline.PartialError{Retry: t.retry, Err: t.err}
}
