package pipeline

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestNoteFollowsTheCursor: each batch comes with the note of what lies right before it, also after a split, a failure, and
// when the stream was lost in between.
func TestNoteFollowsTheCursor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, box := newRegistry(), &box{}
		s := &fakeSink{}
		var last, strange string
		s.respond = func(call int, b *Batch) (Result, error) {
			switch {
			case call == 1:
				return Result{Note: "of what failed"}, errors.New("away")
			case call == 3 && len(b.Items) > 1:
				return Result{Note: "of what is split"}, Permanent(errors.New("too large"))
			}
			if b.Note != last {
				strange = b.Note + " instead of " + last
			}
			last = b.End().String()
			return Result{Note: last}, nil
		}
		p := start(t, reg, options(box, spec("s", s)))
		reg.claim(p.Owes(Analytics), payloads(20000)...)
		time.Sleep(time.Minute)
		p.end(t)
		if strange != "" || reg.notes["s"] != last || last == "" {
			t.Fatalf("batch came with note %s; kept is %q, last %q", strange, reg.notes["s"], last)
		}
		p = start(t, reg, options(box, spec("s", s)))
		reg.claim(p.Owes(Analytics), payloads(10)...)
		time.Sleep(time.Minute)
		p.end(t)
		if strange != "" || s.calls < 6 {
			t.Fatalf("after a restart: batch came with note %s; %d calls", strange, s.calls)
		}
	})
}
