package redislist

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/pipeline"
	"sluice/internal/record"
	"sluice/internal/testenv"
)

// bench is a list of a private Redis and two owners that use the scripts directly.
type bench struct {
	t    testing.TB
	r    *testRedis
	c    *control
	l    list
	a, b owner
}

func newBench(t testing.TB, args ...string) *bench {
	srv := testenv.StartRedis(t, args...)
	cfg := testConfig(srv.Addr)
	return &bench{t: t, r: dialRedis(t, srv.Addr), c: dialControl(t, cfg), l: analytics(),
		a: owner{token: tokenA, home: "home-a", lease: time.Minute},
		b: owner{token: tokenB, home: "home-b", lease: time.Minute}}
}

func (b *bench) take(o owner) *registry {
	b.t.Helper()
	reg, _, err := take(b.ctx(), b.c, o, b.l, newNovelty(pipeline.Epoch{}), true)
	if err != nil {
		b.t.Fatal(err)
	}
	return reg
}

func (b *bench) ctx() context.Context { return b.t.Context() }

func next(reg *registry) pipeline.ClaimID {
	return pipeline.ClaimID{Epoch: reg.Epoch, Number: reg.N + 1}
}

func (b *bench) claim(o owner, reg *registry, owed pipeline.Owed) claimEntry {
	b.t.Helper()
	c, _, err := claim(b.ctx(), b.c, o, b.l, reg.Lineage, next(reg), owed)
	if err != nil {
		b.t.Fatal(err)
	}
	reg.N++
	return c
}

func (b *bench) settle(o owner, reg *registry, sink string, rs ...pipeline.Settled) ([]trimmed, error) {
	return settle(b.ctx(), b.c, o, b.l, reg.Lineage, sink, "", rs)
}

func rng(id pipeline.ClaimID, from, to uint32) pipeline.Settled {
	return pipeline.Settled{Claim: id, From: from, To: to, Counts: pipeline.Counts{Effective: uint64(to - from)}}
}

// dump is everything of the list in Redis but the lease's expiry.
func (b *bench) dump() map[string]string {
	b.t.Helper()
	m := b.r.do("HGETALL", b.l.registry())
	f, err := m.AsStrMap()
	if err != nil {
		b.t.Fatal(err)
	}
	delete(f, "until")
	keys := b.r.do("KEYS", "*")
	names, _ := keys.AsStrSlice()
	for _, k := range names {
		if k != b.l.registry() {
			m := b.r.do("LRANGE", k, "0", "-1")
			s, _ := m.AsStrSlice()
			f["key "+k] = strings.Join(s, " ")
		}
	}
	return f
}

// same runs f and fails if it changed anything.
func (b *bench) same(what string, f func()) {
	b.t.Helper()
	before := b.dump()
	f()
	if d := cmp.Diff(before, b.dump()); d != "" {
		b.t.Fatalf("%s changed something:\n%s", what, d)
	}
}

// Every script called twice leaves what it left when called once.
func TestScriptsTwice(t *testing.T) {
	b := newBench(t)
	b.r.push(b.l.name, 0, 3000)
	reg := b.take(b.a)
	b.same("the second take", func() {
		if again := b.take(b.a); again.Lineage != reg.Lineage || again.Epoch != reg.Epoch {
			t.Fatalf("%+v, then %+v", reg, again)
		}
	})
	owed := owing("x", "y")
	c := b.claim(b.a, reg, owed)
	b.r.push(b.l.name, 3000, 10) // what came since must not be touched by the repeat
	b.same("the second claim", func() {
		again, _, err := claim(b.ctx(), b.c, b.a, b.l, reg.Lineage, c.ID, owed)
		if err != nil || cmp.Diff(c, again) != "" {
			t.Fatal(again, err)
		}
	})
	for _, sink := range []string{"x", "y"} {
		out, err := b.settle(b.a, reg, sink, rng(c.ID, 0, 1500))
		if err != nil || out[0].gone {
			t.Fatal(out, err)
		}
		b.same("the second settle", func() {
			if out, err := b.settle(b.a, reg, sink, rng(c.ID, 0, 1500)); err != nil || out != nil {
				t.Fatal(out, err)
			}
		})
	}
	if n := b.r.int("LLEN", b.l.claim(c.ID)); n != 2000 {
		t.Fatalf("%d elements are left, the trim goes to 1000", n)
	}
	m := pipeline.MemberRange{From: pipeline.Position{Claim: c.ID, Index: 1500}, To: pipeline.Position{Claim: c.ID, Index: 2500}, Tag: "hour 7"}
	if _, err := recordMembers(b.ctx(), b.c, b.a, b.l, reg.Lineage, "x", m); err != nil {
		t.Fatal(err)
	}
	b.same("the second record", func() {
		if _, err := recordMembers(b.ctx(), b.c, b.a, b.l, reg.Lineage, "x", m); err != nil {
			t.Fatal(err)
		}
		other := m
		other.Tag = "hour 8"
		if _, err := recordMembers(b.ctx(), b.c, b.a, b.l, reg.Lineage, "x", other); err == nil {
			t.Fatal("another range was taken")
		}
	})
	got := b.r.registry(b.l).Members["x"]
	if back, err := parseMembers(got); err != nil || back != m {
		t.Fatalf("%q: %v %v", got, back, err)
	}
	if _, err := b.settle(b.a, reg, "x", rng(c.ID, 1500, 2499)); err != nil || b.r.registry(b.l).Members["x"] == "" {
		t.Fatal("members are gone before they were passed", err)
	}
	if _, err := b.settle(b.a, reg, "x", rng(c.ID, 2499, 3000)); err != nil || b.r.registry(b.l).Members["x"] != "" {
		t.Fatal("members are still there", err)
	}
	if err := giveBack(b.ctx(), b.c, b.a, b.l); err != nil {
		t.Fatal(err)
	}
	b.same("the second giving back", func() {
		if err := giveBack(b.ctx(), b.c, b.a, b.l); !errors.Is(err, errLost) {
			t.Fatal(err)
		}
	})
}

