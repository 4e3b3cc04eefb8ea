package redislist

import (
	"testing"
	"time"

	"sluice/internal/pipeline"
)

// What is shed is booked under filtered, and its bounds are kept in the same step; repeated, it changes nothing.
func TestShedRecordsAreBookedAndNamed(t *testing.T) {
	b := newBench(t)
	b.r.push(b.l.name, 0, 2500)
	reg := b.take(b.a)
	c := b.claim(b.a, reg, owing("x"))
	claimed := time.UnixMilli(1_790_000_000_000).UTC()
	shed := func(from, to uint32, at time.Time) pipeline.Settled {
		n := uint64(to - from)
		return pipeline.Settled{Claim: c.ID, From: from, To: to, Counts: pipeline.Counts{Filtered: n, Shed: n}, Claimed: at}
	}
	for _, s := range []pipeline.Settled{shed(0, 700, claimed), shed(0, 700, claimed), shed(700, 1000, claimed.Add(time.Hour)), rng(c.ID, 1000, 1500)} {
		if _, err := b.settle(b.a, reg, "x", s); err != nil {
			t.Fatal(err)
		}
	}
	lists, err := newSource(t, testConfig(b.r.addr), tokenB).Audit(t.Context())
	if err != nil || len(lists) != 1 {
		t.Fatal(lists, err)
	}
	a := lists[0]
	if k := a.Sinks["x"]; k.Filtered != 1000 || k.Shed != 1000 || k.Pending != 1000 || !k.Balanced() || len(a.Strange) > 0 {
		t.Errorf("%+v, strange %v", k, a.Strange)
	}
	want := ShedAudit{First: claimed, Last: claimed.Add(time.Hour), From: pipeline.Position{Claim: c.ID}.String(), To: pipeline.Position{Claim: c.ID, Index: 1000}.String()}
	if a.Sheds["x"] != want {
		t.Errorf("%+v, want %+v", a.Sheds["x"], want)
	}
}
