package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// patientSink is a sink that is down while told so: a writer keyed by ID, or a gatherer keyed by position.
type patientSink struct {
	Sink
	down    atomic.Bool
	writer  *fakeSink
	gather  *gatherStore
	effects func() int
}

func newWriterSink() *patientSink {
	p := &patientSink{writer: &fakeSink{}}
	p.writer.respond = func(int, *Batch) (Result, error) {
		if p.down.Load() {
			return Result{}, errors.New("503")
		}
		return Result{}, nil
	}
	p.Sink, p.effects = p.writer, p.writer.effects
	return p
}

type downGatherer struct {
	*fakeGatherer
	down *atomic.Bool
}

func (g downGatherer) Flush(ctx context.Context, all bool) (Progress, error) {
	if g.down.Load() {
		return Progress{}, errors.New("503")
	}
	return g.fakeGatherer.Flush(ctx, all)
}

func newGathererSink() *patientSink {
	p := &patientSink{gather: &gatherStore{counts: map[string]int{}}}
	p.renew()
	p.effects = func() int { return len(p.gather.counts) }
	return p
}

// renew is the sink as another process has it: of a gatherer only the store lasts.
func (p *patientSink) renew() {
	if p.gather != nil {
		g := newGatherer(p.gather)
		g.known = p.gather.pos
		p.Sink = downGatherer{g, &p.down}
	}
}

func bothSinks(t *testing.T, f func(t *testing.T, s *patientSink)) {
	for name, make := range map[string]func() *patientSink{"writer": newWriterSink, "gatherer": newGathererSink} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { f(t, make()) }) })
	}
}

func spoolOptions(b LetterBox, sp Spool, s *patientSink) Options {
	sink := spec("s", s.Sink)
	sink.Spools = true
	opt := options(b, sink)
	opt.Spools = []Spool{sp}
	return opt
}

func (p *patientSink) verify(t *testing.T, want int) {
	t.Helper()
	if p.gather != nil {
		p.gather.verify(t, want)
		return
	}
	if n := p.effects(); n != want {
		t.Errorf("%d effects, want %d", n, want)
	}
}

// wantSettled holds that everything took effect and nothing is left anywhere.
func wantSettled(t *testing.T, reg *registry, sp *memSpool, s *patientSink, n int) {
	t.Helper()
	if c := reg.counts("s"); c != (Counts{Effective: uint64(n)}) {
		t.Errorf("ledger %+v, want %d effective", c, n)
	}
	s.verify(t, n)
	reg.mu.Lock()
	defer reg.mu.Unlock()
	if sp.left() != 0 || len(reg.scarce.spools) != 0 {
		t.Errorf("%d batches are left in the spool, named are %v", sp.left(), reg.scarce.spools)
	}
}

func TestSpoolTakesWhatRedisHasNoRoomFor(t *testing.T) {
	bothSinks(t, func(t *testing.T, s *patientSink) {
		reg, sp := newRegistry(), &memSpool{name: "mem"}
		s.down.Store(true)
		p := start(t, reg, spoolOptions(&box{}, sp, s))
		reg.claim(p.Owes(Analytics), payloads(12000)...)
		time.Sleep(time.Minute)
		if c := reg.counts("s"); c.Pending != 12000 || sp.puts != 0 {
			t.Fatalf("while there is room: %+v, %d batches spooled", c, sp.puts)
		}
		reg.scarce.short.Store(true)
		time.Sleep(time.Minute)
		if c := reg.counts("s"); c.Spooled != 12000 || c.Pending != 0 {
			t.Fatalf("when room is short: %+v", c)
		}
		if !p.Willing() {
			t.Error("nothing would be claimed, so that nothing more could be spooled")
		}
		reg.claim(p.Owes(Analytics), fresh(12000, 500)...)
		time.Sleep(time.Minute)
		if c := reg.counts("s"); c.Spooled != 12500 || c.Pending != 0 {
			t.Fatalf("what came later: %+v", c)
		}
		reg.scarce.short.Store(false)
		reg.claim(p.Owes(Analytics), fresh(12500, 500)...)
		time.Sleep(time.Minute)
		if c := reg.counts("s"); c.Spooled != 12500 || c.Pending != 500 {
			t.Fatalf("what came when there was room again: %+v", c)
		}
		s.down.Store(false)
		time.Sleep(time.Minute)
		if c := p.SinkStatuses()[0].Counts; c.Effective != 13000 || c.Spooled != 0 {
			t.Errorf("status %+v", c)
		}
		p.end(t)
		wantSettled(t, reg, sp, s, 13000)
		if used := p.MemoryUsed(); used != 0 {
			t.Errorf("%d bytes are still in use at the end", used)
		}
		if w := s.writer; w != nil {
			from := uint32(0)
			for _, r := range w.ranges {
				if r[0] != from && r[0] != 0 && r[1] != r[0] && r[0] > from {
					t.Errorf("range %v follows %d: out of order", r, from)
				}
				from = r[1]
			}
		}
	})
}