// Whoever does not own the list changes nothing, whatever it sends; and one that was frozen past its lease is late.
func TestFrozenOwnerChangesNothing(t *testing.T) {
	b := newBench(t)
	b.r.push(b.l.name, 0, 2000)
	reg := b.take(b.a)
	c := b.claim(b.a, reg, owing("x"))
	if _, _, err := take(b.ctx(), b.c, b.b, b.l, newNovelty(pipeline.Epoch{}), true); !errors.As(err, new(*otherError)) {
		t.Fatalf("taken from a live owner: %v", err)
	}
	b.r.do("HSET", b.l.registry(), "until", "1") // time passes
	regB := b.take(b.b)
	if regB.Lineage != reg.Lineage || regB.Epoch != reg.Epoch || len(regB.Claims) != 1 {
		t.Fatalf("%+v", regB)
	}
	if _, err := b.settle(b.b, regB, "x", rng(c.ID, 0, 700)); err != nil {
		t.Fatal(err)
	}
	b.r.push(b.l.name, 2000, 1)
	b.same("a frozen owner", func() {
		if _, err := b.settle(b.a, reg, "x", rng(c.ID, 0, 2000)); !errors.Is(err, errLost) {
			t.Error(err)
		}
		if _, _, err := claim(b.ctx(), b.c, b.a, b.l, reg.Lineage, next(reg), owing("x")); !errors.Is(err, errLost) {
			t.Error(err)
		}
		if err := renew(b.ctx(), b.c, b.a, b.l, reg.Lineage, reg.Epoch); !errors.Is(err, errLost) {
			t.Error(err)
		}
		if err := giveBack(b.ctx(), b.c, b.a, b.l); !errors.Is(err, errLost) {
			t.Error(err)
		}
		if _, err := recordMembers(b.ctx(), b.c, b.a, b.l, reg.Lineage, "x", pipeline.MemberRange{}); !errors.Is(err, errLost) {
			t.Error(err)
		}
		if _, _, err := take(b.ctx(), b.c, b.a, b.l, newNovelty(pipeline.Epoch{}), true); !errors.As(err, new(*otherError)) {
			t.Error(err)
		}
	})
}

// A settle does all or nothing: it fits the cursor, or it was done, or it is stale.
func TestSettleComparesAndSets(t *testing.T) {
	b := newBench(t)
	reg := func() *registry { b.r.push(b.l.name, 0, 2300); return b.take(b.a) }()
	c1 := b.claim(b.a, reg, owing("x", "y"))
	b.r.push(b.l.name, 0, 100)
	c2 := b.claim(b.a, reg, owing("x"))
	if _, err := b.settle(b.a, reg, "x", rng(c1.ID, 0, 1200)); err != nil {
		t.Fatal(err)
	}
	b.same("a stale settle", func() {
		for _, rs := range [][]pipeline.Settled{
			{rng(c1.ID, 0, 1300)}, {rng(c1.ID, 1100, 1300)}, {rng(c1.ID, 1300, 1400)}, {rng(c1.ID, 1200, 2301)},
			{rng(c1.ID, 0, 1200), rng(c2.ID, 0, 100)},
		} {
			if _, err := b.settle(b.a, reg, "x", rs...); !errors.Is(err, errStale) {
				t.Errorf("%v: %v", rs, err)
			}
		}
		if _, err := b.settle(b.a, reg, "y", rng(c2.ID, 0, 100)); !errors.Is(err, errStale) {
			t.Error("a sink that is not owed was settled", err)
		}
	})
	out, err := b.settle(b.a, reg, "x", rng(c1.ID, 1200, 2300), rng(c2.ID, 0, 100))
	if err != nil || out[0].gone || !out[1].gone {
		t.Fatal(out, err)
	}
	if out, err = b.settle(b.a, reg, "y", rng(c1.ID, 0, 2300)); err != nil || !out[0].gone {
		t.Fatal(out, err)
	}
	b.same("a settle of what is gone", func() {
		if out, err := b.settle(b.a, reg, "x", rng(c1.ID, 1200, 2300), rng(c2.ID, 0, 100)); err != nil || out != nil {
			t.Error(out, err)
		}
	})
	got := b.r.registry(b.l)
	if len(got.Claims) != 0 || len(got.Shapes) != 0 || got.Ledger["x"]["effective"] != 2400 || got.Ledger["y"]["effective"] != 2300 {
		t.Fatalf("%+v", got)
	}
}

