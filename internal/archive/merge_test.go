package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/pipeline"
)

// small objects of some lists in one hour, gathered as a pump does.
type hoard struct {
	t     testing.TB
	s     *memStore
	next  map[string]uint32
	regs  map[string]*registry
	want  map[string]bool // lineage and position of every row
	shape func(*pipeline.Batch)
}

func newHoard(t testing.TB) *hoard {
	return &hoard{t: t, s: newMemStore(), next: map[string]uint32{}, regs: map[string]*registry{}, want: map[string]bool{}}
}

// add puts an object with n rows of a list into the hour.
func (h *hoard) add(lineage string, n uint32) {
	h.t.Helper()
	if h.regs[lineage] == nil {
		h.regs[lineage] = &registry{}
	}
	m := h.regs[lineage]
	o := small(h.t)
	o.Layout.Compression = None
	g := gathererOver(h.t, h.s, o)
	from := h.next[lineage]
	h.next[lineage] += n
	b := batchOf(m, g, 1, from, from+n, sameHour)
	b.Stream.Lineage = lineage
	if h.shape != nil {
		h.shape(b)
	}
	mustAdd(h.t, g, b)
	mustFlush(h.t, g, m)
	for i := from; i < from+n; i++ {
		h.want[lineage+position(1, i).String()] = true
	}
}

func (h *hoard) rewriter(s Store) *Rewriter {
	return &Rewriter{Store: s, Prefix: "p/", Dir: h.t.TempDir()}
}

// check reads what counts and wants every row once.
func (h *hoard) check(when string) {
	h.t.Helper()
	if got := rowsOf(h.t, h.s); !maps.Equal(got, counted(h.want)) {
		h.t.Fatalf("%s: %d rows count, want %d once each", when, len(got), len(h.want))
	}
}

func counted(m map[string]bool) map[string]int {
	out := map[string]int{}
	for k := range m {
		out[k] = 1
	}
	return out
}

