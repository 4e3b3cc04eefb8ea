package pipeline

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestEveryRecordReachesEverySink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, b := newRegistry(), &box{}
		one, two := &fakeSink{}, &fakeSink{}
		p := start(t, reg, options(b, spec("one", one), spec("two", two)))
		reg.claim(p.Owes(Analytics), payloads(12345)...)
		time.Sleep(time.Second)
		reg.claim(p.Owes(Analytics), payload(20000), payload(-1), payload(20001))
		time.Sleep(time.Second)
		p.end(t)
		for name, s := range map[string]*fakeSink{"one": one, "two": two} {
			want := Counts{Effective: 12347, DeadLetters: 1}
			if got := reg.counts(name); got != want {
				t.Errorf("%s: ledger %+v, want %+v", name, got, want)
			}
			if s.effects() != 12347 {
				t.Errorf("%s: %d effects", name, s.effects())
			}
		}
		if len(b.letters) != 1 {
			t.Errorf("%d dead letters, want 1 for all sinks together", len(b.letters))
		}
		if used := p.MemoryUsed(); used != 0 {
			t.Errorf("%d bytes are still in use at the end", used)
		}
	})
}

func TestSickSinkDoesNotHoldUpTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := newRegistry()
		var sick atomic.Bool
		sick.Store(true)
		bad := &fakeSink{respond: func(int, *Batch) (Result, error) {
			if sick.Load() {
				return Result{}, errors.New("503")
			}
			return Result{}, nil
		}}
		good := &fakeSink{}
		p := start(t, reg, options(&box{}, spec("bad", bad), spec("good", good)))
		reg.claim(p.Owes(Analytics), payloads(9000)...)
		time.Sleep(time.Minute)
		if c := reg.counts("good"); c.Effective != 9000 {
			t.Errorf("good: %+v", c)
		}
		if c := reg.counts("bad"); c.Pending != 9000 {
			t.Errorf("bad: %+v", c)
		}
		if s := p.SinkStatuses()[0]; s.State != "open" || s.LastError != "503" {
			t.Errorf("status %+v", s)
		}
		sick.Store(false)
		time.Sleep(5 * time.Second)
		p.end(t)
		if c := reg.counts("bad"); c.Effective != 9000 || bad.effects() != 9000 {
			t.Errorf("bad after it is well: %+v, %d effects", c, bad.effects())
		}
	})
}

func TestCulpritStandsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, b := newRegistry(), &box{}
		s := &fakeSink{respond: func(_ int, b *Batch) (Result, error) {
			for i := range b.Items {
				if p := b.Items[i].Record.Path; p == "/7" || p == "/4500" {
					return Result{}, Permanent(errors.New("400: no such thing"))
				}
			}
			return Result{}, nil
		}}
		p := start(t, reg, options(b, spec("s", s)))
		reg.claim(p.Owes(Analytics), payloads(5000)...)
		time.Sleep(10 * time.Second)
		p.end(t)
		if c := reg.counts("s"); c.Effective != 4998 || c.DeadLetters != 2 || s.effects() != 4998 {
			t.Errorf("%+v, %d effects", c, s.effects())
		}
		for _, l := range b.letters {
			if l.Sink != "s" || !strings.Contains(l.Reason, "no such thing") || len(l.Bytes) == 0 || !strings.HasSuffix(l.ID, "-s") {
				t.Errorf("letter %+v", l)
			}
		}
		for i := 1; i < len(s.ranges); i++ {
			if r, before := s.ranges[i], s.ranges[i-1]; r[0] != before[1] && r[0] != before[0] {
				t.Errorf("range %v follows %v: a sink that works by position would miss records", r, before)
			}
		}
	})
}

func TestPartialFailureRepeatsOnlyWhatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, b := newRegistry(), &box{}
		s := &fakeSink{}
		s.respond = func(call int, b *Batch) (Result, error) {
			if call == 0 {
				return Result{Filtered: 1, Dead: []Dead{{Item: 2, Reason: "mapping"}}},
					&PartialError{Retry: []int{0, 5, 6}, Err: errors.New("429")}
			}
			for i := range b.Items { // what is left still has a culprit
				if b.Items[i].Record.Path == "/5" {
					return Result{}, Permanent(errors.New("400"))
				}
			}
			return Result{}, nil
		}
		p := start(t, reg, options(b, spec("s", s)))
		reg.claim(p.Owes(Analytics), payloads(100)...)
		time.Sleep(10 * time.Second)
		p.end(t)
		want := Counts{Effective: 97, Filtered: 1, DeadLetters: 2}
		if c := reg.counts("s"); c != want {
			t.Errorf("ledger %+v, want %+v", c, want)
		}
		for path, n := range s.seen {
			if n != 1 {
				t.Errorf("%s was delivered %d times", path, n)
			}
		}
	})
}

func TestFiltersAndMasksOfTheClaimCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := newRegistry()
		var keys []string
		s := &fakeSink{respond: func(_ int, b *Batch) (Result, error) {
			for i := range b.Items {
				keys = append(keys, b.Items[i].Record.APIKey)
			}
			return Result{}, nil
		}}
		old := spec("s", s)
		old.Filters = &Filters{SkipOrgIDs: []string{"org-1"}}
		before, err := New(options(&box{}, old))
		if err != nil {
			t.Fatal(err)
		}
		reg.claim(before.Owes(Analytics), payloads(10)...)
		opt := options(&box{}, spec("s", s), spec("late", &fakeSink{}))
		opt.Record.Masks = []Mask{{Field: "api_key", Action: "drop"}}
		p := start(t, reg, opt)
		time.Sleep(time.Second)
		if c := reg.counts("s"); c.Effective != 5 || c.Filtered != 5 {
			t.Errorf("the claim's own filters: %+v", c)
		}
		if c := reg.counts("late"); c.Total() != 0 {
			t.Errorf("a sink added later got %+v of an older claim", c)
		}
		reg.claim(p.Owes(Analytics), payloads(10)...)
		time.Sleep(time.Second)
		p.end(t)
		if c := reg.counts("s"); c.Effective != 15 {
			t.Errorf("with the new configuration: %+v", c)
		}
		if keys[0] != "key" || keys[len(keys)-1] != "" {
			t.Errorf("keys %q then %q: the mask belongs to the later claim only", keys[0], keys[len(keys)-1])
		}
	})
}

func TestLostStreamGoesOnFromItsCursor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := newRegistry()
		s := &fakeSink{respond: func(call int, _ *Batch) (Result, error) {
			time.Sleep(time.Second)
			return Result{}, nil
		}}
		p := start(t, reg, options(&box{}, spec("s", s)))
		reg.claim(p.Owes(Analytics), payloads(20000)...)
		time.Sleep(1500 * time.Millisecond)
		p.stream.lost()
		p.stream = reg.lease()
		p.Gained(p.stream)
		time.Sleep(time.Minute)
		p.end(t)
		if c := reg.counts("s"); c.Effective != 20000 || s.effects() != 20000 {
			t.Errorf("%+v, %d effects", c, s.effects())
		}
	})
}

func TestDeadLettersAreDurableBeforeTheCursorPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, b := newRegistry(), &box{fail: 3}
		p := start(t, reg, options(b, spec("s", &fakeSink{})))
		reg.claim(p.Owes(Analytics), payload(1), payload(-7))
		time.Sleep(50 * time.Millisecond)
		if c := reg.counts("s"); c.Pending != 2 {
			t.Errorf("the cursor moved while the letter box failed: %+v", c)
		}
		time.Sleep(10 * time.Second)
		p.end(t)
		if c := reg.counts("s"); c.Effective != 1 || c.DeadLetters != 1 || len(b.letters) != 1 {
			t.Errorf("%+v, %d letters", c, len(b.letters))
		}
	})
}

func TestAbsurdTimesAreJudgedByTheClaimsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // synctest's now is the year 2000
		reg, b := newRegistry(), &box{}
		opt := options(b, spec("s", &fakeSink{}))
		p := start(t, reg, opt)
		reg.claim(p.Owes(Analytics), payload(1))
		opt.Record.Accept = Accept{}
		narrow, err := New(opt)
		if err != nil {
			t.Fatal(err)
		}
		reg.claimAt(testEpoch.Add(time.Hour), narrow.Owes(Analytics), payload(2))
		time.Sleep(time.Second)
		p.end(t)
		if c := reg.counts("s"); c.Effective != 1 || c.DeadLetters != 1 {
			t.Errorf("%+v", c)
		}
		for _, l := range b.letters {
			if !strings.HasPrefix(l.Reason, "absurd time") || l.Sink != EverySink {
				t.Errorf("letter %+v", l)
			}
		}
	})
}

