package sinktest_test

import (
	"context"
	"encoding/json"
	"maps"
	"testing"
	"time"

	"sluice/internal/pipeline"
	"sluice/sinks/sinktest"
)

// store is what the two sinks below write to: records by ID, as a store keyed by ID has them.
type store struct{ rows map[string]int }

type base struct{}

func (base) Open(ctx context.Context) error  { return ctx.Err() }
func (base) Shape() json.RawMessage          { return json.RawMessage(`{}`) }
func (base) Takes(k pipeline.Kind) bool      { return k == pipeline.Analytics }
func (base) Close(ctx context.Context) error { return nil }

type writer struct {
	base
	s *store
}

func (w writer) Write(ctx context.Context, b *pipeline.Batch) (pipeline.Result, error) {
	for i, it := range b.Items {
		if ctx.Err() != nil {
			return pipeline.Result{}, &pipeline.PartialError{Retry: span(i, len(b.Items)), Err: ctx.Err()}
		}
		w.s.rows[it.ID.String()] = 1
	}
	return pipeline.Result{}, nil
}

func span(from, to int) (out []int) {
	for ; from < to; from++ {
		out = append(out, from)
	}
	return out
}

type gatherer struct {
	base
	s    *store
	rows map[string]int
	ends map[string]pipeline.Mark
}

func (g *gatherer) Add(ctx context.Context, b *pipeline.Batch) (pipeline.Result, error) {
	if len(g.rows) > 700 {
		return pipeline.Result{}, pipeline.ErrFull
	}
	for _, it := range b.Items {
		g.rows[it.ID.String()] = 1
	}
	g.ends[b.Stream.Lineage] = pipeline.Mark{Stream: b.Stream, Pos: b.End()}
	return pipeline.Result{}, nil
}

func (g *gatherer) Due() time.Time { return time.Time{} }

func (g *gatherer) Flush(ctx context.Context, all bool) (p pipeline.Progress, err error) {
	if err := ctx.Err(); err != nil {
		return p, err
	}
	maps.Copy(g.s.rows, g.rows)
	clear(g.rows)
	for _, m := range g.ends {
		p.Settled = append(p.Settled, m)
	}
	clear(g.ends)
	return p, nil
}

func (g *gatherer) Forget(s pipeline.StreamID) { delete(g.ends, s.Lineage) }

func harness(s *store, open func(testing.TB) pipeline.Sink) sinktest.Harness {
	return sinktest.Harness{Open: open, Effects: func(testing.TB) map[string]int { return s.rows }}
}

func TestWriterKeyedByID(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Harness {
		s := &store{rows: map[string]int{}}
		return harness(s, func(testing.TB) pipeline.Sink { return writer{s: s} })
	})
}

func TestGathererKeyedByID(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Harness {
		s := &store{rows: map[string]int{}}
		return harness(s, func(testing.TB) pipeline.Sink {
			return &gatherer{s: s, rows: map[string]int{}, ends: map[string]pipeline.Mark{}}
		})
	})
}