func rowsOf(t testing.TB, s Store) map[string]int {
	t.Helper()
	got := map[string]int{}
	for m, err := range List(t.Context(), s, "p/", time.Time{}, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		r, err := Open(t.Context(), s, m)
		if err != nil {
			t.Fatal(err)
		}
		last := ""
		for row, err := range r.All() {
			if err != nil {
				t.Fatal(err)
			}
			at := row.Stream.Lineage + row.Position.String()
			if at <= last {
				t.Fatalf("%s: %s comes behind %s", m.Key, at, last)
			}
			last = at
			got[at]++
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	return got
}

func (h *hoard) hour() Hour {
	h.t.Helper()
	hour, err := ReadHour(h.t.Context(), h.s, "p/", "eu-west-1", nine)
	if err != nil {
		h.t.Fatal(err)
	}
	return hour
}

func (h *hoard) compact(s Store) error {
	h.t.Helper()
	return h.rewriter(s).Compact(h.t.Context(), "eu-west-1", nine, 1<<20, func(*Manifest) {})
}

// sweep deletes what is replaced, whatever its age.
func (h *hoard) sweep() {
	h.t.Helper()
	hour := h.hour()
	for _, l := range hour.Leftovers() {
		if err := h.s.Delete(h.t.Context(), l.Key); err != nil {
			h.t.Fatal(err)
		}
		h.check("while sweeping")
	}
}

var lineages = []string{"0a" + strings.Repeat("0", 30), "7b" + strings.Repeat("0", 30), "ff" + strings.Repeat("0", 30)}

func TestCompactJoinsSmallObjects(t *testing.T) {
	h := newHoard(t)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		h.add(lineages[rng.IntN(3)], 1+rng.Uint32N(20))
	}
	lines := plainRows(t, h.s)
	if err := h.compact(h.s); err != nil {
		t.Fatal(err)
	}
	h.check("joined")
	if diff := len(plainRows(t, h.s)); diff != len(lines) || !maps.Equal(lines, plainRows(t, h.s)) {
		t.Error("rows changed")
	}
	hour := h.hour()
	if len(hour.Manifests) != 1 || len(hour.Replaced) != 40 || len(hour.Leftovers()) != 80 {
		t.Errorf("%d count, %d replaced, %d leftovers", len(hour.Manifests), len(hour.Replaced), len(hour.Leftovers()))
	}
	m := hour.Manifests[0]
	if m.Lineage != "" || len(m.Positions) != 3 || !m.First.Equal(nine) {
		t.Errorf("manifest %+v", m)
	}
	puts := len(h.s.puts)
	if err := h.compact(h.s); err != nil || len(h.s.puts) != puts {
		t.Errorf("again: %d puts, %v", len(h.s.puts)-puts, err)
	}
	h.sweep()
	if len(h.s.objects) != 2 {
		t.Errorf("%d objects are left", len(h.s.objects))
	}
	// what comes late lies between, before and behind what was joined
	for range 2 {
		for _, l := range lineages {
			h.add(l, 3)
		}
		h.check("late")
		if err := h.compact(h.s); err != nil {
			t.Fatal(err)
		}
		h.check("late, joined")
		h.sweep()
	}
	if hour := h.hour(); len(hour.Manifests) != 1 || len(hour.Manifests[0].Replaces) != 48 {
		t.Errorf("%d count; replaced for ever: %d", len(hour.Manifests), len(hour.Manifests[0].Replaces))
	}
}

// plainRows are the physical lines that count.
func plainRows(t testing.TB, s Store) map[string]int {
	t.Helper()
	out := map[string]int{}
	for m, err := range List(t.Context(), s, "p/", time.Time{}, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		raw, err := s.Get(t.Context(), m.Key)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := decompress(m.Compression, raw)
		if err != nil {
			t.Fatal(err)
		}
		all, err := io.ReadAll(plain)
		if err != nil {
			t.Fatal(err)
		}
		_ = plain.Close()
		for line := range bytes.Lines(all[bytes.IndexByte(all, '\n')+1:]) {
			out[string(line)]++
		}
	}
	return out
}

// TestCompactKeepsApartWhatDiffers: what was masked or filtered in another way is not joined, large objects stay.
func TestCompactKeepsApartWhatDiffers(t *testing.T) {
	h := newHoard(t)
	for i := range 6 {
		h.shape = func(b *pipeline.Batch) {
			if i%2 == 0 {
				b.Shape.Record.Masks = []pipeline.Mask{{Field: "api_key", Action: "hash"}}
			}
		}
		h.add(lineages[0], 5)
	}
	h.shape = nil
	h.add(lineages[1], 5000) // more than half of the target
	if err := h.compact(h.s); err != nil {
		t.Fatal(err)
	}
	h.check("joined")
	hour := h.hour()
	if len(hour.Manifests) != 3 {
		t.Fatalf("%d objects count", len(hour.Manifests))
	}
	for _, m := range hour.Manifests {
		if len(m.Masks) > 0 && (m.Records != 15 || len(m.Positions) != 3) {
			t.Errorf("%+v", m)
		}
	}
}

func TestCompactLeavesDamagedObjectsOut(t *testing.T) {
	h := newHoard(t)
	for range 5 {
		h.add(lineages[0], 5)
	}
	hour := h.hour()
	bad := hour.Manifests[2].Key
	o := h.s.objects[bad]
	body := bytes.Clone(o.body)
	body[len(body)/2] ^= 0x55
	h.s.objects[bad] = memObject{body, o.sha}
	err := h.compact(h.s)
	var d *Damaged
	if !errors.As(err, &d) || len(d.Errs) != 1 || !strings.Contains(err.Error(), bad) {
		t.Fatalf("error %v", err)
	}
	h.s.objects[bad] = o
	h.check("around a damaged object")
	if after := h.hour(); len(after.Manifests) != 2 {
		t.Errorf("%d objects count", len(after.Manifests))
	}
	h.s.objects[hour.Manifests[0].ManifestKey()] = memObject{body: []byte("{")}
	if err := h.compact(h.s); !errors.Is(err, ErrManifest) {
		t.Errorf("beside a manifest that cannot be read: %v", err)
	}
	if h := h.hour(); len(h.Leftovers()) != 0 {
		t.Error("deletes beside a manifest that cannot be read")
	}
}

// TestCompactCrashAnywhere stops it at each put, without and with effect; whatever a reader sees at any moment is whole,
// and the next run ends in the same state.
func TestCompactCrashAnywhere(t *testing.T) {
	for stop := range 3 { // object, manifest, nothing
		for _, lost := range []bool{false, true} {
			h := newHoard(t)
			for i := range 9 {
				h.add(lineages[i%3], 7)
			}
			puts := 0
			h.s.fault = func(string) (bool, bool) { puts++; return puts > stop, lost }
			err := h.compact(h.s)
			if (err != nil) != (stop < 2) {
				t.Fatalf("stopped at %d: %v", stop, err)
			}
			h.s.fault = nil
			h.check("after a crash")
			h.add(lineages[1], 2) // what is to be joined is another now
			if err := h.compact(h.s); err != nil {
				t.Fatal(err)
			}
			h.check("after another run")
			h.sweep()
			h.check("swept")
			if hour := h.hour(); len(hour.Manifests) != 1 || len(hour.Orphans) != 0 || len(h.s.objects) != 2 {
				t.Errorf("stopped at %d (%v): %d count, %d orphans, %d objects", stop, lost, len(hour.Manifests), len(hour.Orphans), len(h.s.objects))
			}
		}
	}
}

// meeting is a store that lets something happen before and after each put of one process.
type meeting struct {
	*memStore
	before, after func(key string)
}

func (s *meeting) PutIfAbsent(ctx context.Context, key string, body io.ReadSeeker, size int64, sha string) (Info, bool, error) {
	s.before(key)
	i, created, err := s.memStore.PutIfAbsent(ctx, key, body, size, sha)
	s.after(key)
	return i, created, err
}

// TestCompactTwoAtOnce lets a second process, which sees one more object, do all it can at each put of the first one, sweep
// what it replaced, and even crash there; no row is ever twice or missing.
func TestCompactTwoAtOnce(t *testing.T) {
	for at := range 4 { // before and after object and manifest
		for _, crash := range []int{0, 1, 2} {
			for _, sweep := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d %d %v", at, crash, sweep), func(t *testing.T) { meet(t, at, crash, sweep) })
			}
		}
	}
}

