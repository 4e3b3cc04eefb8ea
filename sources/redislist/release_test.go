package redislist

import (
	"errors"
	"sluice/internal/pipeline"
	"testing"
)

// While a claim is open that owes a local sink, no other state directory gets the list; and an operator can release it.
func TestHome(t *testing.T) {
	b := newBench(t)
	b.r.push(b.l.name, 0, 10)
	reg := b.take(b.a)
	owed := owing("x", "local")
	owed.Local = true
	c := b.claim(b.a, reg, owed)
	if err := giveBack(b.ctx(), b.c, b.a, b.l); err != nil {
		t.Fatal(err)
	}
	b.same("another home", func() {
		var home *homeError
		if _, _, err := take(b.ctx(), b.c, b.b, b.l, newNovelty(pipeline.Epoch{}), true); !errors.As(err, &home) || home.home != "home-a" {
			t.Error(err)
		}
	})
	src := newSource(t, testConfig(b.r.addr), tokenB)
	if rel, err := src.ReleaseHome(t.Context(), b.l.name); err != nil || rel.Home != "home-a" {
		t.Fatal(rel, err)
	}
	regB := b.take(b.b) // which becomes the home of what is still owed
	if regB.Home != "home-b" {
		t.Fatalf("%+v", regB)
	}
	for _, s := range []string{"x", "local"} {
		if _, err := b.settle(b.b, regB, s, rng(c.ID, 0, 10)); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.r.registry(b.l); got.Home != "" {
		t.Fatalf("home stays %q", got.Home)
	}
}

// What a removed sink is owed can be dropped; it is booked as filtered, and the claims go.
func TestReleaseSink(t *testing.T) {
	b := newBench(t)
	b.r.push(b.l.name, 0, 2500)
	reg := b.take(b.a)
	c := b.claim(b.a, reg, owing("gone", "x"))
	b.r.push(b.l.name, 0, 40)
	only := b.claim(b.a, reg, owing("gone"))
	for _, s := range []pipeline.Settled{rng(c.ID, 0, 1700)} {
		if _, err := b.settle(b.a, reg, "x", s); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.settle(b.a, reg, "gone", rng(c.ID, 0, 500)); err != nil {
		t.Fatal(err)
	}
	src := newSource(t, testConfig(b.r.addr), tokenB)
	rel, err := src.ReleaseSink(t.Context(), b.l.name, "gone")
	if err != nil || rel.Records != 2040 {
		t.Fatal(rel, err)
	}
	a, err := src.Audit(t.Context())
	if err != nil || len(a) != 1 || len(a[0].Strange) != 0 || len(a[0].Claims) != 1 || a[0].Claims[0].Offset != 1000 {
		t.Fatalf("%+v %v", a, err)
	}
	if g := a[0].Sinks["gone"]; g.Filtered != 2040 || g.Released != 2040 || g.Effective != 500 || g.Pending != 0 || !g.Balanced() {
		t.Fatalf("%+v", g)
	}
	if n := b.r.int("EXISTS", b.l.claim(only.ID)); n != 0 {
		t.Fatal("a claim that owes nobody is still there")
	}
	if rel, err := src.ReleaseSink(t.Context(), b.l.name, "gone"); err != nil || rel.Records != 0 {
		t.Fatal(rel, err)
	}
	if _, err := b.settle(b.a, reg, "gone", rng(c.ID, 500, 600)); !errors.Is(err, errStale) {
		t.Fatal(err)
	}
	if _, err := src.ReleaseSink(t.Context(), "no-such-list", "x"); err == nil {
		t.Fatal("no such list")
	}
}