// fresh are n payloads from number from on.
func fresh(from, n int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		out[i] = payload(from + i)
	}
	return out
}

func TestSinkThatIsToWaitIsNotSpooled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, sp, s := newRegistry(), &memSpool{name: "mem"}, newWriterSink()
		s.down.Store(true)
		reg.scarce.short.Store(true)
		opt := spoolOptions(&box{}, sp, s)
		opt.Sinks[0].Spools = false
		p := start(t, reg, opt)
		reg.claim(p.Owes(Analytics), payloads(100)...)
		time.Sleep(time.Hour)
		if c := reg.counts("s"); c.Pending != 100 || sp.puts != 0 || p.Willing() {
			t.Errorf("%+v, %d batches spooled, willing %t", c, sp.puts, p.Willing())
		}
		p.end(t)
	})
}

// A pump that dies at any step of the spool's protocol, once or at every chance of a while, loses and doubles nothing.
func TestCrashAtEveryStepOfTheSpool(t *testing.T) {
	for _, point := range []string{"before settle", "after settle", "before booking", "after booking"} {
		for _, well := range []bool{false, true} {
			name := fmt.Sprintf("%s, then the sink is well %t", point, well)
			t.Run(name, func(t *testing.T) {
				bothSinks(t, func(t *testing.T, s *patientSink) { crashAt(t, s, point, well) })
			})
		}
	}
}

func crashAt(t *testing.T, s *patientSink, point string, well bool) {
	reg, sp := newRegistry(), &memSpool{name: "mem"}
	opt := spoolOptions(&box{}, sp, s)
	var deaths atomic.Int32
	reg.scarce.stop = func(at string) bool {
		if at != point || !deaths.CompareAndSwap(0, 1) {
			return false
		}
		sp.mu.Lock()
		sp.stuck = true // nor can the dead remove anything
		sp.mu.Unlock()
		return true
	}
	s.down.Store(true)
	reg.scarce.short.Store(true)
	p := start(t, reg, opt)
	reg.claim(p.Owes(Analytics), payloads(7000)...)
	reg.claim(p.Owes(Analytics), fresh(7000, 2500)...)
	time.Sleep(20 * time.Second)
	if strings.HasSuffix(point, "booking") {
		s.down.Store(false)
		time.Sleep(20 * time.Second)
	}
	p.end(t)
	if deaths.Load() != 1 {
		t.Fatal("the pump did not die")
	}
	s.down.Store(!well)
	s.renew()
	sp.mu.Lock()
	sp.stuck = false
	sp.mu.Unlock()
	p = start(t, reg, spoolOptions(&box{}, sp, s))
	reg.claim(p.Owes(Analytics), fresh(9500, 500)...) // so that there is an open claim to sweep below
	time.Sleep(time.Minute)
	if c := reg.counts("s"); !well && point != "after booking" && point != "before booking" && c.Spooled != 10000 {
		t.Errorf("while the sink is still down: %+v", c)
	}
	s.down.Store(false)
	time.Sleep(time.Minute)
	p.end(t)
	reg.scarce.short.Store(false)
	s.renew()
	p = start(t, reg, spoolOptions(&box{}, sp, s)) // who gains the list sweeps
	reg.claim(p.Owes(Analytics), fresh(10000, 1)...)
	time.Sleep(time.Minute)
	p.end(t)
	wantSettled(t, reg, sp, s, 10001)
}

