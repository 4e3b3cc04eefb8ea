package columnar

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/internal/archive"
)

// TestInStepWithTheArchive: written once, again when rows came, what is replaced goes after its grace, and nothing stays of an
// hour without rows.
func TestInStepWithTheArchive(t *testing.T) {
	l := newLake(t)
	if n := l.write(); n != 0 {
		t.Errorf("%d records of nothing", n)
	}
	l.put(1, made(3)...)
	for i, want := range []int64{3, 0, 0} {
		if n := l.write(); n != want {
			t.Errorf("write %d made a file of %d records, want %d", i, n, want)
		}
	}
	h, current := l.hour()
	if len(h.Files) != 1 || len(h.Notes) != 1 || !current || len(h.Leftovers()) != 0 {
		t.Errorf("%+v, current %v", h, current)
	}
	l.put(2, made(2)...)
	if _, current := l.hour(); current {
		t.Error("with an object more the file counts as current")
	}
	if n := l.write(); n != 5 {
		t.Errorf("%d records", n)
	}
	if h, current = l.hour(); len(h.Files) != 2 || !current || len(h.Leftovers()) != 2 || len(cells(t, l.path())) != 5 {
		t.Errorf("%+v, current %v", h, current)
	}
	sweep := func() {
		if err := l.Sweep(t.Context(), "eu", noon, time.Now().Add(-archive.Grace)); err != nil {
			t.Fatal(err)
		}
	}
	if sweep(); len(h.Files) != 2 {
		t.Error("what was just replaced is gone")
	}
	l.age(2 * archive.Grace)
	again := h.Files[0].Key // a frozen process sends it again
	if err := os.Chtimes(filepath.Join(l.root, again), time.Now(), time.Now()); err != nil {
		t.Fatal(err)
	}
	sweep()
	if h, current = l.hour(); len(h.Files) != 2 || len(h.Notes) != 1 || !current {
		t.Errorf("what came again: %+v, current %v", h, current)
	}
	l.age(2 * archive.Grace)
	sweep()
	if h, current = l.hour(); len(h.Files) != 1 || len(h.Notes) != 1 || !current {
		t.Errorf("swept: %+v, current %v", h, current)
	}
	w := archive.Rewriter{Store: l.files, Prefix: prefix, Dir: t.TempDir()}
	if err := w.Rewrite(t.Context(), "eu", noon, func(*archive.Row) archive.Fate { return archive.Drop }, func(int64) {}); err != nil {
		t.Fatal(err)
	}
	l.write()
	if h, _ = l.hour(); h.any() {
		t.Errorf("of an hour without rows there is %+v", h)
	}
}

// TestDigest: other rows under the same names are told apart, the order of what was listed is not.
func TestDigest(t *testing.T) {
	a, b := &archive.Manifest{Object: "a", SHA256: "1"}, &archive.Manifest{Object: "b", SHA256: "2"}
	digest := func(ms ...*archive.Manifest) string { return Digest(&archive.Hour{Manifests: ms}) }
	if digest(a, b) != digest(b, a) {
		t.Error("the order matters")
	}
	for _, other := range [][]*archive.Manifest{{a}, {a, {Object: "b", SHA256: "3"}}, {a, {Object: "c", SHA256: "2"}}, {}} {
		if digest(a, b) == digest(other...) {
			t.Errorf("%+v counts as the same", other)
		}
	}
}

