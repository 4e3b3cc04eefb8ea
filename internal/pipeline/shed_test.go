package pipeline

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// shedUntil lets the source be short of room until that many records are shed.
func shedUntil(t *testing.T, reg *registry, n uint64) Counts {
	t.Helper()
	for range 600 {
		if c := reg.counts("s"); c.Shed >= n {
			reg.scarce.short.Store(false)
			time.Sleep(time.Minute)
			return reg.counts("s")
		}
		time.Sleep(time.Second)
	}
	t.Fatalf("not shed: %+v", reg.counts("s"))
	return Counts{}
}

// wantShed holds that what was shed and what took effect are all there was, each once, and that nothing is left.
func wantShed(t *testing.T, reg *registry, sp *memSpool, s *patientSink, all, shed uint64) {
	t.Helper()
	c := reg.counts("s")
	if want := (Counts{Effective: all - shed, Filtered: shed, Shed: shed}); c != want {
		t.Errorf("ledger %+v, want %+v", c, want)
	}
	if n := uint64(s.effects()); n != c.Effective {
		t.Errorf("%d effects, %d are booked", n, c.Effective)
	}
	reg.mu.Lock()
	defer reg.mu.Unlock()
	if sp.left() != 0 || len(reg.scarce.spools) != 0 {
		t.Errorf("%d batches are left in the spool, named are %v", sp.left(), reg.scarce.spools)
	}
}

func TestSinkThatWaitsShedsOnlyWhenItIsToldTo(t *testing.T) {
	bothSinks(t, func(t *testing.T, s *patientSink) {
		reg, sp := newRegistry(), &memSpool{name: "mem"}
		s.down.Store(true)
		opt := spoolOptions(&box{}, sp, s)
		opt.Sinks[0].Spools, opt.Sinks[0].Sheds = false, true
		p := start(t, reg, opt)
		for i := range 4 {
			reg.claim(p.Owes(Analytics), fresh(i*3000, 3000)...)
		}
		time.Sleep(time.Hour)
		if c := reg.counts("s"); c.Pending != 12000 || c.Shed != 0 {
			t.Fatalf("while there is room: %+v", c)
		}
		reg.scarce.short.Store(true)
		c := shedUntil(t, reg, 2000)
		if c.Shed >= 12000 || c.Pending != 12000-c.Shed || sp.puts != 0 {
			t.Fatalf("when there is room again: %+v, %d batches spooled", c, sp.puts)
		}
		s.down.Store(false)
		time.Sleep(time.Minute)
		p.end(t)
		wantShed(t, reg, sp, s, 12000, c.Shed)
	})
}

func TestSpoolThatIsFullShedsItsOldest(t *testing.T) {
	bothSinks(t, func(t *testing.T, s *patientSink) {
		reg, sp := newRegistry(), &memSpool{name: "mem"}
		s.down.Store(true)
		reg.scarce.short.Store(true)
		opt := spoolOptions(&box{}, sp, s)
		opt.Sinks[0].Sheds = true
		p := start(t, reg, opt)
		reg.claim(p.Owes(Analytics), payloads(6000)...)
		time.Sleep(time.Minute)
		if c := reg.counts("s"); c.Spooled != 6000 || c.Shed != 0 {
			t.Fatalf("while the spool has room: %+v", c)
		}
		sp.mu.Lock()
		sp.err = errors.New("no space left on device")
		batches := len(sp.batches[SpoolID{"lineage", "s"}])
		sp.mu.Unlock()
		reg.claim(p.Owes(Analytics), fresh(6000, 6000)...)
		c := shedUntil(t, reg, 1)
		if c.Shed >= 6000 || c.Spooled != 6000-c.Shed || c.Pending != 6000 || sp.removes == 0 || sp.left() >= batches {
			t.Fatalf("the oldest is not what was shed: %+v, %d of %d batches left", c, sp.left(), batches)
		}
		sp.mu.Lock()
		sp.err = nil
		sp.mu.Unlock()
		reg.scarce.short.Store(true) // there is room in the spool again: nothing more is shed
		time.Sleep(time.Minute)
		if now := reg.counts("s"); now.Shed != c.Shed || now.Pending != 0 {
			t.Fatalf("with room in the spool: %+v, before %+v", now, c)
		}
		s.down.Store(false)
		time.Sleep(time.Minute)
		p.end(t)
		wantShed(t, reg, sp, s, 12000, c.Shed)
	})
}

