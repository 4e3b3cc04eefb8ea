package redislist

import (
	"strings"
	"testing"

	"sluice/internal/pipeline"
	"sluice/internal/testenv"
)

func fails(found []Finding) (out []string) {
	for _, f := range found {
		if f.Level == Fail {
			out = append(out, f.Text)
		}
	}
	return out
}

// A Redis that is right passes, and nothing of the check stays in it.
func TestCheckPasses(t *testing.T) {
	srv := testenv.StartRedis(t)
	s := newSource(t, testConfig(srv.Addr), tokenA)
	found := s.Check(t.Context())
	if bad := fails(found); len(bad) > 0 || Err(found) != nil || len(found) < 6 {
		t.Fatal(found)
	}
	if n := dialRedis(t, srv.Addr).int("DBSIZE"); n != 0 {
		t.Fatalf("%d keys are left", n)
	}
}

// Each thing that is wrong is named, with the rule that cures it.
func TestCheckFails(t *testing.T) {
	srv := testenv.StartRedis(t)
	r := dialRedis(t, srv.Addr)
	r.do("ACL", "SETUSER", "noltrim", "on", ">p", "~*", "+@all", "-ltrim", "-renamenx")       // can ask ACL DRYRUN
	r.do("ACL", "SETUSER", "narrow", "on", ">p", "~*", "+@all", "-acl", "-ltrim", "-persist") // cannot
	r.do("ACL", "SETUSER", "enough", "on", ">p", "~analytics-*", "~{analytics-*", "~host-checker:*", "~{host-checker:*", "-@all",
		"+"+commands[0])
	for _, c := range commands {
		r.do("ACL", "SETUSER", "enough", "+"+c)
	}
	for user, want := range map[string]string{"noltrim": "not allowed: renamenx ltrim", "narrow": "not allowed: persist ltrim", "enough": ""} {
		cfg := testConfig(srv.Addr)
		cfg.Username, cfg.Password = user, "p"
		found := newSource(t, cfg, tokenA).Check(t.Context())
		if got := strings.Join(fails(found), "; "); got != want {
			t.Errorf("%s: %q, want %q", user, got, want)
		}
	}
	r.do("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
	cfg := testConfig(srv.Addr)
	cfg.Claim.WaitReplicas = 2
	s := newSource(t, cfg, tokenA)
	bad := strings.Join(fails(s.Check(t.Context())), "; ")
	for _, want := range []string{"allkeys-lru", "wait_replicas is 2"} {
		if !strings.Contains(bad, want) {
			t.Errorf("%q does not name %s", bad, want)
		}
	}
	l := analytics()
	r.push(l.name, 0, 3)
	r.do("EXPIRE", l.name, "30")
	err := s.Run(t.Context(), newDrain("x"))
	if class, _ := pipeline.Classify(err); class != pipeline.FatalError || !strings.Contains(err.Error(), "allkeys-lru") {
		t.Fatal(err)
	}
	if ttl := r.int("TTL", l.name); ttl < 590 {
		t.Fatalf("the list was not made safe before the end: TTL %d", ttl)
	}
	srv.Kill()
	if found := s.Check(t.Context()); len(found) != 1 || found[0].Level != Fail {
		t.Fatal(found)
	}
}

// What is wrong with the log-in is said with what cures it.
func TestRefusedLogInNamesTheCure(t *testing.T) {
	srv := testenv.StartRedis(t)
	dialRedis(t, srv.Addr).do("CONFIG", "SET", "requirepass", "right")
	for password, want := range map[string]string{"": "set password", "wrong-one": "see username and password"} {
		cfg := testConfig(srv.Addr)
		cfg.Password = password
		err := newSource(t, cfg, tokenA).Run(t.Context(), newDrain("x"))
		if class, _ := pipeline.Classify(err); class != pipeline.FatalError || !strings.Contains(err.Error(), want) ||
			strings.Contains(err.Error(), "wrong-one") || strings.Contains(err.Error(), "HELLO") {
			t.Errorf("password %q: %v", password, err)
		}
	}
}

// The rights that check asks for are all that a run needs.
func TestRunWithLeastRights(t *testing.T) {
	srv := testenv.StartRedis(t)
	r, l := dialRedis(t, srv.Addr), analytics()
	r.do("ACL", "SETUSER", "enough", "on", ">p", "~analytics-*", "~{analytics-*", "~host-checker:*", "~{host-checker:*", "-@all")
	for _, c := range commands {
		r.do("ACL", "SETUSER", "enough", "+"+c)
	}
	cfg := testConfig(srv.Addr)
	cfg.Username, cfg.Password = "enough", "p"
	s, d := newSource(t, cfg, tokenA), newDrain("x")
	r.push(l.name, 0, 1200)
	run(t, s, d)
	st := d.stream(t, l.name)
	c := claims(t, st, 1)[0]
	readAll(t, st, c, 0)
	m := pipeline.MemberRange{From: pipeline.Position{Claim: c.ID}, To: pipeline.Position{Claim: c.ID, Index: 5}}
	if err := st.Members("x").Record(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if err := st.Settle(t.Context(), "x", []pipeline.Settled{rng(c.ID, 0, 1100)}); err != nil {
		t.Fatal(err)
	}
	if err := st.Settle(t.Context(), "x", []pipeline.Settled{rng(c.ID, 1100, 1200)}); err != nil {
		t.Fatal(err)
	}
	if a, err := s.Audit(t.Context()); err != nil || len(a) != 1 || len(a[0].Strange) > 0 {
		t.Fatal(a, err)
	}
	if idle, _, err := s.Idle(t.Context()); err != nil || !idle {
		t.Fatal(idle, err)
	}
	if _, err := s.ReleaseSink(t.Context(), l.name, "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ReleaseHome(t.Context(), l.name); err != nil {
		t.Fatal(err)
	}
	r.push(l.name, 0, 3)
	r.do("EXPIRE", l.name, "10")
	if err := s.Shield(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Run --once waits for a dead pump's lease, takes the list over, and is done when it is drained.
func TestIdleWaitsForDeadPump(t *testing.T) {
	b := newBench(t)
	b.r.push(b.l.name, 0, 10)
	b.a.lease = 1500e6
	reg := b.take(b.a)
	b.claim(b.a, reg, owing("x")) // and dies
	s, d := newSource(t, testConfig(b.r.addr), tokenB), newDrain("x")
	run(t, s, d)
	if idle, names, err := s.Idle(t.Context()); err != nil || idle || len(names) > 0 {
		t.Fatal(idle, names, err)
	}
	st := d.stream(t, b.l.name)
	c := claims(t, st, 1)[0]
	if idle, names, err := s.Idle(t.Context()); err != nil || idle || len(names) > 0 {
		t.Fatal(idle, names, err)
	}
	settleAll(t, st, c, "x")
	if idle, names, err := s.Idle(t.Context()); err != nil || !idle || len(names) > 0 {
		t.Fatal(idle, names, err)
	}
}
