// Package sinktest is the contract every sink passes, over its real store: what is delivered takes effect exactly once,
// however it is cut, repeated, interrupted or reopened.
//
// A sink's test calls Run with a function that makes a Harness over an empty store. Run decodes captured gateway
// records, delivers them as the pipeline would (Driver), and asks the harness what took effect.
package sinktest

import (
	"context"
	"testing"

	"sluice/internal/pipeline"
)

// Harness is one store and the ways to it. Set Effects or Check, or both.
type Harness struct {
	// Open returns a new handle on the store, not yet opened; every call has the same store and configuration. The suite
	// opens and closes it.
	Open func(t testing.TB) pipeline.Sink
	// Effects tells how often each record took effect in the store, by Key. Nothing else may be in it.
	Effects func(t testing.TB) map[string]int
	// Key is how Effects names a record; nil means its record ID in hex. PositionKey suits sinks that store rows.
	Key func(d Delivered) string
	// Check holds the store against everything that was delivered, each record once. For sinks that store no records.
	Check func(t testing.TB, delivered []Delivered)
	// Wants tells whether a record takes effect in this sink at all; nil means that all do, of the kinds it takes.
	Wants func(it *pipeline.Item) bool
}

// Delivered is a record with its place.
type Delivered struct {
	Stream pipeline.StreamID
	Claim  pipeline.ClaimID
	Item   pipeline.Item
}

// PositionKey names a record by lineage and position.
func PositionKey(d Delivered) string {
	return d.Stream.Lineage + " " + pipeline.Position{Claim: d.Claim, Index: d.Item.Index}.String()
}

// IDKey names a record by its record ID.
func IDKey(d Delivered) string { return d.Item.ID.String() }

// Run runs the contract, each case over a store of its own that fresh makes.
func Run(t *testing.T, fresh func(t *testing.T) Harness) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			c.run(ctx, t, &suite{fresh(t)})
		})
	}
}

type suite struct{ Harness }

// open makes and opens a handle. Every handle is closed with the test at the latest.
func (s *suite) open(ctx context.Context, t *testing.T) pipeline.Sink {
	t.Helper()
	sink := s.Open(t)
	if err := sink.Open(ctx); err != nil {
		t.Fatalf("open: %v", err)
	}
	return sink
}

func (s *suite) close(t *testing.T, sink pipeline.Sink) {
	t.Helper()
	if err := sink.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Errorf("close: %v", err)
	}
}

// verify holds the store against what was delivered.
func (s *suite) verify(t *testing.T, sink pipeline.Sink, lists ...*List) {
	t.Helper()
	var all []Delivered
	for _, l := range lists {
		if sink.Takes(l.Kind) {
			all = append(all, l.delivered()...)
		}
	}
	if s.Check != nil {
		s.Check(t, all)
	}
	if s.Effects == nil {
		return
	}
	key := s.Key
	if key == nil {
		key = IDKey
	}
	want := make(map[string]int)
	for _, d := range all {
		if s.Wants == nil || s.Wants(&d.Item) {
			want[key(d)] = 1
		}
	}
	s.compare(t, want, s.Effects(t))
}

func (s *suite) compare(t *testing.T, want, got map[string]int) {
	t.Helper()
	missing, extra, twice := 0, 0, 0
	for k := range want {
		if got[k] == 0 {
			missing++
		}
	}
	for k, n := range got {
		if want[k] == 0 && n > 0 {
			extra++
		}
		if n > 1 {
			twice++
		}
	}
	if missing+extra+twice > 0 {
		t.Errorf("of %d records %d have no effect, %d have more than one, and there are %d effects of nothing that was delivered",
			len(want), missing, twice, extra)
	}
	if len(want) == 0 && s.Wants == nil && s.Check == nil {
		t.Error("nothing was delivered: the case proves nothing")
	}
}
