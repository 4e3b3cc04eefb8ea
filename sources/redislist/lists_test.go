package redislist

import (
	"slices"
	"sluice/internal/pipeline"
	"sluice/internal/testenv"
	"sluice/internal/units"
	"strings"
	"testing"
	"time"
)

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
	r.do("EXPIRE", plain.name, "15") // a gateway with a short TTL
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
	if n := r.int("DBSIZE"); n != 2 { // the registry, and the pumps that live
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
