package testenv

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sluice/internal/testenv/install"
)

// Build builds the sluice program and returns its path: with the race detector
// if the test itself has it. Tests of all packages share one build, which costs
// next to nothing when the sources have not changed.
func Build(t testing.TB) string {
	t.Helper()
	return build(t, "./cmd/sluice", Race, "")
}

// BuildForCrashes builds the sluice program with its crash points (see
// internal/crash), without the race detector: its tests start it often.
func BuildForCrashes(t testing.TB) string {
	t.Helper()
	return build(t, "./cmd/sluice", false, "crashpoints")
}

// BuildShipped builds the sluice program as it is shipped.
func BuildShipped(t testing.TB) string {
	t.Helper()
	return build(t, "./cmd/sluice", false, "")
}

// built are the files that this process has built: to ask the go command again
// for each of a hundred tests takes half a second each time, for sources that do
// not change during a run.
var built sync.Map

// build builds a command of this module, given from the module's root.
func build(t testing.TB, pkg string, race bool, tags string) string {
	t.Helper()
	root := moduleRoot(t)
	dir := buildDir(t, root)
	name := filepath.Base(pkg)
	args := []string{"build"}
	shared := filepath.Join(dir, name)
	if race {
		args = append(args, "-race")
		shared += "-race"
	}
	if tags != "" {
		args = append(args, "-tags", tags)
		shared += "-" + tags
	}
	unlock, err := install.Lock(t.Context(), filepath.Join(dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if _, done := built.Load(shared); !done {
		noteSources(t, root)
		cmd := exec.CommandContext(t.Context(), "go", append(args, "-o", shared, pkg)...)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", pkg, err, out)
		}
		built.Store(shared, true)
	}
	// A name of the test's own: the next build may replace the shared file.
	own := filepath.Join(t.TempDir(), name)
	if err := linkOrCopy(shared, own); err != nil {
		t.Fatalf("take over the built program: %v", err)
	}
	return own
}

func moduleRoot(t testing.TB) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOMOD").Output()
	if err != nil {
		t.Fatalf("find go.mod: %v", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out)))
}

// noteSources looks at every source file of the module. The go command
// remembers what a test looks at, and would otherwise show the cached result of
// a test whose program has changed since.
func noteSources(t testing.TB, root string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && strings.HasPrefix(d.Name(), ".") {
			return fs.SkipDir
		}
		if name := d.Name(); strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
			_, err = os.Stat(path)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // an editor's file may vanish
		t.Fatalf("look at the sources: %v", err)
	}
}

// buildDir is the directory in the cache for the programs of this checkout.
func buildDir(t testing.TB, root string) string {
	t.Helper()
	base, err := install.Dir()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(root))
	dir := filepath.Join(base, "build", hex.EncodeToString(sum[:8]))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatalf("make the directory for built programs: %v", err)
	}
	return dir
}

// linkOrCopy gives from a second name; across file systems it is a copy.
func linkOrCopy(from, to string) error {
	if os.Link(from, to) == nil {
		return nil
	}
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return errors.Join(err, src.Close())
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, src.Close(), dst.Close())
}