// What cannot be removed when it came back, since the bucket is away, is removed later, by a pump that neither died nor
// lost the list meanwhile.
func TestBatchesThatCannotBeRemovedAreSweptLater(t *testing.T) {
	bothSinks(t, func(t *testing.T, s *patientSink) {
		reg, sp := newRegistry(), &memSpool{name: "mem", stuck: true}
		s.down.Store(true)
		reg.scarce.short.Store(true)
		p := start(t, reg, spoolOptions(&box{}, sp, s))
		reg.claim(p.Owes(Analytics), payloads(3000)...)
		time.Sleep(time.Minute)
		s.down.Store(false)
		reg.scarce.short.Store(false)
		time.Sleep(time.Minute)
		reg.claim(p.Owes(Analytics), fresh(3000, 10)...) // swept in vain
		time.Sleep(time.Minute)
		if sp.left() == 0 {
			t.Fatal("a batch was removed that cannot be")
		}
		sp.mu.Lock()
		sp.stuck = false
		sp.mu.Unlock()
		reg.claim(p.Owes(Analytics), fresh(3010, 10)...)
		time.Sleep(time.Minute)
		p.end(t)
		wantSettled(t, reg, sp, s, 3020)
	})
}

// Pumps die at random steps while the sink fails and recovers and room comes and goes.
func TestSpoolUnderRandomCrashes(t *testing.T) {
	for seed := range uint64(10) {
		for name, make := range map[string]func() *patientSink{"writer": newWriterSink, "gatherer": newGathererSink} {
			t.Run(fmt.Sprintf("%s %d", name, seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { spoolChaos(t, make(), rand.New(rand.NewPCG(seed, 1))) })
			})
		}
	}
}

func spoolChaos(t *testing.T, s *patientSink, rnd *rand.Rand) {
	reg, sp := newRegistry(), &memSpool{name: "mem"}
	var mu sync.Mutex
	dice := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return rnd.IntN(n)
	}
	calm := false
	reg.scarce.stop = func(string) bool { return !calm && dice(12) == 0 }
	sp.flaky = func() bool { return dice(15) == 0 }
	opt := func() Options {
		o := spoolOptions(&box{}, sp, s)
		o.Batch.Records = 100 + dice(900)
		return o
	}
	total := 0
	p := start(t, reg, opt())
	for range 60 {
		reg.mu.Lock()
		dead := p.stream.gone()
		reg.mu.Unlock()
		if dead || dice(10) == 0 {
			p.end(t)
			s.renew()
			p = start(t, reg, opt())
		}
		switch dice(4) {
		case 0:
			s.down.Store(dice(2) == 0)
		case 1:
			reg.scarce.short.Store(dice(3) > 0)
		default:
			n := 1 + dice(1500)
			reg.claim(p.Owes(Analytics), fresh(total, n)...)
			total += n
		}
		time.Sleep(time.Duration(dice(8000)) * time.Millisecond)
		if c := reg.counts("s"); c.Total() != uint64(total) {
			t.Fatalf("the ledger %+v does not make up %d", c, total)
		}
	}
	p.end(t)
	s.renew()
	reg.mu.Lock()
	calm = true
	reg.mu.Unlock()
	s.down.Store(false)
	p = start(t, reg, opt())
	time.Sleep(2 * time.Minute)
	p.end(t)
	s.renew()
	p = start(t, reg, opt())
	reg.claim(p.Owes(Analytics), fresh(total, 1)...)
	time.Sleep(time.Minute)
	p.end(t)
	wantSettled(t, reg, sp, s, total+1)
}