// What the sink had taken of a batch before it went down is not counted as given up, and the letters of the batch stay letters.
func TestOnlyWhatTheSinkHasNotIsShed(t *testing.T) {
	for _, spooled := range []bool{false, true} {
		t.Run(fmt.Sprintf("from a spool %t", spooled), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reg, sp, s, b := newRegistry(), &memSpool{name: "mem"}, newWriterSink(), &box{}
				s.down.Store(true)
				reg.scarce.short.Store(spooled)
				opt := spoolOptions(b, sp, s)
				opt.Sinks[0].Spools, opt.Sinks[0].Sheds = spooled, true
				p := start(t, reg, opt)
				if spooled {
					reg.claim(p.Owes(Analytics), payloads(1000)...)
					time.Sleep(time.Minute)
					if c := reg.counts("s"); c.Spooled != 1000 {
						t.Fatalf("%+v", c)
					}
				}
				p.end(t)
				took := false
				fine := s.writer.respond
				s.writer.respond = func(n int, b *Batch) (Result, error) {
					if took {
						return fine(n, b)
					}
					took = true
					var p PartialError
					for i := range b.Items[:400] {
						p.Retry = append(p.Retry, i)
					}
					p.Err = errors.New("429")
					return Result{Dead: []Dead{{Item: 500, Reason: "refused"}, {Item: 501, Reason: "refused"}}}, &p
				}
				sp.fail(errors.New("no space left on device"))
				reg.scarce.short.Store(true)
				p = start(t, reg, opt)
				if !spooled {
					reg.claim(p.Owes(Analytics), payloads(1000)...)
				} else {
					reg.claim(p.Owes(Analytics), fresh(1000, 10)...)
				}
				c := shedUntil(t, reg, 1)
				if c.Shed != 400 || c.Effective != 598 || c.DeadLetters != 2 || c.Filtered != 400 || len(b.letters) != 2 {
					t.Errorf("%+v, %d letters", c, len(b.letters))
				}
				s.down.Store(false)
				time.Sleep(time.Minute)
				p.end(t)
			})
		})
	}
}

func TestSpoolThatIsFullWaitsByDefault(t *testing.T) {
	bothSinks(t, func(t *testing.T, s *patientSink) {
		reg, sp := newRegistry(), &memSpool{name: "mem", err: errors.New("no space left on device")}
		s.down.Store(true)
		reg.scarce.short.Store(true)
		p := start(t, reg, spoolOptions(&box{}, sp, s))
		reg.claim(p.Owes(Analytics), payloads(6000)...)
		time.Sleep(10 * time.Minute)
		if c := reg.counts("s"); c.Pending != 6000 || c.Shed != 0 {
			t.Errorf("%+v", c)
		}
		s.down.Store(false)
		time.Sleep(time.Minute)
		p.end(t)
		wantShed(t, reg, sp, s, 6000, 0)
	})
}

// A pump that dies at any step of shedding, from the source and from the spool, books it once and delivers the rest.
func TestCrashAtEveryStepOfShedding(t *testing.T) {
	for _, point := range []string{"before settle", "after settle", "before booking", "after booking"} {
		t.Run(point, func(t *testing.T) {
			bothSinks(t, func(t *testing.T, s *patientSink) {
				reg, sp := newRegistry(), &memSpool{name: "mem"}
				s.down.Store(true)
				reg.scarce.short.Store(true)
				opt := spoolOptions(&box{}, sp, s)
				opt.Sinks[0].Sheds = true
				p := start(t, reg, opt)
				reg.claim(p.Owes(Analytics), payloads(6000)...)
				time.Sleep(time.Minute)
				sp.mu.Lock()
				sp.err = errors.New("no space left on device")
				sp.mu.Unlock()
				died := false
				reg.mu.Lock()
				reg.scarce.stop = func(at string) bool {
					first := !died && at == point
					died = died || first
					return first
				}
				reg.mu.Unlock()
				reg.claim(p.Owes(Analytics), fresh(6000, 6000)...)
				time.Sleep(20 * time.Second)
				p.end(t)
				s.renew()
				opt = spoolOptions(&box{}, sp, s)
				opt.Sinks[0].Sheds = true
				p = start(t, reg, opt)
				shed := shedUntil(t, reg, 1).Shed
				s.down.Store(false)
				time.Sleep(time.Minute)
				p.end(t)
				wantShed(t, reg, sp, s, 12000, shed)
			})
		})
	}
}