func TestShutdownKeepsItsDeadlineWithASinkThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := newRegistry()
		s := &fakeSink{respond: func(int, *Batch) (Result, error) {
			time.Sleep(9 * time.Second)
			return Result{}, errors.New("too late")
		}}
		p := start(t, reg, options(&box{}, spec("s", s)))
		reg.claim(p.Owes(Analytics), payloads(10)...)
		time.Sleep(time.Second)
		began := time.Now()
		p.end(t)
		if d := time.Since(began); d > 9*time.Second {
			t.Errorf("shutdown took %v", d)
		}
		if c := reg.counts("s"); c.Pending != 10 {
			t.Errorf("%+v", c)
		}
	})
}

func TestShutdownDoesNotWaitForASinkThatNeverOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := newRegistry()
		var refused []error
		for range 1000 {
			refused = append(refused, errors.New("refused"))
		}
		p := start(t, reg, options(&box{}, spec("s", &fakeSink{opens: refused})))
		reg.claim(p.Owes(Analytics), payloads(10)...)
		time.Sleep(time.Second)
		began := time.Now()
		p.end(t)
		if d := time.Since(began); d > 100*time.Millisecond {
			t.Errorf("shutdown took %v", d)
		}
	})
}

func TestFatalOpenStopsTheStartAndOthersAreRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := newRegistry()
		s := &fakeSink{opens: []error{errors.New("refused"), errors.New("refused")}}
		p := start(t, reg, options(&box{}, spec("s", s)))
		if len(p.Unready()) != 1 || p.Willing() {
			t.Error("ready before the sink is open")
		}
		time.Sleep(5 * time.Second)
		if len(p.Unready()) != 0 || !p.Willing() {
			t.Errorf("not ready: %v", p.Unready())
		}
		p.end(t)
		bad := &fakeSink{opens: []error{Fatal(errors.New("wrong password"))}}
		q := start(t, newRegistry(), options(&box{}, spec("s", bad)))
		if err := <-q.ended; err == nil || !strings.Contains(err.Error(), "wrong password") {
			t.Errorf("Run: %v", err)
		}
		q.stop()
		q.stream.lost()
	})
}

// A store that refuses login or rights under way (401, 403), as when a password was changed, is asked again until it lets the sink in: the
// process lives, nothing becomes a dead letter, another sink goes on.
func TestRefusedUnderWayIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, b, well := newRegistry(), &box{}, &fakeSink{}
		refused := &fakeSink{respond: func(call int, _ *Batch) (Result, error) {
			if call > 0 && call < 8 {
				return Result{}, Fatal(errors.New("status 403"))
			}
			return Result{}, nil
		}}
		p := start(t, reg, options(b, spec("refused", refused), spec("well", well)))
		reg.claim(p.Owes(Analytics), payloads(100)...)
		time.Sleep(time.Second)
		reg.claim(p.Owes(Analytics), payloads(100)...)
		time.Sleep(time.Second)
		if c := reg.counts("well"); c.Effective != 200 {
			t.Errorf("the other sink: %+v", c)
		}
		if c := reg.counts("refused"); c.Effective != 100 || len(p.Unready()) != 1 || !strings.Contains(p.Unready()[0], "status 403") {
			t.Errorf("%+v, %v", c, p.Unready())
		}
		time.Sleep(time.Minute)
		if c := reg.counts("refused"); c.Effective != 200 || c.DeadLetters != 0 || len(b.letters) != 0 || len(p.Unready()) != 0 {
			t.Errorf("%+v, %d letters, %v", c, len(b.letters), p.Unready())
		}
		p.end(t)
	})
}

func TestMemoryStaysWithinTheBudget(t *testing.T) {
	reg := newRegistry()
	opt := options(&box{}, spec("a", &fakeSink{}), spec("b", &fakeSink{}), spec("c", &fakeSink{}))
	opt.Memory = 8 << 20
	var most int64
	p := start(t, reg, opt)
	watch := make(chan struct{})
	go func() {
		defer close(watch)
		for range 400 {
			most = max(most, p.MemoryUsed())
			time.Sleep(time.Millisecond)
		}
	}()
	reg.claim(p.Owes(Analytics), payloads(100000)...)
	<-watch
	for _, s := range []string{"a", "b", "c"} {
		waitFor(t, func() bool { return reg.counts(s).Effective == 100000 }, fmt.Sprintf("%s: %+v", s, reg.counts(s)))
	}
	p.end(t)
	if most > opt.Memory {
		t.Errorf("%d bytes in use of %d", most, opt.Memory)
	}
	if used := p.MemoryUsed(); used != 0 {
		t.Errorf("%d bytes are still in use at the end", used)
	}
}

func waitFor(t *testing.T, ok func() bool, what string) {
	t.Helper()
	for range 3000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("never came: %s", what)
}
