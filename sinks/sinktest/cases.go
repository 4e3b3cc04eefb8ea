package sinktest

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"

	"sluice/internal/pipeline"
	"sluice/internal/record"
)

var cases = []struct {
	name string
	run  func(context.Context, *testing.T, *suite)
}{
	{"delivers once", deliversOnce},
	{"opens twice", opensTwice},
	{"same cut again", sameCutAgain},
	{"other cuts again", otherCutsAgain},
	{"crash before the cursor", crashBeforeTheCursor},
	{"part of a batch again", partAgain},
	{"empty batches", emptyBatches},
	{"mixed kinds", mixedKinds},
	{"cancelled calls", cancelledCalls},
	{"closes without open", closesWithoutOpen},
	{"shape is stable", shapeIsStable},
}

// lists makes two lists of captured records, one with two claims.
func lists(t *testing.T) []*List {
	m, p := Captured(t, record.Msgpack), Captured(t, record.Protobuf)
	a, b := NewList("analytics-tyk-system-analytics_0"), NewList("analytics-tyk-system-analytics_0_protobuf")
	a.Add(m[:900])
	a.Add(m[900:1500])
	b.Add(p[:700])
	return []*List{a, b}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func deliversOnce(ctx context.Context, t *testing.T, s *suite) {
	sink, ls := s.open(ctx, t), lists(t)
	defer s.close(t, sink)
	must(t, NewDriver(sink).Deliver(ctx, ls...))
	s.verify(t, sink, ls...)
}

func opensTwice(ctx context.Context, t *testing.T, s *suite) {
	sink, ls := s.open(ctx, t), lists(t)
	must(t, sink.Open(ctx)) // Open is repeatable
	d := NewDriver(sink)
	must(t, d.Deliver(ctx, ls[0]))
	s.close(t, sink)
	sink = s.open(ctx, t) // and so is the store
	defer s.close(t, sink)
	must(t, d.Reopened(sink).Deliver(ctx, ls...))
	s.verify(t, sink, ls...)
}

func sameCutAgain(ctx context.Context, t *testing.T, s *suite) {
	sink, ls := s.open(ctx, t), lists(t)
	defer s.close(t, sink)
	d := NewDriver(sink)
	must(t, d.Deliver(ctx, ls...))
	for _, l := range ls {
		d.Back(l)
	}
	must(t, d.Deliver(ctx, ls...))
	s.verify(t, sink, ls...)
}

func otherCutsAgain(ctx context.Context, t *testing.T, s *suite) {
	sink, ls := s.open(ctx, t), lists(t)
	defer s.close(t, sink)
	rnd := rand.New(rand.NewPCG(1, 2))
	d := NewDriver(sink)
	d.Cut = func(n int) int { return 1 + rnd.IntN(400) }
	must(t, d.Deliver(ctx, ls...))
	for range 2 {
		for _, l := range ls {
			d.Back(l)
		}
		must(t, d.Deliver(ctx, ls...))
	}
	s.verify(t, sink, ls...)
}

// crashBeforeTheCursor kills handles at arbitrary places: what they had delivered comes again with other cuts.
func crashBeforeTheCursor(ctx context.Context, t *testing.T, s *suite) {
	ls := lists(t)
	rnd := rand.New(rand.NewPCG(3, 4))
	sink := s.open(ctx, t)
	d := NewDriver(sink)
	d.Cut = func(n int) int { return 1 + rnd.IntN(300) }
	for range 4 {
		for range 1 + rnd.IntN(3) {
			for _, l := range ls {
				_, err := d.Step(ctx, l)
				must(t, err)
			}
			if rnd.IntN(2) == 0 {
				must(t, d.Flush(ctx, rnd.IntN(2) == 0))
			}
		}
		// the effects of the last flush stay, its progress is lost with the process
		if g, ok := sink.(pipeline.Gatherer); ok && rnd.IntN(2) == 0 {
			_, err := g.Flush(ctx, true)
			must(t, err)
		}
		s.close(t, sink)
		sink = s.open(ctx, t)
		d = d.Reopened(sink)
	}
	defer s.close(t, sink)
	must(t, d.Deliver(ctx, ls...))
	s.verify(t, sink, ls...)
}

// partAgain repeats single items of a batch that has been settled, as after a partial error whose answer was lost. Only
// writers can be handed fewer items than a range has.
func partAgain(ctx context.Context, t *testing.T, s *suite) {
	sink, ls := s.open(ctx, t), lists(t)
	defer s.close(t, sink)
	d := NewDriver(sink)
	must(t, d.Deliver(ctx, ls...))
	if w, ok := sink.(pipeline.Writer); ok {
		b := Batch(sink, ls[0], &ls[0].Claims[1], 100, 400)
		items := b.Items
		b.Items = []pipeline.Item{items[3], items[150], items[299]}
		_, err := w.Write(ctx, b)
		must(t, err)
	} else {
		d.Back(ls[0])
		must(t, d.Deliver(ctx, ls[0]))
	}
	s.verify(t, sink, ls...)
}

// emptyBatches stand for ranges whose records were all filtered or dead: they settle like others.
func emptyBatches(ctx context.Context, t *testing.T, s *suite) {
	sink, ls := s.open(ctx, t), lists(t)
	defer s.close(t, sink)
	d := NewDriver(sink)
	hole := Batch(sink, ls[0], &ls[0].Claims[0], 0, 200)
	hole.Items = nil
	d.lists[ls[0].Stream.Lineage] = ls[0]
	must(t, d.deliver(ctx, hole))
	d.next[ls[0].Stream.Lineage] = hole.End()
	must(t, d.Flush(ctx, true))
	if d.Cursor(ls[0]).Compare(hole.End()) != 0 {
		t.Errorf("an empty batch was not settled: cursor %s", d.Cursor(ls[0]))
	}
	must(t, d.Deliver(ctx, ls...))
	ls[0].Claims[0].Items = ls[0].Claims[0].Items[200:]
	s.verify(t, sink, ls...)
}

func mixedKinds(ctx context.Context, t *testing.T, s *suite) {
	sink, ls := s.open(ctx, t), lists(t)
	defer s.close(t, sink)
	up := NewList("host-checker:tyk-uptime-analytics")
	up.Kind = pipeline.Uptime
	up.Add(Uptimes(50))
	ls = append(ls, up)
	if !sink.Takes(pipeline.Analytics) && !sink.Takes(pipeline.Uptime) {
		t.Fatal("the sink takes nothing")
	}
	must(t, NewDriver(sink).Deliver(ctx, ls...))
	s.verify(t, sink, ls...)
}

// cancelledCalls ends the context during calls; what happened then is not known, and it comes again.
func cancelledCalls(ctx context.Context, t *testing.T, s *suite) {
	sink, ls := s.open(ctx, t), lists(t)
	defer s.close(t, sink)
	d := NewDriver(sink)
	for i := range 6 {
		once, cancel := context.WithCancel(ctx)
		stop := make(chan struct{})
		go func() {
			defer close(stop)
			for range i * 2000 {
				_ = once.Err()
			}
			cancel()
		}()
		l := ls[i%len(ls)]
		if _, err := d.Step(once, l); err == nil {
			_ = d.Flush(once, true) // whatever it says, what it names as settled must be durable
		}
		<-stop
	}
	must(t, d.Deliver(ctx, ls...))
	s.verify(t, sink, ls...)
}

func closesWithoutOpen(ctx context.Context, t *testing.T, s *suite) {
	s.close(t, s.Open(t))
}

func shapeIsStable(ctx context.Context, t *testing.T, s *suite) {
	a := s.Open(t)
	before := a.Shape()
	must(t, a.Open(ctx))
	b := s.Open(t)
	if len(before) == 0 || !bytes.Equal(before, a.Shape()) || !bytes.Equal(before, b.Shape()) {
		t.Errorf("the shape differs: %s, %s, %s", before, a.Shape(), b.Shape())
	}
	s.close(t, a)
	s.close(t, b)
}