// Trims go to the least cursor, down to a span's begin, so that whoever reads on can begin at it.
func TestTrimKeepsSpans(t *testing.T) {
	b := newBench(t)
	b.r.push(b.l.name, 0, 3500)
	reg := b.take(b.a)
	c := b.claim(b.a, reg, owing("x", "y"))
	steps := []struct {
		sink     string
		from, to uint32
		offset   uint32
	}{{"x", 0, 1, 0}, {"y", 0, 999, 0}, {"x", 1, 3499, 0}, {"y", 999, 1000, 1000}, {"y", 1000, 2999, 2000},
		{"y", 2999, 3500, 3000}}
	for _, s := range steps {
		out, err := b.settle(b.a, reg, s.sink, rng(c.ID, s.from, s.to))
		if err != nil || out[0].gone || out[0].offset != s.offset {
			t.Fatalf("%+v: %+v %v", s, out, err)
		}
		if n := b.r.int("LLEN", b.l.claim(c.ID)); n != int64(3500-s.offset) {
			t.Fatalf("%+v: %d elements are left", s, n)
		}
		if s.offset%record.Span != 0 {
			t.Fatal(s.offset)
		}
	}
	if got := b.r.str("LINDEX", b.l.claim(c.ID), "0"); got != payload(3000) {
		t.Fatalf("the first element is %q", got)
	}
	if out, err := b.settle(b.a, reg, "x", rng(c.ID, 3499, 3500)); err != nil || !out[0].gone {
		t.Fatal(out, err)
	}
}

// A rename that a broken script left behind is adopted, not lost and not overwritten.
func TestOrphanIsAdopted(t *testing.T) {
	b := newBench(t)
	b.r.push(b.l.name, 0, 5)
	reg := b.take(b.a)
	b.r.do("RENAME", b.l.name, b.l.claim(next(reg)))
	b.r.push(b.l.name, 5, 2)
	c := b.claim(b.a, reg, owing("x"))
	if c.Len != 5 || b.r.int("LLEN", b.l.name) != 2 {
		t.Fatalf("%+v", c)
	}
	if c = b.claim(b.a, reg, owing("x")); c.Len != 2 {
		t.Fatalf("%+v", c)
	}
}

// What would make a registry unreadable is not written to it.
func TestNamesThatDoNotFit(t *testing.T) {
	b := newBench(t)
	b.r.push(b.l.name, 0, 5)
	reg := b.take(b.a)
	b.same("a claim with strange names", func() {
		for _, owed := range []pipeline.Owed{{Sinks: []string{"a b"}, Key: "k"}, {Sinks: []string{"a"}}, {Sinks: []string{"a,b"}, Key: "k"}} {
			if _, _, err := claim(b.ctx(), b.c, b.a, b.l, reg.Lineage, next(reg), owed); err == nil {
				t.Errorf("%v was recorded", owed)
			}
		}
	})
}

// A registry restored from an old state gets an epoch that sorts after all it ever had, and keeps its claims.
func TestEpochGoesOnlyForward(t *testing.T) {
	b := newBench(t)
	b.r.push(b.l.name, 0, 5)
	reg := b.take(b.a)
	c := b.claim(b.a, reg, owing("x"))
	future := "fffffffffff0" + "00000001" // as after a clock that was ahead
	b.r.do("HSET", b.l.registry(), "ids", "another:server", "epoch", future)
	if err := renew(b.ctx(), b.c, b.a, b.l, reg.Lineage, reg.Epoch); !errors.Is(err, errEpoch) {
		t.Fatal(err)
	}
	b.r.push(b.l.name, 5, 5)
	b.same("a claim under an old identity", func() {
		if _, _, err := claim(b.ctx(), b.c, b.a, b.l, reg.Lineage, next(reg), owing("x")); !errors.Is(err, errEpoch) {
			t.Fatal(err)
		}
	})
	again := b.take(b.a)
	if again.Epoch.Ms != 0xfffffffffff1 || again.Claims[0].ID != c.ID || again.N != 1 {
		t.Fatalf("%+v", again)
	}
	known := pipeline.Epoch{Ms: 0xfffffffffff5, Rand: 7} // this process has seen a later one, on a server that is gone again
	later, _, err := take(b.ctx(), b.c, b.a, b.l, newNovelty(known), true)
	if err != nil || later.Epoch.Ms != 0xfffffffffff6 || later.IDs != again.IDs {
		t.Fatalf("%+v %v", later, err)
	}
	b.same("a lease of what is known", func() {
		if _, _, err := take(b.ctx(), b.c, b.a, b.l, newNovelty(later.Epoch), true); err != nil {
			t.Fatal(err)
		}
	})
	again = later
	if c2 := b.claim(b.a, again, owing("x")); c2.ID.Compare(c.ID) <= 0 || c2.ID.Number != 2 {
		t.Fatalf("%+v", c2)
	}
	if _, err := b.settle(b.a, again, "x", rng(c.ID, 0, 5)); err != nil {
		t.Fatal("a claim of an old epoch cannot be settled", err)
	}
}

