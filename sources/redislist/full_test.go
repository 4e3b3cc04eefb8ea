package redislist

import (
	"errors"
	"sluice/internal/pipeline"
	"strings"
	"testing"
)

// Rights that are missing are named as such.
func TestInfoDenied(t *testing.T) {
	b := newBench(t)
	b.r.push(b.l.name, 0, 5)
	b.r.do("ACL", "SETUSER", "narrow", "on", ">secret", "~*", "+@all", "-info")
	cfg := testConfig(b.r.addr)
	cfg.Username, cfg.Password = "narrow", "secret"
	c := dialControl(t, cfg)
	_, _, err := take(t.Context(), c, b.a, b.l, newNovelty(pipeline.Epoch{}), true)
	if class, _ := pipeline.Classify(err); class != pipeline.FatalError || !strings.Contains(err.Error(), "+info") {
		t.Fatal(err)
	}
}

// A key that has a list's name and is none is left alone.
func TestWrongType(t *testing.T) {
	b := newBench(t)
	b.r.do("SET", b.l.name, "x")
	if _, _, err := take(b.ctx(), b.c, b.a, b.l, newNovelty(pipeline.Epoch{}), true); !errors.As(err, new(*typeError)) {
		t.Fatal(err)
	}
	if n := b.r.int("EXISTS", b.l.registry()); n != 0 {
		t.Fatal("a registry was made")
	}
}

// A Redis at maxmemory is drained from a cold start: no registry, no script loaded, not a byte to be had.
func TestFullRedisFromColdStart(t *testing.T) {
	b := newBench(t, "--maxmemory", "8mb", "--maxmemory-policy", "noeviction")
	big := strings.Repeat("x", 1000)
	n := uint32(0)
	for ; ; n++ {
		if err := b.r.try("RPUSH", b.l.name, big).Error(); err != nil {
			if !strings.HasPrefix(err.Error(), "OOM") {
				t.Fatal(err)
			}
			break
		}
	}
	b.r.do("CONFIG", "SET", "maxmemory", "7mb") // beyond full: what a read buffer gives back is not to be had either
	if err := b.r.try("HSET", b.l.registry(), "v", "1").Error(); err == nil || !strings.HasPrefix(err.Error(), "OOM") {
		t.Fatal("the server is not full:", err)
	}
	s, d := newSource(t, testConfig(b.r.addr), tokenA), newDrain("x", "y")
	stop := run(t, s, d)
	st := d.stream(t, b.l.name)
	c := claims(t, st, 1)[0]
	if c.Len != n {
		t.Fatalf("claimed %d of %d", c.Len, n)
	}
	for _, sink := range []string{"x", "y"} {
		for i := uint32(0); i < c.Len; {
			es, err := st.Read(t.Context(), c.ID, i, 1000, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if err := st.Settle(t.Context(), sink, []pipeline.Settled{rng(c.ID, i, i+uint32(len(es)))}); err != nil {
				t.Fatal(err)
			}
			i += uint32(len(es))
		}
	}
	stop()
	if got := b.r.registry(b.l); len(got.Claims) != 0 || got.Ledger["y"]["effective"] != uint64(n) {
		t.Fatalf("%+v", got)
	}
	if err := b.r.try("HSET", "another", "v", "1").Error(); err != nil {
		t.Fatal("the server is still full:", err)
	}
}
