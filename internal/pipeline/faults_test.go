package pipeline

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/record"
)

// pickyGatherer refuses batches with a culprit.
type pickyGatherer struct {
	*fakeGatherer
	culprit string
}

func (g pickyGatherer) Add(ctx context.Context, b *Batch) (Result, error) {
	for i := range b.Items {
		if b.Items[i].Record.Path == g.culprit {
			return Result{}, Permanent(errors.New("no such thing"))
		}
	}
	return g.fakeGatherer.Add(ctx, b)
}

func TestGathererGetsTheRangeOfACulpritToo(t *testing.T) {
	for _, culprit := range []string{"/0", "/50", "/99"} {
		synctest.Test(t, func(t *testing.T) {
			reg, b, st := newRegistry(), &box{}, &gatherStore{counts: map[string]int{}}
			p := start(t, reg, options(b, spec("g", pickyGatherer{newGatherer(st), culprit})))
			reg.claim(p.Owes(Analytics), payloads(100)...)
			time.Sleep(10 * time.Second)
			if c := reg.counts("g"); c.Effective != 99 || c.DeadLetters != 1 {
				t.Errorf("culprit %s: ledger %+v", culprit, c)
			}
			p.end(t)
			st.verify(t, 99)
			if len(b.letters) != 1 {
				t.Errorf("%d letters", len(b.letters))
			}
		})
	}
}

func TestClaimOfAnotherProgramIsLeftToIt(t *testing.T) {
	tests := map[string]string{
		"no JSON":         `{`,
		"unknown mask":    `{"record":{"region":"r","masks":[{"field":"api_key","action":"vanish"}],"accept":{"past":1,"future":1}},"sinks":{"s":{"type":"fake"}}}`,
		"unknown setting": `{"record":{"region":"r","drop_headers":true,"accept":{"past":1,"future":1}},"sinks":{"s":{"type":"fake"}}}`,
	}
	for name, shape := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reg, s := newRegistry(), &fakeSink{}
				p := start(t, reg, options(&box{}, spec("s", s)))
				reg.claim(p.Owes(Analytics), payloads(3)...)
				owed := p.Owes(Analytics)
				owed.JSON = []byte(shape)
				reg.claim(owed, payloads(3)...)
				time.Sleep(time.Second)
				if c := reg.counts("s"); c.Effective != 3 || s.effects() != 3 {
					t.Errorf("ledger %+v, %d effects", c, s.effects())
				}
				if lacking := p.Lacking(); len(lacking) != 1 || !slices.Equal(lacking[p.stream], []string{"s"}) {
					t.Errorf("lacking %v: the lease is never given back", lacking)
				}
				p.end(t)
			})
		})
	}
}

func TestOnceFlushesBeforeAClaimItCannotServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, st := newRegistry(), &gatherStore{counts: map[string]int{}}
		opt := options(&box{}, spec("g", newGatherer(st)))
		opt.Once = true
		other := opt
		other.Sinks = []SinkSpec{spec("g", newGatherer(st))}
		other.Sinks[0].Type = "another"
		q, err := New(other)
		if err != nil {
			t.Fatal(err)
		}
		p := start(t, reg, opt)
		reg.claim(p.Owes(Analytics), payloads(100)...)
		reg.claim(q.Owes(Analytics), payloads(100)...)
		time.Sleep(time.Second) // due after two
		if c := reg.counts("g"); c.Effective != 100 {
			t.Errorf("ledger %+v", c)
		}
		p.end(t)
	})
}

func TestLaneThatWaitsBeforeAClaimIsRewound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, st := newRegistry(), &gatherStore{counts: map[string]int{}}
		g := newGatherer(st)
		g.lost = 1
		opt := options(&box{}, spec("g", g))
		owed, err := New(opt)
		if err != nil {
			t.Fatal(err)
		}
		other := owed.Owes(Analytics)
		other.JSON = []byte("{")
		reg.claim(owed.Owes(Analytics), payloads(100)...)
		reg.claim(other, payloads(100)...)
		p := start(t, reg, opt)
		time.Sleep(time.Minute)
		if c := reg.counts("g"); c.Effective != 100 {
			t.Errorf("ledger %+v", c)
		}
		if len(p.Lacking()) != 1 {
			t.Error("the lease is not given back")
		}
		p.end(t)
		st.verify(t, 100)
	})
}

