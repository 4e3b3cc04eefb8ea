package pipeline

import (
	"testing"
	"testing/synctest"
	"time"
)

// While the sink looks at a batch the next one is read, once; where memory is short it is not, or only in part.
func TestNextBatchIsReadWhileTheSinkWorks(t *testing.T) {
	for _, c := range []struct {
		name   string
		memory int64
		reads  int // while the sink has the first batch; 0: not known
	}{{name: "memory is free", memory: 256 << 20, reads: 10}, {name: "memory is short", memory: 9 << 20}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reg := newRegistry()
				var p *pump
				var during int
				var most int64
				s := &fakeSink{respond: func(call int, _ *Batch) (Result, error) {
					time.Sleep(time.Second)
					if call == 0 {
						during = reg.readsSoFar()
					}
					most = max(most, p.MemoryUsed())
					return Result{}, nil
				}}
				opt := options(&box{}, spec("one", s))
				opt.Memory = c.memory
				p = start(t, reg, opt)
				reg.claim(p.Owes(Analytics), payloads(10_000)...)
				time.Sleep(10 * time.Minute)
				p.end(t)
				if s.effects() != 10_000 || most > c.memory {
					t.Errorf("%d effects, %d bytes in use of %d", s.effects(), most, c.memory)
				}
				if c.reads > 0 && (during != c.reads || reg.readsSoFar() != c.reads) {
					t.Errorf("%d reads during the first batch, %d in all, want %d", during, reg.readsSoFar(), c.reads)
				}
			})
		})
	}
}

func (r *registry) readsSoFar() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reads
}

func TestBusyWhileASinkHasABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := newRegistry()
		s := &fakeSink{respond: func(int, *Batch) (Result, error) {
			time.Sleep(time.Minute)
			return Result{}, nil
		}}
		opt := options(&box{}, spec("one", s))
		opt.Sinks[0].Timeout = time.Hour
		p := start(t, reg, opt)
		time.Sleep(time.Second)
		if p.Busy() {
			t.Error("busy with nothing to do")
		}
		reg.claim(p.Owes(Analytics), payloads(10)...)
		time.Sleep(time.Second)
		if !p.Busy() {
			t.Error("not busy with a batch in hand")
		}
		time.Sleep(time.Minute)
		if p.Busy() {
			t.Error("busy with what is done")
		}
		p.end(t)
	})
}
