package dirstore

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/archive"
)

func open(t *testing.T, root string) *Store {
	t.Helper()
	s, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, s *Store, key, text string) (archive.Info, bool) {
	t.Helper()
	there, created, err := s.PutIfAbsent(t.Context(), key, strings.NewReader(text), int64(len(text)), "")
	if err != nil {
		t.Fatal(err)
	}
	return there, created
}

func get(t *testing.T, s *Store, key string) string {
	t.Helper()
	r, err := s.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPutIfAbsent(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "a", "b"))
	if there, created := put(t, s, "x/y/z", "first"); !created || there.Size != 5 {
		t.Errorf("%+v, %v", there, created)
	}
	if there, created := put(t, s, "x/y/z", "second one"); created || there.Size != 5 || get(t, s, "x/y/z") != "first" {
		t.Errorf("%+v, %v: %s", there, created, get(t, s, "x/y/z"))
	}
	if left, err := os.ReadDir(filepath.Join(s.root, scratch)); err != nil || len(left) > 0 {
		t.Errorf("%d files are left, %v", len(left), err)
	}
	if err := errors.Join(s.Delete(t.Context(), "x/y/z"), s.Delete(t.Context(), "x/y/z")); err != nil {
		t.Error(err)
	}
	if _, err := s.Head(t.Context(), "x/y/z"); !errors.Is(err, archive.ErrNotFound) {
		t.Error(err)
	}
	if _, err := s.Get(t.Context(), "x/y/z"); !errors.Is(err, archive.ErrNotFound) {
		t.Error(err)
	}
}

// TestOneOfManyWins: many writers of one key, also of two handles: one creates, all see the same whole object.
func TestOneOfManyWins(t *testing.T) {
	root := t.TempDir()
	stores := []*Store{open(t, root), open(t, root)}
	var wg sync.WaitGroup
	var mu sync.Mutex
	created := 0
	for i := range 16 {
		wg.Go(func() {
			text := strings.Repeat(fmt.Sprint(i%10), 1<<16)
			_, ok, err := stores[i%2].PutIfAbsent(t.Context(), "d/k", strings.NewReader(text), int64(len(text)), "")
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			if ok {
				created++
			}
		})
	}
	wg.Wait()
	got := get(t, stores[0], "d/k")
	if created != 1 || len(got) != 1<<16 || strings.Trim(got, got[:1]) != "" {
		t.Errorf("%d writers created it; %d bytes", created, len(got))
	}
}

func TestListAndDirs(t *testing.T) {
	s := open(t, t.TempDir())
	keys := []string{"p/region=a-b/dt=1/h/o", "p/region=a/dt=1/h/o", "p/region=a/dt=1/h/o.manifest.json", "p/region=a/dt=2/h/o", "top"}
	for _, k := range keys {
		put(t, s, k, "x")
	}
	list := func(prefix string) (got []string) {
		for i, err := range s.List(t.Context(), prefix) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, i.Key)
		}
		return got
	}
	if got := list(""); !slices.Equal(got, keys) || !slices.IsSorted(got) {
		t.Errorf("%q", got)
	}
	if got := list("p/region=a/dt=1"); !slices.Equal(got, keys[1:3]) {
		t.Errorf("%q", got)
	}
	if got := list("p/none/"); len(got) > 0 {
		t.Errorf("%q", got)
	}
	var dirs []string
	for d, err := range s.Dirs(t.Context(), "p/region=") {
		if err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, d)
	}
	if !slices.Equal(dirs, []string{"a-b", "a"}) {
		t.Errorf("%q", dirs)
	}
}

func TestKeysStayInside(t *testing.T) {
	s := open(t, t.TempDir())
	for _, key := range []string{"", "..", "../x", "/etc/passwd", "a/../../x", scratch + "/x"} {
		if _, _, err := s.PutIfAbsent(t.Context(), key, strings.NewReader("x"), 1, ""); err == nil {
			t.Errorf("%q was written", key)
		}
		if _, err := s.Get(t.Context(), key); err == nil {
			t.Errorf("%q was read", key)
		}
		if err := s.Delete(t.Context(), key); err == nil {
			t.Errorf("%q was deleted", key)
		}
	}
	for _, err := range s.List(t.Context(), "../") {
		if err == nil {
			t.Error("a directory outside was listed")
		}
	}
}

func TestOpenRemovesOnlyWhatIsStale(t *testing.T) {
	root := t.TempDir()
	s := open(t, root)
	old, young := filepath.Join(root, scratch, "put-old"), filepath.Join(root, scratch, "put-young")
	for _, name := range []string{old, young} {
		if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := time.Now().Add(-2 * staleAfter)
	if err := os.Chtimes(old, before, before); err != nil {
		t.Fatal(err)
	}
	open(t, root)
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Error("a crash's file is still there")
	}
	if _, err := os.Stat(young); err != nil {
		t.Error("another process's file was removed")
	}
	for i, err := range s.List(t.Context(), "") {
		t.Errorf("listed %+v, %v", i, err)
	}
}

// fileBody is a body that lies in a file of its own.
type fileBody struct {
	*os.File
	broken bool
}

func (b fileBody) Link(name string) error {
	if b.broken {
		return errors.New("another file system")
	}
	return os.Link(b.Name(), name)
}

// A body that is a file becomes the object without a copy where that is possible, and the object is as any other.
func TestFileBecomesTheObject(t *testing.T) {
	for _, broken := range []bool{false, true} {
		s := open(t, t.TempDir())
		f, err := os.CreateTemp(t.TempDir(), "rows-*")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString("rows"); err != nil {
			t.Fatal(err)
		}
		for _, again := range []bool{false, true} {
			if there, created, err := s.PutIfAbsent(t.Context(), "x/y", fileBody{f, broken}, 4, ""); err != nil || created == again || there.Size != 4 {
				t.Fatalf("%+v, %v, %v", there, created, err)
			}
		}
		object, err := os.Stat(filepath.Join(s.root, "x", "y"))
		if err != nil {
			t.Fatal(err)
		}
		gathered, err := f.Stat()
		if err != nil || os.SameFile(object, gathered) == broken || object.Mode().Perm() != 0o644 {
			t.Errorf("broken %v: the same file is %v, mode %s, %v", broken, os.SameFile(object, gathered), object.Mode(), err)
		}
		if err := os.Remove(f.Name()); err != nil {
			t.Fatal(err)
		}
		if got := get(t, s, "x/y"); got != "rows" {
			t.Errorf("%q", got)
		}
		if left, err := os.ReadDir(filepath.Join(s.root, scratch)); err != nil || len(left) > 0 {
			t.Errorf("%d files are left, %v", len(left), err)
		}
	}
}
