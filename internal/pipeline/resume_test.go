package pipeline

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// unreadableStream cannot be read at times, nor is it quick to settle.
type unreadableStream struct {
	*fakeStream
	reads  int
	settle time.Duration
}

func (s *unreadableStream) Read(ctx context.Context, id ClaimID, index, n uint32, limit int64) ([]Element, error) {
	if s.reads++; s.reads%3 == 0 {
		return nil, errors.New("the connection was cut")
	}
	return s.fakeStream.Read(ctx, id, index, n, limit)
}

func (s *unreadableStream) Settle(ctx context.Context, sink string, ranges []Settled) error {
	if err := sleep(ctx, s.settle); err != nil {
		return err
	}
	return s.fakeStream.Settle(ctx, sink, ranges)
}

// TestFailedReadGoesOnWhereItWas: what was handed over before a read failed is neither handed over nor booked again.
func TestFailedReadGoesOnWhereItWas(t *testing.T) {
	for _, settle := range []time.Duration{0, 300 * time.Millisecond, 10 * time.Second} {
		t.Run(fmt.Sprintf("writer, settle in %s", settle), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &fakeSink{}
				// A batch in two: when the second half cannot be read again, the first is done.
				s.respond = func(call int, b *Batch) (Result, error) {
					if call == 0 {
						return Result{}, Permanent(errors.New("too large"))
					}
					return Result{}, nil
				}
				readInSpiteOfFailures(t, s, settle)
				for path, n := range s.seen {
					if n != 1 {
						t.Fatalf("%s was delivered %d times", path, n)
					}
				}
				if s.effects() != 20000 {
					t.Errorf("%d effects", s.effects())
				}
			})
		})
		t.Run(fmt.Sprintf("gatherer, settle in %s", settle), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := &gatherStore{counts: map[string]int{}}
				g := newGatherer(st)
				g.lost, g.full = 3, 3 // it is rewound as well
				readInSpiteOfFailures(t, g, settle)
				st.verify(t, 20000)
			})
		})
	}
}

func readInSpiteOfFailures(t *testing.T, s Sink, settle time.Duration) {
	reg := newRegistry()
	opt := options(&box{}, spec("s", s))
	opt.Batch.Records = 2000
	p := start(t, reg, opt)
	p.stream.lost()
	p.stream = reg.lease()
	p.Gained(&unreadableStream{fakeStream: p.stream, settle: settle})
	reg.claim(p.Owes(Analytics), payloads(12000)...)
	reg.claim(p.Owes(Analytics), payloads(20000)[12000:]...)
	time.Sleep(5 * time.Minute)
	if c := reg.counts("s"); c.Effective != 20000 {
		t.Errorf("ledger %+v", c)
	}
	p.end(t)
}