// brokenStream is another list, of which only the first span can be read.
type brokenStream struct{ *fakeStream }

func (s brokenStream) ID() StreamID { return StreamID{"main", "broken", "another lineage"} }

func (s brokenStream) Read(ctx context.Context, id ClaimID, index, n uint32, limit int64) ([]Element, error) {
	if index >= record.Span {
		return nil, errors.New("cannot be read")
	}
	return s.fakeStream.Read(ctx, id, index, n, limit)
}

func TestOnceFlushesWhenAStreamThatWasBehindIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, st := newRegistry(), &gatherStore{counts: map[string]int{}}
		g := newGatherer(st)
		g.hold = time.Hour
		opt := options(&box{}, spec("g", g))
		opt.Once = true
		opt.Batch.Records = record.Span
		p := start(t, reg, opt)
		behind := newRegistry()
		broken := brokenStream{behind.lease()}
		p.Gained(broken)
		behind.claim(p.Owes(Analytics), payloads(2*record.Span)...)
		reg.claim(p.Owes(Analytics), payloads(100)...)
		time.Sleep(time.Second)
		broken.lost()
		time.Sleep(time.Second)
		if c := reg.counts("g"); c.Effective != 100 {
			t.Errorf("ledger %+v: it waits for a stream that is gone", c)
		}
		p.end(t)
	})
}

func TestLargeElementsStayWithinTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := newRegistry()
		slow := func(d time.Duration) *fakeSink {
			return &fakeSink{respond: func(int, *Batch) (Result, error) { time.Sleep(d); return Result{}, nil }}
		}
		opt := options(&box{}, spec("a", slow(7*time.Second)), spec("b", slow(5*time.Second)), spec("c", slow(3*time.Second)))
		for i := range opt.Sinks {
			opt.Sinks[i].Timeout = time.Minute
		}
		opt.Memory = 8 << 20
		p := start(t, reg, opt)
		big := make([][]byte, 20)
		for i := range big {
			big[i] = record.AppendMsgpack(nil, &record.Record{Path: "/", RawRequest: strings.Repeat("x", 3<<20), TimeStamp: testEpoch,
				ContentLength: int64(i)})
		}
		reg.claim(p.Owes(Analytics), big...)
		var most int64
		for range 300 {
			time.Sleep(time.Second)
			most = max(most, p.MemoryUsed())
		}
		for _, s := range []string{"a", "b", "c"} {
			if c := reg.counts(s); c.Effective != 20 {
				t.Errorf("%s: %+v", s, c)
			}
		}
		p.end(t)
		if most > opt.Memory {
			t.Errorf("%d bytes in use of %d", most, opt.Memory)
		}
	})
}

// TestNobodyWaitsForMemoryWhileHoldingSome: a lane that holds a chunk asks for the one that another lane is about to load
// and has no memory for.
func TestNobodyWaitsForMemoryWhileHoldingSome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := newRegistry()
		p, err := New(options(&box{}, spec("s", &fakeSink{})))
		if err != nil {
			t.Fatal(err)
		}
		fat := slices.Repeat([][]byte{bytes.Repeat([]byte{'x'}, 2<<10)}, 3*record.Span)
		id := reg.claim(p.Owes(Analytics), fat...)
		claims, _ := reg.lease().Claims()
		st := newStore(10 << 20)
		c := st.cache(reg.lease(), record.Span, &shapes{})
		held, err := c.get(t.Context(), claims[0], 0, 8<<20, patient)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		loaded := make(chan *chunk, 1)
		go func() { ch, _ := c.get(ctx, claims[0], record.Span, 10<<20, patient); loaded <- ch }()
		synctest.Wait()
		if ch, err := c.get(ctx, claims[0], record.Span, 10<<20, impatient); ch != nil || err != nil {
			t.Errorf("got it although there is no memory: %v", err)
		}
		again, err := c.get(ctx, claims[0], record.Span, 10<<20, overdraw)
		if err != nil || again == nil {
			t.Fatalf("what was in hand before does not come again: %v", err)
		}
		c.release(held)
		c.release(again)
		if ch := <-loaded; ch == nil || ch.claim != id {
			t.Fatal("the other lane never got it")
		} else {
			c.release(ch)
		}
		c.close()
		if n := st.mem.inUse(); n != 0 {
			t.Errorf("%d bytes are still in use", n)
		}
	})
}

func TestMemoryIsTakenInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(10)
		if err := m.take(t.Context(), 6); err != nil {
			t.Fatal(err)
		}
		var order []int64
		done := make(chan struct{})
		for _, n := range []int64{20, 4} { // the first is more than the whole budget
			go func() {
				if err := m.take(t.Context(), n); err == nil {
					order = append(order, n)
					m.give(n)
				}
				done <- struct{}{}
			}()
			synctest.Wait()
		}
		if m.tryTake(1) || len(order) > 0 {
			t.Errorf("served before the first that waits: %v", order)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if m.take(gone, 1) == nil {
			t.Error("served after its context ended")
		}
		m.give(6)
		<-done
		<-done
		if !slices.Equal(order, []int64{20, 4}) || m.inUse() != 0 || !m.tryTake(10) {
			t.Errorf("served in the order %v, %d in use", order, m.inUse())
		}
	})
}

// stuckGatherer holds one batch a stream, and never gets rid of those of one stream.
type stuckGatherer struct {
	*fakeGatherer
	held    map[StreamID]Position
	flushes atomic.Int32
}

func (g *stuckGatherer) Add(_ context.Context, b *Batch) (Result, error) {
	if _, full := g.held[b.Stream]; full {
		return Result{}, ErrFull
	}
	g.held[b.Stream] = b.End()
	return Result{}, nil
}

func (g *stuckGatherer) Due() time.Time {
	if len(g.held) == 0 {
		return time.Time{}
	}
	return time.Now()
}

func (g *stuckGatherer) Flush(context.Context, bool) (p Progress, err error) {
	g.flushes.Add(1)
	for id, pos := range g.held {
		if id.List == "broken" {
			err = Apart(errors.New("conflict"))
			continue
		}
		p.Settled = append(p.Settled, Mark{id, pos})
		delete(g.held, id)
	}
	return p, err
}

func (g *stuckGatherer) Forget(id StreamID) { delete(g.held, id) }

func TestStreamThatIsStuckDoesNotSlowTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &stuckGatherer{fakeGatherer: newGatherer(&gatherStore{}), held: map[StreamID]Position{}}
		opt := options(&box{}, spec("g", g))
		opt.Batch.Records = 100
		opt.Deadline = time.Second
		reg, stuck := newRegistry(), newRegistry()
		p := start(t, reg, opt)
		broken := brokenStream{stuck.lease()}
		p.Gained(broken)
		stuck.claim(p.Owes(Analytics), payloads(record.Span)...)
		time.Sleep(time.Minute)
		if n := g.flushes.Load(); n > 100 {
			t.Errorf("%d flushes in a minute: they are not paced", n)
		}
		reg.claim(p.Owes(Analytics), payloads(50_000)...)
		time.Sleep(10 * time.Second)
		if c := reg.counts("g"); c.Effective != 50_000 {
			t.Errorf("ledger of the other stream %+v", c)
		}
		if c := stuck.counts("g"); c.Effective != 0 {
			t.Errorf("ledger of the stuck stream %+v", c)
		}
		broken.lost()
		p.end(t)
	})
}

// unsettledStream refuses every settle, and is not closed for it.
type unsettledStream struct{ *fakeStream }

func (unsettledStream) Settle(context.Context, string, []Settled) error {
	return errors.New("key is a string, not a list")
}

func TestSettleThatIsRefusedForLongIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, s := newRegistry(), &fakeSink{}
		opt := options(&box{}, spec("s", s))
		opt.Deadline = time.Second
		p := start(t, newRegistry(), opt)
		other := unsettledStream{reg.lease()}
		p.stream.lost()
		p.Gained(other)
		reg.claim(p.Owes(Analytics), payloads(10)...)
		time.Sleep(30 * time.Second)
		if st := p.SinkStatuses()[0]; !strings.Contains(st.LastError, "not a list") || s.effects() != 10 {
			t.Errorf("status %+v", st)
		}
		other.lost()
		p.end(t)
	})
}