func meet(t *testing.T, at, crash int, sweep bool) {
	h := newHoard(t)
	for i := range 8 {
		h.add(lineages[i%3], 4)
	}
	sent := maps.Clone(h.s.objects)
	step := 0
	visit := func(string) {
		if step++; step != at+1 {
			return
		}
		h.add(lineages[2], 4)
		puts := 0
		h.s.fault = func(string) (bool, bool) { puts++; return crash > 0 && puts > crash-1, true }
		err := h.compact(h.s)
		h.s.fault = nil
		if err != nil && crash == 0 && !errors.Is(err, ErrRaced) {
			t.Fatal(err)
		}
		h.check("second done")
		if sweep {
			h.sweep()
		}
	}
	s := &meeting{h.s, visit, func(key string) { visit(key); h.check("between") }}
	if err := h.compact(s); err != nil && !errors.Is(err, ErrRaced) {
		t.Fatal(err)
	}
	h.check("both done")
	// a frozen pump sends what was replaced again
	for key, o := range sent {
		if _, there := h.s.objects[key]; !there {
			h.s.objects[key] = o
		}
	}
	h.check("sent again")
	for range 2 {
		if err := h.compact(h.s); err != nil {
			t.Fatal(err)
		}
	}
	h.sweep()
	if hour := h.hour(); len(hour.Manifests) != 1 || len(h.s.objects) != 2 {
		t.Errorf("%d count, %d objects", len(hour.Manifests), len(h.s.objects))
	}
}

// TestMergesEnd: whatever the sizes, joining ends, and what is joined keeps to the target.
func TestMergesEnd(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		h := Hour{}
		for i := range 1 + rng.IntN(60) {
			l := lineages[rng.IntN(3)]
			from := position(1, uint32(i*10)).String()
			h.Manifests = append(h.Manifests, &Manifest{Object: fmt.Sprintf("%s-%03d.csv.zst", l, i), Key: fmt.Sprintf("%s-%03d.csv.zst", l, i),
				Compression: Zstd, Bytes: rng.Int64N(400),
				Positions: []Range{{l, from, position(1, uint32(i*10+10+rng.IntN(2)*500)).String()}}})
		}
		for round := 0; ; round++ {
			groups := h.Merges(1000)
			if len(groups) == 0 {
				break
			}
			if round > 60 {
				t.Fatal("it does not end")
			}
			for _, g := range groups {
				m := joined(g, fmt.Sprintf("%s%08d", mergedName, rng.Uint32()), nil)
				m.Bytes = 0
				for _, o := range g {
					m.Bytes += o.Bytes
				}
				if m.Bytes > 1000 || len(g) < 2 {
					t.Fatalf("%d bytes of %d objects", m.Bytes, len(g))
				}
				h.Manifests = slices.DeleteFunc(h.Manifests, func(o *Manifest) bool { return slices.Contains(g, o) })
				h.Manifests = append(h.Manifests, m)
			}
		}
		small := 0
		for _, m := range h.Manifests {
			if m.Bytes < 500 {
				small++
			}
		}
		if small > 1 {
			t.Fatalf("%d small objects are left", small)
		}
	}
}
