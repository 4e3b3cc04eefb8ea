package redislist

import (
	"bytes"
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/internal/pipeline"
	"sluice/internal/testenv"
	"sluice/internal/units"
)

// cutter is a proxy that, once armed, lets the next request that holds a word through to the server, waits for the answer,
// and cuts the connection instead of passing it on: what was asked for is done, and nobody knows.
type cutter struct {
	addr   string
	frozen sync.Mutex // while it is held nothing reaches the server
	armed  atomic.Pointer[string]
	cuts   atomic.Int32

	mu       sync.Mutex
	upstream string
	conns    map[net.Conn]bool
}

func newCutter(t testing.TB, upstream string) *cutter {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &cutter{addr: ln.Addr().String(), upstream: upstream, conns: map[net.Conn]bool{}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			up := p.accept(c)
			if up == nil {
				_ = c.Close()
				continue
			}
			var cut atomic.Bool
			wg.Go(func() { p.up(c, up, &cut) })
			wg.Go(func() { p.down(c, up, &cut) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		p.redirect("")
		wg.Wait()
	})
	return p
}

// accept connects to where the proxy leads now; nil if it cannot.
func (p *cutter) accept(c net.Conn) net.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	up, err := net.Dial("tcp", p.upstream)
	if err != nil {
		return nil
	}
	p.conns[c], p.conns[up] = true, true
	return up
}

// redirect leads to another server and cuts all connections.
func (p *cutter) redirect(addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.upstream = addr
	for c := range p.conns {
		_ = c.Close()
	}
	clear(p.conns)
}

func (p *cutter) up(c, up net.Conn, cut *atomic.Bool) {
	defer up.Close()
	b := make([]byte, 1<<20)
	for {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		if w := p.armed.Load(); w != nil && bytes.Contains(b[:n], []byte(*w)) && p.armed.CompareAndSwap(w, nil) {
			cut.Store(true)
		}
		p.frozen.Lock()
		_, err = up.Write(b[:n])
		p.frozen.Unlock()
		if err != nil {
			return
		}
	}
}

func (p *cutter) down(c, up net.Conn, cut *atomic.Bool) {
	defer c.Close()
	b := make([]byte, 1<<20)
	for {
		n, err := up.Read(b)
		if err != nil {
			return
		}
		if cut.Load() {
			p.cuts.Add(1)
			return
		}
		if _, err := c.Write(b[:n]); err != nil {
			return
		}
	}
}

func (p *cutter) arm(word string) { p.armed.Store(&word) }

// work settles whatever comes on a list until stop is closed, as a pipeline would: it begins at the cursors of a claim.
func work(d *fakeDrain, list string, stop <-chan struct{}) {
	for {
		var st *stream
		select {
		case <-stop:
			return
		case st = <-d.gained:
		}
		if st.id.List != list {
			continue
		}
		workOn(st, stop)
	}
}

func workOn(st *stream, stop <-chan struct{}) {
	for {
		cs, changed := st.Claims()
		for _, c := range cs {
			for _, sink := range c.Owes {
				for i := c.Cursor[sink]; i < c.Len; {
					es, err := st.Read(context.Background(), c.ID, i, 700, 1<<20)
					if err == nil {
						to := i + uint32(len(es))
						err = st.Settle(context.Background(), sink, []pipeline.Settled{rng(c.ID, i, to)})
						i = to
					}
					if err != nil {
						if st.failed() != nil {
							return
						}
						i = st.cursor(c.ID, sink)
					}
				}
			}
		}
		select {
		case <-changed:
		case <-st.Done():
			return
		case <-stop:
			return
		}
	}
}

// cursor is where a sink is, as far as the stream knows.
func (st *stream) cursor(id pipeline.ClaimID, sink string) uint32 {
	st.mu.Lock()
	defer st.mu.Unlock()
	if c := st.open[id]; c != nil {
		return c.Cursor[sink]
	}
	return ^uint32(0)
}

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
					se := s.session
					s.mu.Unlock()
					if se != nil {
						se.c.fail(errors.New("test"))
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
	time.Sleep(700 * time.Millisecond) // more than a lease: it is renewed
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
		if w.List != l.name || w.Undone != 1 || !w.From.Equal(c.Time) {
			t.Fatalf("%+v", w)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("nobody was told")
	}
}

