package redislist

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/pipeline"
	"sluice/internal/testenv"
	"sluice/internal/units"
)

// Replies of every script are lost, each many times, behind a proxy that cuts after the server ran it: the ledger is exact
// all the same, and nothing is left.
func TestLostReplies(t *testing.T) {
	srv := testenv.StartRedis(t)
	r, l := dialRedis(t, srv.Addr), analytics()
	p := newCutter(t, srv.Addr)
	cfg := testConfig(p.addr)
	cfg.Claim.Lease = units.Duration(300 * time.Millisecond)
	s, d := newSource(t, cfg, tokenA), newDrain("a", "b")
	run(t, s, d)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { work(d, l.name, stop) })
	pushed := 0
	for range 3 {
		for _, sc := range []*script{claimScript, settleScript, takeScript, renewScript} {
			p.arm(sc.sha)
			for n := p.cuts.Load(); p.cuts.Load() == n; {
				r.push(l.name, pushed, 1500)
				pushed += 1500
				time.Sleep(20 * time.Millisecond)
				if pushed > 3_000_000 {
					t.Fatal("nothing is cut")
				}
				if sc == takeScript { // leases are taken only after something else broke
					s.mu.Lock()
					se := s.sessions[""]
					s.mu.Unlock()
					if se != nil && p.armed.Load() != nil {
						se.c.fail(errors.New("test"))
					} else if p.cuts.Load() == n && p.armed.Load() == nil { // its connection ended before it was answered
						p.arm(sc.sha)
					}
				}
			}
		}
	}
	eventually(t, "all is settled", func() bool {
		a, err := s.Audit(t.Context())
		return err == nil && len(a) == 1 && a[0].Taken == uint64(pushed) && len(a[0].Claims) == 0
	})
	close(stop)
	wg.Wait()
	a, err := s.Audit(t.Context())
	if err != nil || len(a[0].Strange) > 0 || a[0].Sinks["a"].Effective != uint64(pushed) || a[0].Sinks["b"].Effective != uint64(pushed) {
		t.Fatalf("%+v %v", a, err)
	}
	if a[0].FieldSize > 2500 {
		t.Fatalf("%d bytes of registry are left", a[0].FieldSize)
	}
}

// Two sources on one Redis: one has the list and falls silent, the other takes it when the lease has expired and goes on
// where the cursors are. What the first sent before it fell silent arrives late and changes nothing.
func TestTakeOverAfterExpiry(t *testing.T) {
	srv := testenv.StartRedis(t)
	r, l := dialRedis(t, srv.Addr), analytics()
	p := newCutter(t, srv.Addr)
	a, da := newSource(t, testConfig(p.addr), tokenA), newDrain("x")
	b, db := newSource(t, testConfig(srv.Addr), tokenB), newDrain("x")
	r.push(l.name, 0, 2000)
	run(t, a, da)
	st := da.stream(t, l.name)
	c := claims(t, st, 1)[0]
	if err := st.Settle(t.Context(), "x", []pipeline.Settled{rng(c.ID, 0, 1200)}); err != nil {
		t.Fatal(err)
	}
	run(t, b, db)
	eventually(t, "the other is seen as live", func() bool {
		idle, names, err := b.Idle(t.Context())
		return err == nil && idle && len(names) == 1 && strings.Contains(names[0], l.name+": belongs to a live pump")
	})
	if n := len(db.gained); n > 0 {
		t.Fatal("a leased list was gained")
	}
	p.frozen.Lock()
	late := make(chan error, 1)
	go func() { late <- st.Settle(t.Context(), "x", []pipeline.Settled{rng(c.ID, 1200, 1900)}) }()
	stB := db.stream(t, l.name)
	cb := claims(t, stB, 1)[0]
	if cb.ID != c.ID || cb.Cursor["x"] != 1200 || stB.id.Lineage != st.id.Lineage {
		t.Fatalf("%+v", cb)
	}
	if err := stB.Settle(t.Context(), "x", []pipeline.Settled{rng(c.ID, 1200, 1700)}); err != nil {
		t.Fatal(err)
	}
	p.frozen.Unlock()
	if err := <-late; !errors.Is(err, errLost) {
		t.Fatal(err)
	}
	closed(t, st)
	if err := st.Settle(t.Context(), "x", []pipeline.Settled{rng(c.ID, 1200, 2000)}); !errors.Is(err, errClosed) {
		t.Fatal(err)
	}
	if err := stB.Settle(t.Context(), "x", []pipeline.Settled{rng(c.ID, 1700, 2000)}); err != nil {
		t.Fatal(err)
	}
	if reg := r.registry(l); reg.Ledger["x"]["effective"] != 2000 || len(reg.Claims) != 0 || reg.Owner != tokenB {
		t.Fatalf("%+v", reg)
	}
}

