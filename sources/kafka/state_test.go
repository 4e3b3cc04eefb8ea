package kafka

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	bus "sluice/internal/kafka"
	"sluice/internal/pipeline"
)

var now = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

func owed(sinks ...string) pipeline.Owed {
	return pipeline.Owed{Sinks: sinks, Key: "k-" + strings.Join(sinks, "-"), JSON: []byte(`{"record":{},"sinks":{}}`)}
}

func rng(s *state, claim int, from, to uint32) pipeline.Settled {
	return pipeline.Settled{Claim: s.id(&s.Claims[claim]), From: from, To: to, Counts: pipeline.Counts{Effective: uint64(to - from)}}
}

// TestStateFitsBesideAnOffset: three regions of ten lists, four sinks, and as many open claims as there may be.
func TestStateFitsBesideAnOffset(t *testing.T) {
	s := newState(1e12, false, now)
	for i := range 30 {
		p := pipeline.Position{Claim: pipeline.ClaimID{Epoch: newState(0, false, now).Epoch, Number: uint32(i) * 1e6}, Index: uint32(i)}
		s.Seen[newState(0, false, now).Lineage] = seen{Position: p.String(), Number: uint64(i) * 1e9, Day: 20000}
	}
	for range openClaims {
		c := s.add(claimRecords, now, owed("archive", "dashboard", "raw", "search"))
		c.Cursors["raw"], c.Cursors["search"] = 17_003, 20_000
	}
	text, err := s.encode()
	if err != nil || len(text) > maxMetadata {
		t.Errorf("%d bytes, %v; brokers take %d", len(text), err, maxMetadata)
	}
	back, err := decodeState(text, s.base)
	if diff := cmp.Diff(s, back, cmp.AllowUnexported(state{}), cmpopts.EquateEmpty()); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

func TestSettleFollowsTheCursor(t *testing.T) {
	s := newState(5, false, now)
	s.add(10, now, owed("a", "b"))
	s.add(10, now, owed("a"))
	for _, rs := range [][]pipeline.Settled{
		{rng(s, 0, 1, 2)}, {rng(s, 0, 0, 11)}, {rng(s, 1, 2, 4)}, {rng(s, 0, 0, 10), rng(s, 1, 1, 2)}, {rng(s, 0, 3, 3)},
	} {
		if s.settle("a", rs) {
			t.Errorf("%+v does not follow the cursor", rs)
		}
	}
	if s.settle("b", []pipeline.Settled{rng(s, 1, 0, 10)}) {
		t.Error("a sink settles what it is not owed")
	}
	if !s.settle("a", []pipeline.Settled{rng(s, 0, 0, 4), rng(s, 0, 4, 10), rng(s, 1, 0, 3)}) || s.Claims[0].Cursors["a"] != 10 || s.Claims[1].Cursors["a"] != 3 {
		t.Errorf("%+v", s.Claims)
	}
	if s.Claims[0].done() || s.Sinks["a"].Effective != 13 {
		t.Errorf("%+v", s)
	}
	a := s.audit("t/0", logRange{0, 30})
	if a.Taken != 20 || a.Waiting != 5 || a.Sinks["a"].Total() != a.Sinks["a"].Taken || a.Sinks["b"].Pending != 10 {
		t.Errorf("%+v", a)
	}
}

func TestJudgeKnowsWhatIsMissing(t *testing.T) {
	at := func(i uint32) pipeline.Position {
		return pipeline.Position{Claim: pipeline.ClaimID{Epoch: pipeline.Epoch{Ms: 1}, Number: 1}, Index: i}
	}
	m := func(lineage string, before, pos uint32) *message {
		h := bus.Header{Lineage: lineage, Position: at(pos)}
		if before > 0 {
			h.Predecessor = at(before)
		}
		return &message{header: h, time: now}
	}
	for _, open := range []bool{false, true} {
		s := newState(0, open, now)
		j, err := newJudge(s)
		if err != nil {
			t.Fatal(err)
		}
		unknown := bus.Gap
		if open {
			unknown = bus.Take
		}
		for i, step := range []struct {
			m    *message
			want bus.Verdict
		}{
			{m("a", 0, 1), bus.Take}, {m("a", 0, 1), bus.Repeat}, {m("b", 4, 5), unknown}, {m("a", 3, 4), bus.Gap},
			{m("a", 1, 3), bus.Take}, {m("a", 3, 4), bus.Take}, {&message{hole: true}, bus.Repeat}, {&message{bad: "x"}, bus.Take},
		} {
			if got := j.see(step.m); got != step.want {
				t.Errorf("open %v, step %d: %d, want %d", open, i, got, step.want)
			}
		}
		s.Seen, s.Open = j.seen(now)
		again, err := newJudge(s)
		if err != nil || !cmp.Equal(again.passed, j.passed) || again.open != j.open {
			t.Errorf("kept is %+v, was %+v", again, j)
		}
	}
}

// TestForgettingNeedsTwoClocks: a lineage is forgotten when it was silent by the messages' clock and by the workers'; one clock
// that is ahead makes nobody forget.
func TestForgettingNeedsTwoClocks(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		name            string
		message, worker time.Duration // how much later the second lineage speaks, by each clock
		forgotten       bool
	}{
		{"both", 20 * day, 20 * day, true},
		{"an edge is ahead", 4000 * day, time.Hour, false},
		{"a worker is ahead", time.Hour, 4000 * day, false},
		{"not long ago", 13 * day, 13 * day, false},
	} {
		j, err := newJudge(newState(0, false, now))
		if err != nil {
			t.Fatal(err)
		}
		at := func(lineage string, n uint32, when time.Time) *message {
			return &message{time: when, header: bus.Header{Lineage: lineage, Position: pipeline.Position{Index: n}}}
		}
		j.see(at("a", 5, now))
		s := newState(0, false, now)
		s.Seen, s.Open = j.seen(now)
		if j, err = newJudge(s); err != nil { // another worker goes on
			t.Fatal(err)
		}
		j.see(at("b", 1, now.Add(c.message)))
		kept, open := j.seen(now.Add(c.worker))
		if _, knows := kept["a"]; knows == c.forgotten || open != c.forgotten {
			t.Errorf("%s: kept %v, open %v", c.name, kept, open)
		}
	}
}

func FuzzState(f *testing.F) {
	s := newState(3, true, now)
	s.add(5, now, owed("a"))
	text, err := s.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text, int64(3))
	f.Add("", int64(0))
	f.Add("x", int64(-1))
	f.Fuzz(func(t *testing.T, text string, base int64) {
		s, err := decodeState(text, base)
		if err != nil {
			return
		}
		again, err := s.encode()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := decodeState(again, base); err != nil || !cmp.Equal(s, back, cmp.AllowUnexported(state{}), cmpopts.EquateEmpty()) {
			t.Fatalf("%+v comes back as %+v, %v", s, back, err)
		}
	})
}
