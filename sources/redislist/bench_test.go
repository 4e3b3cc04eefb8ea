package redislist

import (
	"strings"
	"testing"
	"time"

	"sluice/internal/pipeline"
)

// BenchmarkRead reads records of a gateway's size. The time is that of one record.
func BenchmarkRead(b *testing.B) {
	const n = 50_000
	in := make([]string, n)
	pad := strings.Repeat("x", 1400)
	for i := range in {
		in[i] = payload(i) + pad
	}
	_, st, c := reader(b, Deps{}, in)
	b.SetBytes(int64(len(in[0])))
	b.ReportAllocs()
	for i := 0; b.Loop(); {
		es, err := st.Read(b.Context(), c.ID, uint32(i), 1000, 8<<20)
		if err != nil {
			b.Fatal(err)
		}
		if i += len(es); i == n {
			i = 0
		}
		for range es[1:] {
			if !b.Loop() {
				return
			}
		}
	}
}

// After a day with a sink down some 4,500 claims are open. Making and settling one stays cheap all the same.
func TestManyOpenClaims(t *testing.T) {
	const n = 4500
	b := newBench(t)
	owed := owing("x", "y")
	b.r.push(b.l.name, 0, 1)
	reg := b.take(b.a)
	var cs []claimEntry
	for i := range n {
		if i > 0 {
			b.r.push(b.l.name, i, 1)
		}
		cs = append(cs, b.claim(b.a, reg, owed))
		reg.Claims = nil
	}
	started := time.Now()
	again := b.take(b.a)
	taking := time.Since(started)
	if len(again.Claims) != n {
		t.Fatal(len(again.Claims))
	}
	worst := time.Duration(0)
	for _, sink := range []string{"x", "y"} {
		for lo := 0; lo < n; lo += 250 {
			var rs []pipeline.Settled
			for _, c := range cs[lo:min(n, lo+250)] {
				rs = append(rs, rng(c.ID, 0, 1))
			}
			started := time.Now()
			if _, err := b.settle(b.a, reg, sink, rs...); err != nil {
				t.Fatal(err)
			}
			worst = max(worst, time.Since(started))
		}
	}
	t.Logf("taking the lease %s, settling 250 claims at most %s", taking, worst)
	if taking > 2*time.Second || worst > 2*time.Second {
		t.Fatal("a script stops the server for too long")
	}
	if left := b.r.registry(b.l); len(left.Claims) != 0 || b.r.int("DBSIZE") != 1 || b.r.int("HLEN", b.l.registry()) > 20 {
		t.Fatalf("%+v", left)
	}
}
