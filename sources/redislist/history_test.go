package redislist

import (
	"testing"
	"time"

	"sluice/internal/pipeline"
)

// A replica is promoted that lacks the last claims, and another pump has the list first: the one that knew them notices,
// names the time, and records it where a later process and an operator find it.
func TestReplicaWithoutLastClaims(t *testing.T) {
	t.Parallel()
	primary, replica, r := withReplica(t)
	l := analytics()
	front := newCutter(t, primary.Addr)
	cfg := testConfig(front.addr)
	cfg.Claim.WaitReplicas = 0
	s, d := newSource(t, cfg, tokenA), newDrain("x")
	r.push(l.name, 0, 10)
	run(t, s, d)
	st := d.stream(t, l.name)
	settleAll(t, st, claims(t, st, 1)[0], "x")
	rr := dialRedis(t, replica.Addr)
	eventually(t, "the replica has the first claim", func() bool { return rr.str("HGET", l.registry(), "k:x:effective") == "10" })
	rr.do("REPLICAOF", "NO", "ONE") // it gets no more
	r.push(l.name, 10, 10)
	lost := claims(t, st, 1)[0]
	settleAll(t, st, lost, "x")
	r.push(l.name, 20, 10)
	eventually(t, "a third is made", func() bool { return r.registry(l).N == 3 })
	primary.Kill() // and with it what the replica never got

	direct := testConfig(replica.Addr)
	direct.Claim.WaitReplicas = 0
	other, od := newSource(t, direct, tokenB), newDrain("x")
	rr.push(l.name, 30, 5)
	eventually(t, "the lease of the first has run out", func() bool { return rr.registry(l).Until < time.Now().UnixMilli() })
	run(t, other, od)
	ost := od.stream(t, l.name)
	for n := range 3 { // as many as were lost, and more
		settleAll(t, ost, claims(t, ost, 1)[0], "x")
		rr.push(l.name, 40+n, 1)
		eventually(t, "a claim more", func() bool { return int(rr.registry(l).N) > 2+n })
	}
	front.redirect(replica.Addr)

	var found map[string][]Suspect
	eventually(t, "it is recorded", func() bool {
		var err error
		found, err = newSource(t, direct, tokenB).Suspects(t.Context())
		return err == nil && len(found[l.name]) > 0
	})
	got := found[l.name][0]
	if len(found) != 1 || len(found[l.name]) != 1 || got.Claims != 2 || !got.From.Equal(lost.Time.Add(-gathering)) ||
		got.To.Before(lost.Time) || got.Lineage != st.id.Lineage || len(got.Hours()) == 0 {
		t.Fatalf("%+v; the claim lost was made at %s", found, lost.Time)
	}
	if n, err := other.ClearSuspect(t.Context(), l.name, "another"); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := other.ClearSuspect(t.Context(), l.name, got.ID); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if found, err := other.Suspects(t.Context()); err != nil || len(found) != 0 {
		t.Fatal(found, err)
	}
}

// What a registry lacks of what was remembered, case by case.
func TestBehind(t *testing.T) {
	e1, e2 := pipeline.Epoch{Ms: 1000}, pipeline.Epoch{Ms: 2000}
	at := func(n int) time.Time { return time.Unix(int64(n), 0) }
	id := func(e pipeline.Epoch, n uint32) pipeline.ClaimID { return pipeline.ClaimID{Epoch: e, Number: n} }
	entry := func(n uint32, cur uint32) claimEntry {
		return claimEntry{ID: id(e1, n), Len: 10, Time: at(int(n)), Sinks: []string{"x"}, Cursor: map[string]uint32{"x": cur}}
	}
	pos := func(n, i uint32) pipeline.Position { return pipeline.Position{Claim: id(e1, n), Index: i} }
	mem := memory{lineage: "l", epoch: e1, n: 9, last: at(9), open: map[pipeline.ClaimID]claimEntry{id(e1, 8): entry(8, 5)},
		front: map[string]pipeline.Position{"x": pos(8, 5)}, made: []madeClaim{{7, at(7)}, {8, at(8)}, {9, at(9)}}}
	same := func() *registry {
		return &registry{Lineage: "l", Epoch: e1, N: 9, Claims: []claimEntry{entry(8, 5)}, Spools: map[string]pipeline.Spooled{}}
	}
	for name, tt := range map[string]struct {
		edit   func(*registry)
		undone int
		from   time.Time
	}{
		"nothing happened":            {func(*registry) {}, 0, time.Time{}},
		"another went on":             {func(r *registry) { r.N, r.Claims = 12, nil }, 0, time.Time{}},
		"another spooled what is new": {func(r *registry) { r.Spools["x"] = pipeline.Spooled{From: pos(8, 5), To: pos(9, 1)} }, 0, time.Time{}},
		"claims are gone":             {func(r *registry) { r.N = 7 }, 2, at(8)},
		"made up for in a new epoch":  {func(r *registry) { r.Epoch, r.BaseOf, r.Base, r.N = e2, e2, 8, 20 }, 1, at(9)},
		"an old program's epoch":      {func(r *registry) { r.Epoch, r.BaseOf, r.Base, r.N = e2, e1, 3, 20 }, 0, time.Time{}},
		"a finished claim is back":    {func(r *registry) { r.Claims = append(r.Claims, entry(7, 0)) }, 1, at(7)},
		"a cursor went back":          {func(r *registry) { r.Claims = []claimEntry{entry(8, 4)} }, 1, at(8)},
		"what left the spool is back": {func(r *registry) { r.Spools["x"] = pipeline.Spooled{From: pos(7, 2), To: pos(8, 5)} }, 1, at(7)},
		"the registry is gone":        {func(r *registry) { *r = registry{} }, 1, at(8)},
	} {
		reg := same()
		tt.edit(reg)
		if w := mem.behind(reg); w.Undone != tt.undone || !w.From.Equal(tt.from) {
			t.Errorf("%s: %d from %s, want %d from %s", name, w.Undone, w.From, tt.undone, tt.from)
		}
	}
}