// TestNoteIsSetWithTheCursor: a settle that is refused or comes again leaves the note as it is.
func TestNoteIsSetWithTheCursor(t *testing.T) {
	b := newBench(t)
	b.r.push(b.l.name, 0, 4)
	reg := b.take(b.a)
	c := b.claim(b.a, reg, owing("s"))
	noted := func(from, to uint32, note string) pipeline.Settled {
		r := rng(c.ID, from, to)
		r.Note = note
		return r
	}
	steps := []struct {
		r    pipeline.Settled
		ok   bool
		want string
	}{
		{noted(0, 1, "one"), true, "one"}, {noted(0, 1, "again"), true, "one"}, {noted(2, 3, "stale"), false, "one"},
		{noted(1, 2, ""), true, "one"}, {noted(2, 3, "three"), true, "three"},
	}
	for _, s := range steps {
		if _, err := b.settle(b.a, reg, "s", s.r); (err == nil) != s.ok {
			t.Fatalf("settle %+v: %v", s.r, err)
		}
		if got := b.take(b.a).Notes["s"]; got != s.want {
			t.Fatalf("after %+v the note is %q, want %q", s.r, got, s.want)
		}
	}
}

// What a pump sent before its connection broke arrives when it has leased the list anew, with the same token: nothing of it
// counts, since the new session has read the registry without it.
func TestLateScriptsOfTheSessionBeforeChangeNothing(t *testing.T) {
	b := newBench(t)
	before, now := b.a, b.a
	before.session, now.session = "1", "2"
	b.r.push(b.l.name, 0, 10)
	reg := b.take(before)
	c := b.claim(before, reg, owing("x"))
	b.r.push(b.l.name, 10, 5)
	b.take(now)
	want := b.r.do("HGETALL", b.l.registry())
	all := pipeline.Position{Claim: c.ID, Index: c.Len}
	for what, late := range map[string]func() error{
		"claim": func() error {
			_, _, err := claim(b.ctx(), b.c, before, b.l, reg.Lineage, next(reg), owing("x"))
			return err
		},
		"settle": func() error {
			_, err := b.settle(before, reg, "x", rng(c.ID, 0, c.Len))
			return err
		},
		"settle into the spool": func() error {
			_, err := settle(b.ctx(), b.c, before, b.l, reg.Lineage, "x", "s3://b/", []pipeline.Settled{rng(c.ID, 0, c.Len)})
			return err
		},
		"members": func() error {
			_, err := recordMembers(b.ctx(), b.c, before, b.l, reg.Lineage, "x", pipeline.MemberRange{From: pipeline.Position{Claim: c.ID}, To: all})
			return err
		},
		"unspool": func() error {
			_, err := unspool(b.ctx(), b.c, before, b.l, reg.Lineage, "x", pipeline.Position{Claim: c.ID}, []pipeline.Settled{rng(c.ID, 0, c.Len)})
			return err
		},
		"renew":     func() error { return renew(b.ctx(), b.c, before, b.l, reg.Lineage, reg.Epoch) },
		"give back": func() error { return giveBack(b.ctx(), b.c, before, b.l) },
	} {
		if err := late(); !errors.Is(err, errLost) {
			t.Errorf("%s: %v", what, err)
		}
	}
	got := b.r.do("HGETALL", b.l.registry())
	a, _ := want.AsStrMap()
	z, _ := got.AsStrMap()
	if !maps.Equal(a, z) {
		t.Errorf("the registry was %v and is %v", a, z)
	}
	if n := b.r.int("LLEN", b.l.name); n != 5 {
		t.Errorf("%d records wait, want 5", n)
	}
	if _, err := b.settle(now, reg, "x", rng(c.ID, 0, c.Len)); err != nil {
		t.Error(err)
	}
}
