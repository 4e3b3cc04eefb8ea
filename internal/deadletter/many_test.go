package deadletter

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/pipeline"
)

// stored puts n letters into a box, as many a call as a batch has.
func stored(tb testing.TB, dir string, n int) *Box {
	tb.Helper()
	b, err := Open(dir)
	if err != nil {
		tb.Fatal(err)
	}
	payload := []byte(strings.Repeat("payload ", 128))
	for i := 0; i < n; {
		var batch []pipeline.Letter
		for range min(5000, n-i) {
			batch = append(batch, pipeline.Letter{ID: fmt.Sprintf("%024x", i), Sink: "*", Reason: "does not decode: unexpected end", Time: time.Unix(1, 0).UTC(),
				Source: "main", List: "analytics-tyk-system-analytics", Lineage: strings.Repeat("a", 32), Position: fmt.Sprintf("%031d-%010d", i/5000, i%5000),
				Format: "msgpack", Kind: "analytics", Length: int64(len(payload)), Bytes: payload})
			i++
		}
		if err := b.Store(tb.Context(), batch); err != nil {
			tb.Fatal(err)
		}
	}
	return b
}

// However many letters there are, the next ones are stored as the first ones are, and reading them holds one at a time.
func TestManyLettersHoldNothingUp(t *testing.T) {
	const n = 60_000 // some 90 MB, in two segments
	dir := t.TempDir()
	b := stored(t, dir, n)
	defer b.Close()
	names, _ := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if len(names) < 2 {
		t.Fatalf("segments %v", names)
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, most, seen := heap(), uint64(0), 0
	err := b.Each(t.Context(), func(l *pipeline.Letter) error {
		if seen++; seen%(n/4) == 0 {
			most = max(most, heap())
		}
		return nil
	})
	if err != nil || seen != n {
		t.Fatalf("%d letters, %v", seen, err)
	}
	if more := int64(most) - int64(before); more > 16<<20 {
		t.Errorf("reading %d letters held %d bytes", n, more)
	}
	few := 0
	if err := b.Each(t.Context(), func(*pipeline.Letter) error {
		if few++; few == 10 {
			return ErrStop
		}
		return nil
	}); err != nil || few != 10 {
		t.Errorf("%d letters before the stop, %v", few, err)
	}
	other := errors.New("broken pipe")
	if err := b.Each(t.Context(), func(*pipeline.Letter) error { return other }); !errors.Is(err, other) {
		t.Errorf("the error of who reads is %v", err)
	}
}

// A file that cannot be read hides none of the others, and is named.
func TestUnreadableSegmentHidesNothing(t *testing.T) {
	dir := t.TempDir()
	b, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Store(t.Context(), []pipeline.Letter{letter("1", "*")}); err != nil {
		t.Fatal(err)
	}
	b.Close()
	if err := os.Mkdir(filepath.Join(dir, "0.jsonl"), 0o700); err != nil { // reading it fails for root too
		t.Fatal(err)
	}
	got, err := read(t, dir)
	var damaged *DamagedError
	if len(got) != 1 || !errors.As(err, &damaged) || damaged.Count != 1 || !strings.Contains(damaged.Places[0], "0.jsonl") {
		t.Errorf("%+v, %v", got, err)
	}
}

// A process that lives long keeps no segment to itself for longer than a day, or an hour in which nothing comes: what is past its
// time can be removed.
func TestSegmentsEndInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		b, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		store := func(position string) {
			t.Helper()
			if err := b.Store(t.Context(), []pipeline.Letter{letter(position, "*")}); err != nil {
				t.Fatal(err)
			}
		}
		inUse := func() (n, used int) {
			t.Helper()
			all, err := Segments(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range all {
				if s.InUse {
					used++
				}
			}
			return len(all), used
		}
		for i := range 60 { // for 30 hours
			store(fmt.Sprint(i))
			time.Sleep(30 * time.Minute)
		}
		synctest.Wait()
		if n, used := inUse(); n != 2 || used != 1 {
			t.Errorf("after 30 hours of letters %d segments, %d in use", n, used)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if n, used := inUse(); n != 2 || used != 0 {
			t.Errorf("an hour after the last %d segments, %d in use", n, used)
		}
		all, _ := Segments(dir)
		if err := Remove(dir, all[1].Name); err != nil {
			t.Error(err)
		}
		store("after")
		if n, used := inUse(); n != 2 || used != 1 {
			t.Errorf("with one more %d segments, %d in use", n, used)
		}
		if got, err := read(t, dir); err != nil || got[len(got)-1].Position != "after" {
			t.Errorf("%d letters, %v", len(got), err)
		}
	})
}

func BenchmarkEach(b *testing.B) {
	box := stored(b, b.TempDir(), 100_000)
	defer box.Close()
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		if err := box.Each(b.Context(), func(*pipeline.Letter) error { n++; return nil }); err != nil || n != 100_000 {
			b.Fatal(n, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/100_000, "us/letter")
}
