package redislist

import (
	"testing"

	"sluice/internal/pipeline"
	"sluice/internal/testenv"
)

// A list goes in, its records come out with their indices, and what is settled by all is gone, the ledger kept.
func TestDrainOneList(t *testing.T) {
	srv := testenv.StartRedis(t)
	r := dialRedis(t, srv.Addr)
	l := analytics()
	r.push(l.name, 0, 2500)
	r.do("EXPIRE", l.name, "4")
	s, d := newSource(t, testConfig(srv.Addr), tokenA), newDrain("a", "b")
	run(t, s, d)
	st := d.stream(t, l.name)
	c := claims(t, st, 1)[0]
	if c.Len != 2500 {
		t.Fatalf("claim of %d", c.Len)
	}
	if ttl := r.int("PTTL", l.claim(c.ID)); ttl != -1 {
		t.Fatalf("a claim has a TTL of %d", ttl)
	}
	for i, e := range readAll(t, st, c, 0) {
		if string(e.Payload) != payload(i) || e.Len != int64(len(e.Payload)) {
			t.Fatalf("element %d is %q", i, e.Payload)
		}
	}
	settleAll(t, st, c, "a")
	reg := r.registry(l)
	if len(reg.Claims) != 1 || reg.Claims[0].Cursor["a"] != 2500 || r.int("LLEN", l.claim(c.ID)) != 2500 {
		t.Fatalf("%+v", reg)
	}
	settleAll(t, st, c, "b")
	reg = r.registry(l)
	if len(reg.Claims) != 0 || len(reg.Shapes) != 0 || reg.Taken != 2500 || reg.Ledger["b"]["effective"] != 2500 {
		t.Fatalf("%+v", reg)
	}
	if n := r.int("EXISTS", l.claim(c.ID)); n != 0 {
		t.Fatal("the claim is still there")
	}
	audit, err := s.Audit(t.Context())
	if err != nil || len(audit) != 1 {
		t.Fatal(audit, err)
	}
	a := audit[0]
	if len(a.Strange) > 0 || a.FieldSize > 2500 || !a.Sinks["a"].Balanced() || a.Sinks["a"].Taken != 2500 || a.Owner != tokenA {
		t.Fatalf("%+v", a)
	}
	if cs, _ := st.Claims(); len(cs) != 0 {
		t.Fatal(cs)
	}
	// settled again: nothing happens
	settleAll(t, st, c, "a", "b")
	if again := r.registry(l); again.Ledger["b"]["effective"] != 2500 {
		t.Fatalf("%+v", again)
	}
	if stat := s.Status(); !stat.Connected || stat.Taken != 2500 {
		t.Fatalf("%+v", stat)
	}
	var _ pipeline.Source = s
}