func TestSpoolThatIsFullIsSaidOnceAndTriedAgain(t *testing.T) {
	bothSinks(t, func(t *testing.T, s *patientSink) {
		reg, sp := newRegistry(), &memSpool{name: "mem", err: errors.New("no space left on device")}
		var log bytes.Buffer
		opt := spoolOptions(&box{}, sp, s)
		opt.Log = slog.New(slog.NewTextHandler(&log, nil))
		s.down.Store(true)
		reg.scarce.short.Store(true)
		p := start(t, reg, opt)
		reg.claim(p.Owes(Analytics), payloads(3000)...)
		time.Sleep(10 * time.Minute)
		if c := reg.counts("s"); c.Pending != 3000 {
			t.Errorf("with a full spool: %+v", c)
		}
		sp.fail(nil)
		time.Sleep(time.Minute)
		if c := reg.counts("s"); c.Spooled != 3000 {
			t.Errorf("with room in the spool: %+v", c)
		}
		s.down.Store(false)
		time.Sleep(time.Minute)
		p.end(t)
		wantSettled(t, reg, sp, s, 3000)
		if n := strings.Count(log.String(), "the spool cannot be written"); n != 1 {
			t.Errorf("it is said %d times", n)
		}
	})
}

func TestSpooledRecordsAreJudgedLikeClaimedOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, sp, s, b := newRegistry(), &memSpool{name: "mem"}, newWriterSink(), &box{}
		opt := spoolOptions(b, sp, s)
		opt.Sinks[0].Filters = &Filters{SkipOrgIDs: []string{"org-1"}}
		before := s.writer.respond
		s.writer.respond = func(call int, batch *Batch) (Result, error) {
			if res, err := before(call, batch); err != nil {
				return res, err
			}
			if !batch.ClaimTime.Equal(testEpoch) || batch.Claim.Number != 1 {
				t.Errorf("claim %s of %s", batch.Claim, batch.ClaimTime)
			}
			for i := range batch.Items {
				if batch.Items[i].Record.Path == "/8" {
					return Result{}, Permanent(errors.New("400"))
				}
			}
			return Result{}, nil
		}
		s.down.Store(true)
		reg.scarce.short.Store(true)
		p := start(t, reg, opt)
		reg.claim(p.Owes(Analytics), append(payloads(100), payload(-1))...)
		time.Sleep(time.Minute)
		p.end(t)
		if c := reg.counts("s"); c.Spooled != 101 {
			t.Fatalf("%+v", c)
		}
		s.down.Store(false)
		opt.Sinks[0].Filters = nil // the claim's own count
		p = start(t, reg, opt)
		time.Sleep(time.Minute)
		p.end(t)
		want := Counts{Effective: 49, Filtered: 50, DeadLetters: 2}
		if c := reg.counts("s"); c != want || len(b.letters) != 2 || s.effects() != 49 {
			t.Errorf("ledger %+v, want %+v; %d letters, %d effects", c, want, len(b.letters), s.effects())
		}
	})
}