// Claims follow the cadence: big ones at once, none while no sink takes data, but for lists whose TTL runs out.
func TestCadence(t *testing.T) {
	srv := testenv.StartRedis(t)
	r := dialRedis(t, srv.Addr)
	all := lists("analytics-", true)
	i := func(name string) list { return all[slices.IndexFunc(all, func(l list) bool { return l.name == name })] }
	plain, proto, up := i("analytics-tyk-system-analytics"), i("analytics-tyk-system-analytics_3_protobuf"), i(uptimeList)
	s, d := newSource(t, testConfig(srv.Addr), tokenA), newDrain("x")
	d.noUptime = true
	d.unwilling.Store(true)
	for _, l := range []list{plain, proto, up} {
		r.push(l.name, 0, 3)
	}
	r.do("EXPIRE", plain.name, "60")
	run(t, s, d)
	time.Sleep(300 * time.Millisecond)
	for _, l := range []list{plain, proto, up} {
		if r.int("LLEN", l.name) != 3 {
			t.Fatalf("%s was claimed", l.name)
		}
	}
	r.do("EXPIRE", plain.name, "4") // a gateway with a short TTL
	st := d.stream(t, plain.name)
	if c := claims(t, st, 1)[0]; c.Len != 3 {
		t.Fatal(c)
	}
	if r.int("LLEN", proto.name) != 3 {
		t.Fatal("a list that does not expire was claimed")
	}
	d.unwilling.Store(false)
	eventually(t, "the protobuf list is claimed", func() bool { return r.int("LLEN", proto.name) == 0 })
	if r.int("LLEN", up.name) != 3 || r.int("EXISTS", up.registry()) != 0 {
		t.Fatal("a list that nobody wants was leased")
	}
	d.mu.Lock()
	d.noUptime = false
	d.mu.Unlock()
	if c := claims(t, d.stream(t, up.name), 1)[0]; c.Len != 3 {
		t.Fatal(c)
	}
	for open, want := range map[int]time.Duration{0: time.Second, 63: time.Second, 64: 2 * time.Second, 256: 16 * time.Second, 320: 20 * time.Second, 1 << 20: 20 * time.Second} {
		if got := stretch(time.Second, open); got != want {
			t.Errorf("%d open claims: %s, want %s", open, got, want)
		}
	}
}

// A list of 100,000 is one claim, followed by the next at once.
func TestBigClaim(t *testing.T) {
	srv := testenv.StartRedis(t)
	r, l := dialRedis(t, srv.Addr), analytics()
	r.push(l.name, 0, 100_000)
	cfg := testConfig(srv.Addr)
	cfg.Claim.Interval = units.Duration(20 * time.Second)
	s, d := newSource(t, cfg, tokenA), newDrain("x")
	run(t, s, d)
	st := d.stream(t, l.name)
	c := claims(t, st, 1)[0]
	if c.Len != 100_000 {
		t.Fatal(c.Len)
	}
	if es, err := st.Read(t.Context(), c.ID, 99_999, 1, 1); err != nil || string(es[0].Payload) != payload(99_999) {
		t.Fatal(es, err)
	}
	r.push(l.name, 0, 5)
	if c = claims(t, st, 2)[1]; c.Len != 5 { // not 20 s later
		t.Fatal(c)
	}
	settleAll(t, st, claims(t, st, 2)[0], "x")
	settleAll(t, st, c, "x")
	if n := r.int("DBSIZE"); n != 1 {
		t.Fatalf("%d keys are left", n)
	}
}

