package redislist

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"sluice/internal/pipeline"
	"sluice/internal/record"
	"sluice/internal/testenv"
)

// reader starts a source on a private Redis with one list of payloads, and returns its one claim.
func reader(t testing.TB, deps Deps, payloads []string) (*testRedis, *stream, pipeline.Claim) {
	t.Helper()
	srv := testenv.StartRedis(t)
	r := dialRedis(t, srv.Addr)
	for len(payloads) > 0 {
		n, size := 0, 0
		for n < len(payloads) && size < 8<<20 {
			size += len(payloads[n])
			n++
		}
		r.do(append([]string{"RPUSH", "staged"}, payloads[:n]...)...)
		payloads = payloads[n:]
	}
	r.do("RENAME", "staged", analytics().name)
	deps.Token, deps.Home, deps.Log = tokenA, "home", testLog(t)
	s, err := New("main", testConfig(srv.Addr), deps)
	if err != nil {
		t.Fatal(err)
	}
	d := newDrain("a", "b")
	run(t, s, d)
	st := d.stream(t, analytics().name)
	return r, st, claims(t, st, 1)[0]
}

// Whatever the cut, a record at an index has the same hash, also among equals of its span and after a trim.
func TestHashesDoNotDependOnTheCut(t *testing.T) {
	var in []string
	for i := range 4321 {
		in = append(in, fmt.Sprintf("equal-%d", i%7))
	}
	_, st, c := reader(t, Deps{}, in)
	var ord record.Ordinals
	want := make([]uint64, len(in))
	distinct := map[uint64]bool{}
	for i, p := range in {
		want[i] = ord.Next(uint32(i), []byte(p))
		distinct[want[i]] = true
	}
	if len(distinct) < 1000 || len(distinct) > 1007 { // 143 of each at most in a span, in all spans the same ones
		t.Fatalf("%d distinct hashes", len(distinct))
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	check := func(from, n uint32, limit int64) uint32 {
		es, err := st.Read(t.Context(), c.ID, from, n, limit)
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range es {
			if at := int(from) + i; string(e.Payload) != in[at] || e.Hash != want[at] {
				t.Fatalf("index %d read from %d: %q hash %x, want %q %x", at, from, e.Payload, e.Hash, in[at], want[at])
			}
		}
		return uint32(len(es))
	}
	for i := uint32(0); i < c.Len; { // reader that goes on where it ended
		i += check(i, 1+rnd.Uint32N(700), 1+rnd.Int64N(3000))
	}
	for range 60 { // reader that comes from anywhere
		check(rnd.Uint32N(c.Len), 1+rnd.Uint32N(2000), 1<<20)
	}
	for _, sink := range []string{"a", "b"} { // after a trim to 2000
		if err := st.Settle(t.Context(), sink, []pipeline.Settled{rng(c.ID, 0, 2999)}); err != nil {
			t.Fatal(err)
		}
	}
	for range 30 {
		check(2999+rnd.Uint32N(c.Len-2999), 1+rnd.Uint32N(2000), 1<<20)
	}
	check(2000, 1000, 1<<20)
	if _, err := st.Read(t.Context(), c.ID, 1999, 10, 1<<20); !errors.Is(err, errShort) {
		t.Fatal("what is trimmed was read:", err)
	}
}

// A read ends at its limit, but for the first element, which comes whatever its size.
func TestReadLimit(t *testing.T) {
	sizes := []int{10, 3000, 10, 10, 500_000, 10, 10, 2_000_000, 5, 300_000, 300_000, 10}
	in := make([]string, len(sizes))
	for i, n := range sizes {
		in[i] = strings.Repeat(string(rune('a'+i)), n)
	}
	_, st, c := reader(t, Deps{}, in)
	for _, limit := range []int64{1, 20, 3020, 500_000, 700_000, 3_000_000} {
		for i := uint32(0); i < c.Len; {
			es, err := st.Read(t.Context(), c.ID, i, c.Len, limit)
			if err != nil {
				t.Fatal(err)
			}
			var got int64
			for k, e := range es {
				if string(e.Payload) != in[int(i)+k] || e.Len != int64(len(e.Payload)) {
					t.Fatalf("limit %d: element %d is wrong", limit, int(i)+k)
				}
				got += e.Len
			}
			end := int(i) + len(es)
			if len(es) > 1 && got > limit {
				t.Fatalf("limit %d: %d elements of %d bytes from %d", limit, len(es), got, i)
			}
			if end < len(in) && got+int64(len(in[end])) <= limit {
				t.Fatalf("limit %d: it ended early at %d", limit, end)
			}
			i = uint32(end)
		}
	}
}

// Elements above the bound come cut, with their length and the hash of all of them.
func TestOversizeElements(t *testing.T) {
	in := []string{"small", strings.Repeat("x", 1<<20+1), strings.Repeat("y", 1<<20), strings.Repeat("z", 30<<20), "end"}
	_, st, c := reader(t, Deps{MaxElement: 1 << 20}, in)
	es := readAll(t, st, c, 0)
	var ord record.Ordinals
	for i, p := range in {
		want := len(p)
		if len(p) > 1<<20 {
			want = cutTo
		}
		e := es[i]
		if e.Len != int64(len(p)) || len(e.Payload) != want || string(e.Payload) != p[:want] || e.Hash != ord.Next(uint32(i), []byte(p)) {
			t.Fatalf("element %d: len %d, kept %d, hash %x", i, e.Len, len(e.Payload), e.Hash)
		}
	}
}

// 20 elements of 20 MB lie in one claim; a reader with a budget of 8 MiB stays near it.
func TestMemoryIsBounded(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 20<<20/16)
	in := make([]string, 20)
	for i := range in {
		in[i] = string(big)
	}
	_, st, c := reader(t, Deps{MaxElement: 32 << 20}, in)
	in, big = nil, nil
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var peak uint64
	for i := uint32(0); i < c.Len; {
		es, err := st.Read(t.Context(), c.ID, i, c.Len, 8<<20)
		if err != nil || len(es) != 1 {
			t.Fatal(len(es), err)
		}
		runtime.ReadMemStats(&after)
		peak = max(peak, after.HeapAlloc-min(after.HeapAlloc, before.HeapAlloc))
		i += uint32(len(es))
	}
	// one element, twice while it grows, and what the collector has not fetched yet of the one before
	if peak > 160<<20 {
		t.Fatalf("%d MiB were in use", peak>>20)
	}
}