func TestListWithASpoolElsewhereIsForAnotherPump(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, here, there, s := newRegistry(), &memSpool{name: "here"}, &memSpool{name: "there"}, newWriterSink()
		s.down.Store(true)
		reg.scarce.short.Store(true)
		p := start(t, reg, spoolOptions(&box{}, there, s))
		reg.claim(p.Owes(Analytics), payloads(10)...)
		time.Sleep(time.Minute)
		p.end(t)
		s.down.Store(false)
		p = start(t, reg, spoolOptions(&box{}, here, s))
		reg.claim(p.Owes(Analytics), fresh(10, 10)...)
		time.Sleep(time.Minute)
		if missing := p.Lacking()[p.stream]; len(missing) != 1 || missing[0] != "s" || s.effects() != 0 {
			t.Errorf("lacking %v, %d effects: nothing may pass what lies in the spool", missing, s.effects())
		}
		p.end(t)
		opt := spoolOptions(&box{}, here, s)
		opt.Spools = append(opt.Spools, there) // as when state.spool was set meanwhile
		opt.Sinks[0].Spools = false
		p = start(t, reg, opt)
		time.Sleep(time.Minute)
		p.end(t)
		wantSettled(t, reg, there, s, 20)
	})
}

func TestSpooledBatchThatIsMissingIsNotPassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, sp, s := newRegistry(), &memSpool{name: "mem"}, newWriterSink()
		opt := spoolOptions(&box{}, sp, s)
		opt.Batch.Records = 100
		s.down.Store(true)
		reg.scarce.short.Store(true)
		p := start(t, reg, opt)
		id := reg.claim(p.Owes(Analytics), payloads(500)...)
		time.Sleep(time.Minute)
		sid := SpoolID{"lineage", "s"}
		gone, err := sp.get(sid, Position{id, 200})
		if err != nil {
			t.Fatal(err)
		}
		_ = sp.Remove(t.Context(), sid, Position{id, 200})
		s.down.Store(false)
		time.Sleep(time.Minute)
		if c := reg.counts("s"); c.Effective != 200 || c.Spooled != 300 {
			t.Errorf("with a gap: %+v", c)
		}
		if st := p.SinkStatuses()[0]; !strings.Contains(st.LastError, "missing") {
			t.Errorf("status %+v", st)
		}
		if _, err := sp.Put(t.Context(), sid, gone); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		p.end(t)
		wantSettled(t, reg, sp, s, 500)
	})
}

// A batch that a crash left within a longer one, and that the next pump finds first, does not hide it.
func TestShortBatchWithinAnotherHidesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, sp, s := newRegistry(), &memSpool{name: "mem"}, newWriterSink()
		sid := SpoolID{"lineage", "s"}
		s.down.Store(true)
		reg.scarce.short.Store(true)
		opt := spoolOptions(&box{}, sp, s)
		opt.Batch.Records = 5000
		p := start(t, reg, opt)
		id := reg.claim(p.Owes(Analytics), payloads(3000)...)
		time.Sleep(time.Minute)
		p.end(t)
		whole, err := sp.get(sid, Position{id, 0})
		if err != nil || whole.To != 3000 {
			t.Fatal(whole, err)
		}
		for _, from := range []uint32{300, 450} {
			part := *whole
			part.From, part.To, part.Elements = from, from+100, whole.Elements[from:from+100]
			if _, err := sp.Put(t.Context(), sid, &part); err != nil {
				t.Fatal(err)
			}
		}
		reg.mu.Lock() // a third of it came back before the pump died
		left := reg.scarce.spools["s"]
		left.From.Index = 1000
		reg.scarce.spools["s"] = left
		reg.ledger["s"] = Counts{Spooled: 2000, Effective: 1000}
		reg.mu.Unlock()
		s.down.Store(false)
		reg.scarce.short.Store(false)
		p = start(t, reg, opt)
		time.Sleep(time.Minute)
		if st := p.SinkStatuses()[0]; strings.Contains(st.LastError, "missing") {
			t.Errorf("status %+v", st)
		}
		p.end(t)
		if c := reg.counts("s"); c != (Counts{Effective: 3000}) || s.effects() != 2000 {
			t.Errorf("%+v, %d effects", c, s.effects())
		}
	})
}