// A pump that ends gives its leases back, so that the next need not wait; StopClaiming leaves streams alone.
func TestShutdown(t *testing.T) {
	srv := testenv.StartRedis(t)
	r, l := dialRedis(t, srv.Addr), analytics()
	s, d := newSource(t, testConfig(srv.Addr), tokenA), newDrain("x")
	r.push(l.name, 0, 10)
	stop := run(t, s, d)
	st := d.stream(t, l.name)
	c := claims(t, st, 1)[0]
	s.StopClaiming()
	s.StopClaiming()
	r.push(l.name, 10, 10)
	time.Sleep(testLease + 100*time.Millisecond) // more than a lease: it is renewed
	if st.failed() != nil || r.int("LLEN", l.name) != 10 {
		t.Fatal("claimed after the stop", st.failed())
	}
	settleAll(t, st, c, "x")
	stop()
	closed(t, st)
	if reg := r.registry(l); reg.Owner != "" || len(reg.Claims) != 0 {
		t.Fatalf("%+v", reg)
	}
}

// Redis is restarted with its data: a new epoch begins, old claims go on in theirs, nothing is lost or doubled.
func TestRestartOfRedis(t *testing.T) {
	srv := testenv.StartRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	r, l := dialRedis(t, srv.Addr), analytics()
	s, d := newSource(t, testConfig(srv.Addr), tokenA), newDrain("x")
	r.push(l.name, 0, 2500)
	run(t, s, d)
	st := d.stream(t, l.name)
	old := claims(t, st, 1)[0]
	if err := st.Settle(t.Context(), "x", []pipeline.Settled{rng(old.ID, 0, 1100)}); err != nil {
		t.Fatal(err)
	}
	srv.Kill()
	closed(t, st)
	eventually(t, "the break is shown", func() bool { st := s.Status(); return !st.Connected && st.Error != "" })
	srv.Restart()
	st2 := d.stream(t, l.name)
	if st2.id.Lineage != st.id.Lineage || st2.epoch.Ms <= st.epoch.Ms {
		t.Fatalf("epoch %v after %v", st2.epoch, st.epoch)
	}
	eventually(t, "the server is back", func() bool { return r.try("PING").Error() == nil })
	r.push(l.name, 2500, 100)
	cs := claims(t, st2, 2)
	if cs[0].ID != old.ID || cs[0].Cursor["x"] != 1100 || cs[1].ID.Epoch != st2.epoch || cs[1].ID.Number != old.ID.Number+1 || cs[1].ID.Compare(old.ID) <= 0 {
		t.Fatalf("%+v", cs)
	}
	es := readAll(t, st2, cs[0], 1100)
	if len(es) != 1400 || string(es[0].Payload) != payload(1100) {
		t.Fatal(len(es), string(es[0].Payload))
	}
	err := st2.Settle(t.Context(), "x", []pipeline.Settled{rng(cs[0].ID, 1100, 2500), rng(cs[1].ID, 0, 100)})
	if err != nil {
		t.Fatal(err)
	}
	if reg := r.registry(l); len(reg.Claims) != 0 || reg.Ledger["x"]["effective"] != 2600 || reg.Taken != 2600 {
		t.Fatalf("%+v", reg)
	}
}

