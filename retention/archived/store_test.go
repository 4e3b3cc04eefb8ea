package archived

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/internal/archive"
	"sluice/internal/archive/dirstore"
	"sluice/internal/pipeline"
	"sluice/internal/units"
	"sluice/retention/apply"
	"sluice/retention/plan"
)

const prefix = "a/"

// put stores an object with rows and its manifest, at an hour of the region.
func put(t *testing.T, s archive.Store, at time.Time, name string, rows int, withManifest bool) string {
	t.Helper()
	text := strings.Join(archive.Columns(), ",") + "\n" + strings.Repeat("x\n", rows)
	sum := sha256.Sum256([]byte(text))
	sha := hex.EncodeToString(sum[:])
	dir := archive.Partition(prefix, "eu", at)
	write := func(key, body string) {
		if _, _, err := s.PutIfAbsent(t.Context(), key, strings.NewReader(body), int64(len(body)), sha); err != nil {
			t.Fatal(err)
		}
	}
	write(dir+name+".csv", text)
	if withManifest {
		m := archive.Manifest{Version: archive.FormatVersion, Object: name + ".csv", Records: int64(rows), Bytes: int64(len(text)), SHA256: sha,
			First: at, Last: at, Compression: archive.None, Accept: pipeline.Accept{}}
		b, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		write(dir+name+".manifest.json", string(b))
	}
	return dir + name + ".csv"
}

func TestDaysGo(t *testing.T) {
	root := t.TempDir()
	files, err := dirstore.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	day := time.Date(2025, 1, 2, 0, 0, 0, 0, time.UTC)
	put(t, files, day.Add(3*time.Hour), "one", 2, true)
	put(t, files, day.Add(3*time.Hour), "two", 3, true)
	put(t, files, day.Add(4*time.Hour), "lost", 1, false)
	young := put(t, files, day.AddDate(0, 0, 1), "young", 4, true)
	s := New("archive", prefix, files, false, func() int64 { return -1 })
	s.rate = 10_000
	inv, err := s.Inventory(t.Context(), day)
	if err != nil {
		t.Fatal(err)
	}
	c := s.Covered()
	if len(inv.Items) != 2 || inv.Items[0].Target != "region=eu/dt=2025-01-02" || inv.Items[0].Records != 5 || !inv.Items[0].AnyOrg ||
		c.Hours[day.Add(3*time.Hour)] != 5 || c.Hours[day.AddDate(0, 0, 1)] != 4 || len(inv.Notes) != 1 {
		t.Fatalf("%+v %+v", inv, c)
	}
	now := day.AddDate(0, 0, 11)
	rules := plan.Rules{Keep: map[plan.Kind]time.Duration{plan.Archive: 10 * units.Day}}
	due := plan.Make(plan.Input{Now: now, Rules: rules, Inventories: []plan.Inventory{inv}}).Due()
	if len(due) != 1 || due[0].Verb != plan.DeletePartition {
		t.Fatalf("plan: %+v", due)
	}
	for range 2 {
		if err := s.Do(t.Context(), &due[0], func(int64) {}); err != nil {
			t.Fatal(err)
		}
	}
	var left []string
	for info, err := range files.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, info.Key)
	}
	if len(left) != 2 || left[0] != young {
		t.Errorf("left: %q", left)
	}
	for _, bad := range []string{"", "region=eu", "region=eu/dt=2025-01", "region=eu/dt=2025-01-03/..", "x/dt=2025-01-03", "region=a/b/dt=2025-01-03"} {
		if err := s.Do(t.Context(), &plan.Action{Verb: plan.DeletePartition, Target: bad}, func(int64) {}); err == nil {
			t.Errorf("%q is taken for a day", bad)
		}
	}
}

// TestVerifiedOnce: an object is read once, and again when it changed.
func TestVerifiedOnce(t *testing.T) {
	root := t.TempDir()
	files, err := dirstore.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2025, 1, 2, 3, 0, 0, 0, time.UTC)
	key := put(t, files, at, "one", 0, true)
	counted := &counting{Store: files}
	s := New("archive", prefix, counted, false, func() int64 { return -1 })
	state := t.TempDir()
	verify := func() error {
		dir, err := apply.OpenDir(state)
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		seen, err := dir.Verified()
		if err != nil {
			t.Fatal(err)
		}
		defer seen.Close()
		return s.Verify(t.Context(), at, at.Add(time.Hour), seen)
	}
	for range 3 {
		if err := verify(); err != nil {
			t.Fatal(err)
		}
	}
	if counted.objects != 1 {
		t.Errorf("the object was read %d times", counted.objects)
	}
	if err := os.WriteFile(filepath.Join(root, key), []byte("record_id!\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := verify(); !errors.Is(err, archive.ErrCorrupt) {
		t.Errorf("a changed object: %v", err)
	}
	if err := files.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if err := verify(); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("a missing object: %v", err)
	}
	manifest := strings.TrimSuffix(key, ".csv") + ".manifest.json"
	if err := os.WriteFile(filepath.Join(root, manifest), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := verify(); err == nil || !strings.Contains(err.Error(), "not known") {
		t.Errorf("a manifest that cannot be read: %v", err)
	}
	if inv, err := s.Inventory(t.Context(), at); err != nil || len(s.Covered().Hours) != 0 || len(inv.Notes) != 1 {
		t.Errorf("a manifest that cannot be read: %+v, %v", inv, err)
	}
}

type counting struct {
	archive.Store
	objects int
}

func (c *counting) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	if strings.HasSuffix(key, ".csv") {
		c.objects++
	}
	return c.Store.Get(ctx, key)
}

func TestLease(t *testing.T) {
	root := t.TempDir()
	files, err := dirstore.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	a, b := NewLease(files, prefix, "a", time.Second), NewLease(files, prefix, "b", time.Second)
	take := func(l *Lease, want string) {
		t.Helper()
		if who, err := l.Take(t.Context()); err != nil || who != want {
			t.Fatalf("%s takes: %q, %v; want %q", l.owner, who, err, want)
		}
	}
	take(a, "")
	take(b, "a")
	take(a, "")
	take(b, "a")
	time.Sleep(1100 * time.Millisecond)
	take(b, "") // a's ran out
	take(a, "b")
	if err := a.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	take(a, "b")
	if err := b.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	take(a, "")
	for _, err := range archive.Hours(t.Context(), files, prefix, time.Time{}, time.Time{}) {
		t.Errorf("the lease looks like a part of the archive: %v", err)
	}
}
