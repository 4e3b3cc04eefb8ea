package mongoraw

import (
	"slices"
	"sync"

	"sluice/internal/pipeline"
)

// tally gathers what became of a batch's items. What it is not told about has taken effect.
type tally struct {
	mu       sync.Mutex
	items    int
	filtered int
	deadly   []pipeline.Dead
	again    []int
	err      error // why items are to be repeated; a fatal reason stays, else the first
}

func newTally(items int) *tally { return &tally{items: items} }

func (t *tally) filter() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.filtered++
}

func (t *tally) dead(item int, reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.deadly = append(t.deadly, pipeline.Dead{Item: item, Reason: reason})
}

func (t *tally) retry(items []int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.again = append(t.again, items...)
	if class, _ := pipeline.Classify(err); t.err == nil || class == pipeline.FatalError {
		t.err = err
	}
}

// result is the answer to Write. When nothing was settled it is the error itself.
func (t *tally) result() (pipeline.Result, error) {
	slices.SortFunc(t.deadly, func(a, b pipeline.Dead) int { return a.Item - b.Item })
	result := pipeline.Result{Filtered: t.filtered, Dead: t.deadly}
	switch len(t.again) {
	case 0:
		return result, nil
	case t.items:
		return pipeline.Result{}, t.err
	}
	slices.Sort(t.again)
	return result, &pipeline.PartialError{Retry: t.again, Err: t.err}
}