// Redis comes back without its data, or with older data: that is noticed and said.
func TestHistoryGoesBack(t *testing.T) {
	srv := testenv.StartRedis(t)
	r, l := dialRedis(t, srv.Addr), analytics()
	back := make(chan WentBack, 9)
	s, err := New("main", testConfig(srv.Addr), Deps{Token: tokenA, Home: "h", Log: testLog(t), WentBack: func(w WentBack) { back <- w }})
	if err != nil {
		t.Fatal(err)
	}
	d := newDrain("x")
	run(t, s, d)
	r.push(l.name, 0, 10)
	st := d.stream(t, l.name)
	c := claims(t, st, 1)[0]
	m := r.do("DUMP", l.registry())
	registryThen, _ := m.ToString()
	m = r.do("DUMP", l.claim(c.ID))
	claimThen, _ := m.ToString()
	settleAll(t, st, c, "x")
	r.push(l.name, 10, 1)
	claims(t, st, 1) // what is handed out is held by all that it waits for, and so is the settle before it
	srv.Kill()
	closed(t, st)
	srv.Restart()
	eventually(t, "the server is back", func() bool { return r.try("PING").Error() == nil })
	r.do("RESTORE", l.claim(c.ID), "0", claimThen)
	r.do("RESTORE", l.registry(), "0", registryThen)
	st = d.stream(t, l.name)
	if cs := claims(t, st, 1); cs[0].ID != c.ID {
		t.Fatal(cs)
	}
	select {
	case w := <-back:
		if w.List != l.name || w.Undone != 2 || !w.From.Equal(c.Time.Add(-gathering)) || !w.Recorded || w.To.Before(c.Time) {
			t.Fatalf("%+v", w)
		}
	case <-time.After(patience):
		t.Fatal("nobody was told")
	}
}

// Redis comes back empty and stays so: that is noticed without a record that makes somebody look.
func TestEmptyHistoryIsNoticedWithoutTraffic(t *testing.T) {
	srv := testenv.StartRedis(t)
	r, l := dialRedis(t, srv.Addr), analytics()
	back := make(chan WentBack, 9)
	s, err := New("main", testConfig(srv.Addr), Deps{Token: tokenA, Home: "h", Log: testLog(t), WentBack: func(w WentBack) { back <- w }})
	if err != nil {
		t.Fatal(err)
	}
	d := newDrain("x")
	run(t, s, d)
	r.push(l.name, 0, 10)
	st := d.stream(t, l.name)
	c := claims(t, st, 1)[0]
	settleAll(t, st, c, "x")
	srv.Kill()
	closed(t, st)
	srv.Restart()
	select {
	case w := <-back:
		if w.List != l.name || w.Lineage != st.ID().Lineage || !w.From.Equal(c.Time.Add(-gathering)) || !w.Recorded {
			t.Fatalf("%+v", w)
		}
	case <-time.After(patience):
		t.Fatal("nobody was told")
	}
}

// A stream that is given back is left alone for a lease, and taken again if nobody did.
func TestGiveBack(t *testing.T) {
	srv := testenv.StartRedis(t)
	r, l := dialRedis(t, srv.Addr), analytics()
	s, d := newSource(t, testConfig(srv.Addr), tokenA), newDrain("lacking", "x")
	r.push(l.name, 0, 3)
	run(t, s, d)
	st := d.stream(t, l.name)
	c := claims(t, st, 1)[0]
	settleAll(t, st, c, "x")
	given := time.Now()
	s.GiveBack(st)
	closed(t, st)
	if owner := r.str("HGET", l.registry(), "owner"); owner != "" {
		t.Fatal(owner)
	}
	idle, names, err := s.Idle(t.Context())
	if err != nil || !idle || len(names) != 1 || !strings.Contains(names[0], "not configured") {
		t.Fatal(idle, names, err)
	}
	st = d.stream(t, l.name)
	if since := time.Since(given); since < testLease {
		t.Fatalf("taken again after %s", since)
	}
	if c := claims(t, st, 1)[0]; c.Cursor["x"] != 3 || c.Cursor["lacking"] != 0 {
		t.Fatal(c)
	}
}