// What cannot be claimed gets the shield, once, and only where there was a TTL.
func TestShield(t *testing.T) {
	srv := testenv.StartRedis(t)
	r := dialRedis(t, srv.Addr)
	all := lists("analytics-", false)
	plain, proto, bare := all[0], all[1], all[2]
	r.do("SET", "{"+plain.name+"}:sluice", "not a hash") // so that every script fails
	r.do("SET", "{"+proto.name+"}:sluice", "not a hash")
	r.do("SET", "{"+bare.name+"}:sluice", "not a hash")
	for _, l := range []list{plain, proto, bare} {
		r.push(l.name, 0, 3)
	}
	r.do("EXPIRE", plain.name, "4")
	r.do("EXPIRE", proto.name, "40")
	s, d := newSource(t, testConfig(srv.Addr), tokenA), newDrain("x")
	run(t, s, d)
	eventually(t, "the list is shielded", func() bool { return r.int("TTL", plain.name) > 590 })
	if ttl := r.int("TTL", proto.name); ttl > 40 {
		t.Fatalf("a protobuf list got a TTL of %d", ttl)
	}
	if ttl := r.int("TTL", bare.name); ttl != -1 {
		t.Fatalf("a list without a TTL got one of %d", ttl)
	}
	r.do("DEL", "{"+plain.name+"}:sluice")
	if c := claims(t, d.stream(t, plain.name), 1)[0]; c.Len != 3 {
		t.Fatal(c)
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
	if since := time.Since(given); since < 600*time.Millisecond {
		t.Fatalf("taken again after %s", since)
	}
	if c := claims(t, st, 1)[0]; c.Cursor["x"] != 3 || c.Cursor["lacking"] != 0 {
		t.Fatal(c)
	}
}

// Lists of a prefix with a hash tag keep their names; the demo's Redis has no INFO and is accepted only if it is said so.
func TestNames(t *testing.T) {
	for prefix, want := range map[string]string{
		"analytics-": "{analytics-tyk-system-analytics}:sluice",
		"{tyk}-":     "{tyk}-tyk-system-analytics:sluice",
		"{}x":        "", "a}b": "", "{a": "{{atyk-system-analytics}:sluice",
	} {
		c := Defaults()
		c.KeyPrefix = prefix
		if ps := c.Validate(); (len(ps) > 0) != (want == "") {
			t.Errorf("%q: %v", prefix, ps)
		}
		if got := lists(prefix, false)[0].registry(); want != "" && got != want {
			t.Errorf("%q: %s, want %s", prefix, got, want)
		}
	}
	names := map[string]bool{}
	for _, l := range lists("p-", true) {
		names[l.name] = true
	}
	for _, want := range []string{"p-tyk-system-analytics", "p-tyk-system-analytics_protobuf", "p-tyk-system-analytics_9",
		"p-tyk-system-analytics_9_protobuf", uptimeList, "p-tyk-system-analytics_sluice_retry"} {
		if !names[want] {
			t.Errorf("%s is not looked after", want)
		}
	}
}

// Braces in the prefix, a user with a password and another database work end to end.
func TestLoginAndTag(t *testing.T) {
	srv := testenv.StartRedis(t)
	r := dialRedis(t, srv.Addr)
	r.do("ACL", "SETUSER", "pump", "on", ">se cret", "~*", "+@all")
	cfg := testConfig(srv.Addr)
	cfg.Username, cfg.Password, cfg.DB, cfg.KeyPrefix = "pump", "se cret", 3, "{tyk}-"
	l := lists(cfg.KeyPrefix, false)[0]
	s, d := newSource(t, cfg, tokenA), newDrain("x")
	r.push(l.name, 0, 3)
	r.do("MOVE", l.name, "3")
	run(t, s, d)
	st := d.stream(t, l.name)
	c := claims(t, st, 1)[0]
	if es := readAll(t, st, c, 0); len(es) != 3 {
		t.Fatal(es)
	}
	settleAll(t, st, c, "x")

	cfg.Password = "wrong"
	s = newSource(t, cfg, tokenB)
	err := s.Run(t.Context(), newDrain("x"))
	if class, _ := pipeline.Classify(err); class != pipeline.FatalError || strings.Contains(err.Error(), "wrong") {
		t.Fatal(err)
	}
}
