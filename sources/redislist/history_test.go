package redislist

import (
	"testing"
	"time"

	"sluice/internal/pipeline"
	"sluice/internal/testenv"
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
	claims(t, st, 1) // a third, which the source knows of
	primary.Kill()   // and with it what the replica never got

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
	mem := memory{lineage: "l", epoch: e1, n: 9, last: at(9), open: map[pipeline.ClaimID]time.Time{id(e1, 8): at(8)},
		made: []madeClaim{{7, at(7)}, {8, at(8)}, {9, at(9)}}, sure: assured{n: 9, front: map[string]pipeline.Position{"x": pos(8, 5)}}}
	late := mem // replicas had all up to the eighth claim, and half of what was settled of that
	late.sure = assured{n: 8, front: map[string]pipeline.Position{"x": pos(8, 2)}, members: map[string]pipeline.MemberRange{"x": {From: pos(8, 2), To: pos(8, 4)}}}
	recorded := membersString(late.sure.members["x"])
	same := func() *registry {
		return &registry{Lineage: "l", Epoch: e1, N: 9, Claims: []claimEntry{entry(8, 5)}, Spools: map[string]pipeline.Spooled{}}
	}
	for name, tt := range map[string]struct {
		edit   func(*registry)
		undone int
		from   time.Time
	}{
		"nothing happened": {func(*registry) {}, 0, time.Time{}},
		"a failover undid what no replica had": {func(r *registry) {
			r.N, r.Claims, r.Members = 8, []claimEntry{entry(8, 2)}, map[string]string{"x": recorded}
		}, -1, at(8)},
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
		want := tt.undone
		if want < 0 {
			want = 2
		}
		if w := mem.behind(reg); w.Undone != want || !w.From.Equal(tt.from) {
			t.Errorf("%s: %d from %s, want %d from %s", name, w.Undone, w.From, want, tt.from)
		}
	}

	for name, tt := range map[string]struct {
		edit   func(*registry)
		undone int
	}{
		"what no replica had is gone":   {func(*registry) {}, 0},
		"what it had of a cursor is":    {func(r *registry) { r.Claims = []claimEntry{entry(8, 1)} }, 1},
		"a claim that it had is gone":   {func(r *registry) { r.N, r.Claims = 7, nil }, 1},
		"recorded members are gone":     {func(r *registry) { r.Members = nil }, 1},
		"the sink has passed them":      {func(r *registry) { r.Members, r.Claims = nil, []claimEntry{entry(8, 4)} }, 0},
		"they lie in the spool with it": {func(r *registry) { r.Spools["x"] = pipeline.Spooled{From: pos(8, 2), To: pos(9, 1)} }, 0},
		"what had left it is in it":     {func(r *registry) { r.Spools["x"] = pipeline.Spooled{From: pos(8, 1), To: pos(9, 1)} }, 1},
	} {
		reg := same()
		reg.N, reg.Claims, reg.Members = 8, []claimEntry{entry(8, 2)}, map[string]string{"x": recorded}
		tt.edit(reg)
		if w := late.behind(reg); w.Undone != tt.undone {
			t.Errorf("with less assured, %s: %d, want %d", name, w.Undone, tt.undone)
		}
	}
}

// A failover to a replica that had all that it was waited for raises no alarm, although the last settles, and a claim that nothing was
// delivered from, are undone by it.
func TestFailoverThatLostNothingIsNoAlarm(t *testing.T) {
	t.Parallel()
	primary, replica, r := withReplica(t)
	l := analytics()
	front := newCutter(t, primary.Addr)
	cfg := testConfig(front.addr)
	cfg.Claim.WaitReplicas = 1
	s, d := newSource(t, cfg, tokenA), newDrain("x")
	r.push(l.name, 0, 10)
	run(t, s, d)
	st := d.stream(t, l.name)
	first := claims(t, st, 1)[0]
	rr := dialRedis(t, replica.Addr)
	rr.do("REPLICAOF", "NO", "ONE") // it has the claim, and gets no more
	rr.push(l.name, 10, 10)
	settleAll(t, st, first, "x")
	r.push(l.name, 10, 10)
	eventually(t, "another is made, which no replica gets", func() bool { return r.registry(l).N == 2 })
	time.Sleep(1200 * time.Millisecond) // a WAIT for it
	primary.Kill()
	again := testenv.StartRedisReplica(t, replica, "--repl-diskless-sync-delay", "0") // that it may be waited for
	eventually(t, "the new replica is in sync", func() bool { return onlineReplicas(rr.str("INFO", "replication")) == 1 })
	_ = again
	front.redirect(replica.Addr)
	st = d.stream(t, l.name)
	settleAll(t, st, claims(t, st, 1)[0], "x") // as if it had not been
	eventually(t, "the drain goes on", func() bool { return rr.registry(l).N == 2 })
	second := claims(t, st, 1)[0]
	settleAll(t, st, second, "x")
	if found, err := s.Suspects(t.Context()); err != nil || len(found) != 0 {
		t.Errorf("an alarm for nothing: %+v, %v", found, err)
	}
}