// Payloads are never written to again, and many share an allocation: they lie one behind the other.
func TestPayloadsAreCutFromBlocks(t *testing.T) {
	in := make([]string, 20_000)
	for i := range in {
		in[i] = fmt.Sprintf("%01500d", i)
	}
	_, st, c := reader(t, Deps{}, in)
	var all []pipeline.Element
	for i := uint32(0); i < c.Len; i = uint32(len(all)) {
		es, err := st.Read(t.Context(), c.ID, i, 1000, 8<<20)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, es...)
	}
	adjacent := 0
	var end uintptr
	for i, e := range all {
		if string(e.Payload) != in[i] {
			t.Fatalf("element %d was overwritten", i)
		}
		at := uintptr(unsafe.Pointer(&e.Payload[0]))
		if at == end {
			adjacent++
		}
		end = at + uintptr(len(e.Payload))
	}
	if adjacent < len(all)/2 {
		t.Fatalf("%d of %d elements lie behind the one before", adjacent, len(all))
	}
}

// Readers of several sinks at several places, while others settle and trim, always get what lies at their index.
func TestReadsWhileTrimming(t *testing.T) {
	in := make([]string, 30_000)
	for i := range in {
		in[i] = payload(i)
	}
	_, st, c := reader(t, Deps{}, in)
	var wg sync.WaitGroup
	for n, sink := range []string{"a", "b"} {
		wg.Go(func() {
			for i := uint32(0); i < c.Len; {
				es, err := st.Read(context.Background(), c.ID, i, uint32(400+300*n), 1<<20)
				if err != nil {
					t.Error(err)
					return
				}
				for k, e := range es {
					if string(e.Payload) != in[int(i)+k] {
						t.Errorf("index %d is %q", int(i)+k, e.Payload)
						return
					}
				}
				to := i + uint32(len(es))
				if err := st.Settle(context.Background(), sink, []pipeline.Settled{rng(c.ID, i, to)}); err != nil {
					t.Error(err)
					return
				}
				i = to
			}
		})
	}
	wg.Wait()
	if cs, _ := st.Claims(); len(cs) != 0 {
		t.Fatal("the claim is still open")
	}
}

// A read whose context ends, ends; one of what was never claimed fails; a claim that was thrown away is named.
func TestReadErrors(t *testing.T) {
	r, st, c := reader(t, Deps{}, []string{"a", "b"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := st.Read(ctx, c.ID, 0, 1, 1); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := st.Read(t.Context(), c.ID, 2, 1, 1); err == nil {
		t.Fatal("read beyond the end")
	}
	other := c.ID
	other.Number++
	if _, err := st.Read(t.Context(), other, 0, 1, 1); err == nil {
		t.Fatal("read what was not claimed")
	}
	r.do("DEL", st.list.claim(c.ID))
	if _, err := st.Read(t.Context(), c.ID, 0, 1, 1); !errors.Is(err, errShort) {
		t.Fatal(err)
	}
	a, err := st.se.src.Audit(t.Context())
	if err != nil || len(a) != 1 || len(a[0].Strange) != 1 || !strings.Contains(a[0].Strange[0], "missing") {
		t.Fatal(a, err)
	}
	r.do("HDEL", st.list.registry(), "c:"+c.ID.String(), "o:"+c.ID.String())
	if _, err := st.Read(t.Context(), c.ID, 0, 1, 1); !errors.Is(err, errGone) {
		t.Fatal(err)
	}
	closed(t, st)
}