// What the lease read of the spool, and of the members recorded before, counts only when replicas hold it: nothing is
// delivered from the spool before.
func TestSpoolWaitsForReplicas(t *testing.T) {
	bothSinks(t, func(t *testing.T, s *patientSink) {
		reg, sp := newRegistry(), &memSpool{name: "mem"}
		s.down.Store(true)
		reg.scarce.short.Store(true)
		p := start(t, reg, spoolOptions(&box{}, sp, s))
		reg.claim(p.Owes(Analytics), payloads(3000)...)
		time.Sleep(time.Minute)
		p.end(t)
		s.down.Store(false)
		reg.scarce.short.Store(false)
		reg.scarce.replicated = make(chan struct{})
		s.renew()
		p = start(t, reg, spoolOptions(&box{}, sp, s))
		time.Sleep(time.Minute)
		if n := s.effects(); n != 0 {
			t.Errorf("%d effects before replicas hold what the lease read", n)
		}
		close(reg.scarce.replicated)
		time.Sleep(time.Minute)
		p.end(t)
		wantSettled(t, reg, sp, s, 3000)
	})
}

// A batch stays until replicas hold that it came back, also when nothing names it any more.
func TestBatchesStayUntilReplicasHoldTheBooking(t *testing.T) {
	bothSinks(t, func(t *testing.T, s *patientSink) {
		reg, sp := newRegistry(), &memSpool{name: "mem"}
		s.down.Store(true)
		reg.scarce.short.Store(true)
		held := make(chan struct{})
		reg.scarce.booked = func() { <-held }
		p := start(t, reg, spoolOptions(&box{}, sp, s))
		reg.claim(p.Owes(Analytics), payloads(100)...) // one batch
		time.Sleep(time.Minute)
		p.end(t)
		s.down.Store(false)
		reg.scarce.short.Store(false)
		s.renew()
		p = start(t, reg, spoolOptions(&box{}, sp, s))
		for i := range 3 { // each has it look for what may be removed
			reg.claim(p.Owes(Analytics), fresh(100+10*i, 10)...)
			time.Sleep(time.Minute)
		}
		sp.mu.Lock()
		removes := sp.removes
		sp.mu.Unlock()
		if removes != 0 {
			t.Errorf("%d batches were removed before replicas held their booking", removes)
		}
		close(held)
		time.Sleep(time.Minute)
		p.end(t)
		wantSettled(t, reg, sp, s, 130)
	})
}

// TestSpooledBatchOfANewerVersionWaits: it is neither damaged nor passed over; the list is for a pump that can read it.
func TestSpooledBatchOfANewerVersionWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, sp, s := newRegistry(), &memSpool{name: "mem"}, newWriterSink()
		s.down.Store(true)
		reg.scarce.short.Store(true)
		p := start(t, reg, spoolOptions(&box{}, sp, s))
		reg.claim(p.Owes(Analytics), payloads(10)...)
		time.Sleep(time.Minute)
		p.end(t)
		s.down.Store(false)
		opt := spoolOptions(&box{}, sp, s)
		opt.Spools = []Spool{newerSpool{sp}}
		p = start(t, reg, opt)
		reg.claim(p.Owes(Analytics), fresh(10, 10)...)
		time.Sleep(time.Minute)
		if missing := p.Lacking()[p.stream]; len(missing) != 1 || missing[0] != "s" || s.effects() != 0 {
			t.Errorf("lacking %v, %d effects: nothing may pass what lies in the spool", missing, s.effects())
		}
		if st := p.SinkStatuses()[0]; !strings.Contains(st.LastError, "newer version") {
			t.Errorf("status %+v", st)
		}
		p.end(t)
		p = start(t, reg, spoolOptions(&box{}, sp, s))
		time.Sleep(time.Minute)
		p.end(t)
		wantSettled(t, reg, sp, s, 20)
	})
}

// newerSpool has batches that this version cannot read.
type newerSpool struct{ *memSpool }

func (newerSpool) Head(context.Context, SpoolID, Position) (SpoolHead, error) {
	return SpoolHead{}, fmt.Errorf("%w: layout 2", ErrNewer)
}
