package pipeline

import (
	"cmp"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// fakeGatherer gathers paths and makes them durable in a store that remembers how far each stream came, as a document's
// positions do.
type fakeGatherer struct {
	fakeSink
	store   *gatherStore
	folded  map[StreamID][]string
	ends    map[StreamID]Position
	known   Position
	full    int // batches before ErrFull
	adds    int
	flushes []error // answers of the next flushes, before they do anything
	lost    int     // flushes that succeed but whose reply is lost
	due     time.Time
	hold    time.Duration // until a flush is due; 0: two seconds
}

type gatherStore struct {
	counts map[string]int
	pos    Position
}

func newGatherer(st *gatherStore) *fakeGatherer {
	return &fakeGatherer{store: st, folded: map[StreamID][]string{}, ends: map[StreamID]Position{}}
}

func (g *fakeGatherer) Write() {} // not a Writer

func (g *fakeGatherer) Add(_ context.Context, b *Batch) (Result, error) {
	if g.full > 0 && g.adds >= g.full {
		return Result{}, ErrFull
	}
	g.adds++
	g.folded[b.Stream] = append([]string{}, g.folded[b.Stream]...) // there also when the store has all of it
	for i := range b.Items {
		if (Position{b.Claim, b.Items[i].Index}).Compare(g.known) >= 0 {
			g.folded[b.Stream] = append(g.folded[b.Stream], b.Items[i].Record.Path)
		}
	}
	g.ends[b.Stream] = b.End()
	if g.due.IsZero() {
		g.due = time.Now().Add(cmp.Or(g.hold, 2*time.Second))
	}
	return Result{}, nil
}

func (g *fakeGatherer) Due() time.Time { return g.due }

func (g *fakeGatherer) Flush(context.Context, bool) (Progress, error) {
	if len(g.flushes) > 0 {
		err := g.flushes[0]
		g.flushes = g.flushes[1:]
		if err != nil {
			return Progress{}, err
		}
	}
	var p Progress
	for id, paths := range g.folded {
		if g.known != g.store.pos { // compare and set: missed
			g.known = g.store.pos
			g.Forget(id)
			p.Rewind = append(p.Rewind, id)
			continue
		}
		for _, path := range paths {
			g.store.counts[path]++
		}
		g.store.pos = g.ends[id]
		if g.lost > 0 {
			g.lost--
			return Progress{}, errors.New("reply lost")
		}
		g.known = g.ends[id]
		p.Settled = append(p.Settled, Mark{id, g.ends[id]})
		g.Forget(id)
	}
	g.due, g.adds = time.Time{}, 0
	return p, nil
}

func (g *fakeGatherer) Forget(id StreamID) {
	delete(g.folded, id)
	delete(g.ends, id)
	if len(g.folded) == 0 {
		g.due = time.Time{}
	}
}

func (g *gatherStore) verify(t *testing.T, want int) {
	t.Helper()
	if len(g.counts) != want {
		t.Errorf("%d paths, want %d", len(g.counts), want)
	}
	for path, n := range g.counts {
		if n != 1 {
			t.Errorf("%s counted %d times", path, n)
		}
	}
}

func gatherCase(t *testing.T, arrange func(g *fakeGatherer), act func(p *pump, g *fakeGatherer)) {
	synctest.Test(t, func(t *testing.T) {
		reg, st := newRegistry(), &gatherStore{counts: map[string]int{}}
		g := newGatherer(st)
		if arrange != nil {
			arrange(g)
		}
		p := start(t, reg, options(&box{}, spec("g", g)))
		reg.claim(p.Owes(Analytics), payloads(23456)...)
		time.Sleep(time.Second)
		if act != nil {
			act(p, g)
		}
		time.Sleep(2 * time.Minute)
		if c := reg.counts("g"); c.Effective != 23456 {
			t.Errorf("ledger %+v", c)
		}
		p.end(t)
		st.verify(t, 23456)
		if used := p.MemoryUsed(); used != 0 {
			t.Errorf("%d bytes are still in use", used)
		}
	})
}

func TestGathererSettlesWithItsFlush(t *testing.T) {
	gatherCase(t, nil, func(p *pump, g *fakeGatherer) {
		if c := p.reg.counts("g"); c.Pending != 23456 {
			t.Errorf("settled before any flush: %+v", c)
		}
	})
}

func TestGathererThatIsFullIsFlushedFirst(t *testing.T) {
	gatherCase(t, func(g *fakeGatherer) { g.full = 2 }, nil)
}

func TestGathererSurvivesFailingFlushes(t *testing.T) {
	down := errors.New("down")
	gatherCase(t, func(g *fakeGatherer) { g.flushes = []error{down, down, down, down, down, down} }, nil)
}

func TestGathererIsRewoundAfterALostReply(t *testing.T) {
	gatherCase(t, func(g *fakeGatherer) { g.lost = 2; g.full = 2 }, nil)
}

func TestGathererForgetsALostStream(t *testing.T) {
	gatherCase(t, nil, func(p *pump, g *fakeGatherer) {
		p.stream.lost()
		p.stream = p.reg.lease()
		p.Gained(p.stream)
	})
}

func TestGathererIsFlushedAtTheShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, st := newRegistry(), &gatherStore{counts: map[string]int{}}
		p := start(t, reg, options(&box{}, spec("g", newGatherer(st))))
		reg.claim(p.Owes(Analytics), payloads(100)...)
		time.Sleep(time.Second)
		p.end(t)
		if c := reg.counts("g"); c.Effective != 100 {
			t.Errorf("ledger %+v", c)
		}
		st.verify(t, 100)
	})
}

func TestOnceFlushesWhenNothingIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, st := newRegistry(), &gatherStore{counts: map[string]int{}}
		g := newGatherer(st)
		g.flushes = []error{errors.New("down")}
		opt := options(&box{}, spec("g", g))
		opt.Once = true
		p := start(t, reg, opt)
		reg.claim(p.Owes(Analytics), payloads(100)...)
		time.Sleep(time.Second)
		if c := reg.counts("g"); c.Effective != 100 {
			t.Errorf("ledger after a second: %+v", c)
		}
		p.end(t)
	})
}

func TestBatchesEndWhereMembersWereRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := newRegistry()
		s := &fakeSink{}
		opt := options(&box{}, spec("s", s))
		opt.Batch.Records = 300
		p, err := New(opt)
		if err != nil {
			t.Fatal(err)
		}
		id := reg.claim(p.Owes(Analytics), payloads(2000)...)
		reg.members["s"] = MemberRange{Position{id, 0}, Position{id, 1234}, ""}
		pu := start(t, reg, opt)
		time.Sleep(time.Second)
		pu.end(t)
		cut := false
		for _, r := range s.ranges {
			cut = cut || r[1] == 1234
			if r[0] < 1234 && r[1] > 1234 {
				t.Errorf("batch %v crosses the recorded end", r)
			}
		}
		if !cut || reg.counts("s").Effective != 2000 {
			t.Errorf("ranges %v", s.ranges)
		}
	})
}

// TestGathererIsNotCalledBesideOpen holds under the race detector: Open writes what the other methods read.
func TestGathererIsNotCalledBesideOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, st := newRegistry(), &gatherStore{counts: map[string]int{}}
		g := &slowOpen{fakeGatherer: newGatherer(st)}
		p := start(t, reg, options(&box{}, spec("g", g)))
		reg.claim(p.Owes(Analytics), payloads(100)...)
		time.Sleep(100 * time.Millisecond)
		p.stream.lost() // the sink is still opening: it must not be asked to forget
		p.stream = reg.lease()
		p.Gained(p.stream)
		time.Sleep(time.Minute)
		p.end(t)
		st.verify(t, 100)
	})
}

type slowOpen struct {
	*fakeGatherer
	opening bool
}

func (g *slowOpen) Open(context.Context) error {
	g.opening = true
	time.Sleep(time.Second)
	g.opening = false
	return nil
}

func (g *slowOpen) Due() time.Time {
	if g.opening {
		panic("asked beside Open")
	}
	return g.fakeGatherer.Due()
}

func (g *slowOpen) Forget(id StreamID) {
	if g.opening {
		panic("asked beside Open")
	}
	g.fakeGatherer.Forget(id)
}

// A single run that has nothing to read rests only when its sinks are open, or cannot be, and what a dead process left
// to be flushed is flushed, at once and not when it would be due.
func TestASingleRunDoesWhatIsLeftToFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := newGatherer(&gatherStore{counts: map[string]int{}})
		left.due, left.flushes = time.Now().Add(time.Hour), []error{errors.New("busy")}
		opt := options(&box{}, spec("left", &slowOpen{fakeGatherer: left}), spec("never", &closedSink{}))
		opt.Once = true
		p, err := New(opt)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx) }()
		time.Sleep(900 * time.Millisecond)
		if p.Resting() {
			t.Error("rests before a sink is open")
		}
		for began := time.Now(); !p.Resting(); time.Sleep(100 * time.Millisecond) {
			if time.Since(began) > 30*time.Minute {
				t.Fatal("does not come to rest")
			}
		}
		if !left.due.IsZero() || len(left.flushes) > 0 {
			t.Error("rests with something to flush")
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// closedSink cannot be opened.
type closedSink struct{ fakeSink }

func (*closedSink) Open(context.Context) error { return errors.New("refused") }