// TestDamagedObjects: of an hour with an object that is not what its manifest says there is no new file.
func TestDamagedObjects(t *testing.T) {
	l := newLake(t)
	l.put(1, made(3)...)
	l.write()
	l.put(2, made(3)...)
	keys, err := filepath.Glob(filepath.Join(l.root, "a/region=eu/*/*/*.csv"))
	if err != nil || len(keys) != 2 {
		t.Fatal(keys, err)
	}
	b, err := os.ReadFile(keys[1])
	if err == nil {
		err = os.WriteFile(keys[1], bytes.Replace(b, []byte("200"), []byte("201"), 1), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Write(t.Context(), "eu", noon, func(int64) {}); !errors.Is(err, archive.ErrCorrupt) {
		t.Errorf("error %v", err)
	}
	if h, current := l.hour(); len(h.Files) != 1 || current {
		t.Errorf("%+v, current %v", h, current)
	}
	if left, _ := os.ReadDir(l.Dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// breaking is a store that fails at the nth change, after it or in place of it, and calls between before it.
type breaking struct {
	archive.Store
	at, n   int
	after   bool
	between func()
}

var errBroken = errors.New("broken")

func (b *breaking) breaks(do func() error) error {
	b.n++
	if b.n != b.at {
		return do()
	}
	if b.between != nil {
		b.between()
		return do()
	}
	if b.after {
		return errors.Join(do(), errBroken)
	}
	return errBroken
}

func (b *breaking) PutIfAbsent(ctx context.Context, key string, body io.ReadSeeker, size int64, sha string) (there archive.Info, made bool, err error) {
	err = b.breaks(func() error {
		there, made, err = b.Store.PutIfAbsent(ctx, key, body, size, sha)
		return err
	})
	return there, made, err
}

func (b *breaking) Delete(ctx context.Context, key string) error {
	return b.breaks(func() error { return b.Store.Delete(ctx, key) })
}

// TestStoppedAnywhere: whatever a stopped job left, the next one ends as if it had not been there, and at no moment is the newest
// file anything but one whole state of the hour.
func TestStoppedAnywhere(t *testing.T) {
	for at := 1; at <= 6; at++ {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprint(at, after), func(t *testing.T) {
				l := newLake(t)
				l.put(1, made(3)...)
				l.write()
				l.put(2, made(4)...)
				b := &breaking{Store: l.files, at: at, after: after}
				job := &Table{Store: b, Prefix: prefix, Dir: t.TempDir()}
				err := job.Write(t.Context(), "eu", noon, func(int64) {})
				if err == nil {
					l.age(2 * archive.Grace)
					err = job.Sweep(t.Context(), "eu", noon, time.Now().Add(-archive.Grace))
				}
				if stops := at <= 4; stops != errors.Is(err, errBroken) {
					t.Fatalf("error %v", err)
				}
				if n := len(cells(t, l.path())); n != 3 && n != 7 {
					t.Errorf("stopped: %d rows", n)
				}
				l.write()
				l.age(2 * archive.Grace)
				if err := l.Sweep(t.Context(), "eu", noon, time.Now().Add(-archive.Grace)); err != nil {
					t.Fatal(err)
				}
				h, current := l.hour()
				if len(h.Files) != 1 || len(h.Notes) != 1 || !current || len(cells(t, l.path())) != 7 {
					t.Errorf("%+v, current %v", h, current)
				}
			})
		}
	}
}

// TestTwoAtOneHour: a second job that saw an object more writes at each moment of the first one; what counts in the end is what the
// archive has.
func TestTwoAtOneHour(t *testing.T) {
	for at := 1; at <= 2; at++ {
		l := newLake(t)
		l.put(1, made(3)...)
		other := func() {
			l.put(2, made(4)...)
			l.write()
		}
		first := &Table{Store: &breaking{Store: l.files, at: at, between: other}, Prefix: prefix, Dir: t.TempDir()}
		if err := first.Write(t.Context(), "eu", noon, func(int64) {}); err != nil {
			t.Errorf("before put %d: %v", at, err)
		}
		if _, current := l.hour(); !current || len(cells(t, l.path())) != 7 {
			t.Errorf("before put %d: current %v, %d rows", at, current, len(cells(t, l.path())))
		}
	}
}

// TestReadersPassOverParquet: nothing that reads an archive sees a record more or less for it.
func TestReadersPassOverParquet(t *testing.T) {
	l := newLake(t)
	l.put(1, made(3)...)
	l.write()
	hours := 0
	for h, err := range archive.Hours(t.Context(), l.files, prefix, time.Time{}, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		hours++
		if len(h.Manifests) != 1 || len(h.Orphans)+len(h.Broken) > 0 || len(h.Objects) != 1 {
			t.Errorf("%+v", h)
		}
	}
	days, err := archive.Days(t.Context(), l.files, prefix, time.Time{}, time.Time{})
	if err != nil || hours != 1 || len(days) != 1 || len(days[0].Regions) != 1 {
		t.Errorf("%d hours, days %+v, %v", hours, days, err)
	}
	for h, err := range Hours(t.Context(), l.files, prefix) {
		if err != nil || h.Region != "eu" || !h.Time.Equal(noon) || len(h.Files) != 1 || !strings.HasPrefix(h.Files[0].Key, "a/parquet/region=eu/") {
			t.Errorf("%+v, %v", h, err)
		}
	}
}
