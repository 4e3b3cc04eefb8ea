// Package dirstore is an archive's store in a directory.
package dirstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sluice/internal/archive"
	"sluice/internal/crash"
)

// scratch is the directory, below the root, in which files are written before they get their name.
const scratch = ".tmp"

// staleAfter is when a file in the scratch directory is a crash's: longer than any upload takes.
const staleAfter = 24 * time.Hour

// Store keeps each object in a file of its own. A file gets its name by a link that fails where the name exists, after
// its content is on the disk; so objects appear whole, once, and stay. Several processes may use one directory. The file
// system must have hard links.
type Store struct{ root string }

// Open makes the directory if it is not there, and removes what crashes left in it.
func Open(root string) (*Store, error) {
	abs, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("open directory %s: %w", root, err)
	}
	s := &Store{root: abs}
	tmp := filepath.Join(abs, scratch)
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return nil, fmt.Errorf("open directory %s: %w", root, err)
	}
	left, err := os.ReadDir(tmp)
	if err != nil {
		return nil, fmt.Errorf("open directory %s: %w", root, err)
	}
	for _, e := range left {
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > staleAfter {
			_ = os.Remove(filepath.Join(tmp, e.Name())) // found again at the next start
		}
	}
	return s, nil
}

func (s *Store) path(key string) (string, error) {
	if !filepath.IsLocal(filepath.FromSlash(key)) || strings.HasPrefix(key, scratch) {
		return "", fmt.Errorf("%q is not a key of a directory", key)
	}
	return filepath.Join(s.root, filepath.FromSlash(key)), nil
}

// PutIfAbsent implements archive.Store. A directory keeps no hashes.
func (s *Store) PutIfAbsent(ctx context.Context, key string, body io.ReadSeeker, _ int64, _ string) (archive.Info, bool, error) {
	name, err := s.path(key)
	if err != nil {
		return archive.Info{}, false, err
	}
	tmp, err := s.write(ctx, body)
	if err != nil {
		return archive.Info{}, false, fmt.Errorf("write %s: %w", key, err)
	}
	defer func() { _ = os.Remove(tmp) }()
	if err := s.makeDir(filepath.Dir(name)); err != nil {
		return archive.Info{}, false, fmt.Errorf("write %s: %w", key, err)
	}
	crash.Before("directory/link")
	err = os.Link(tmp, name)
	crash.After("directory/link")
	created := err == nil
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return archive.Info{}, false, fmt.Errorf("write %s: %w", key, err)
	}
	// also when it was there: whoever made it may have crashed before this
	if err := syncDir(filepath.Dir(name)); err != nil {
		return archive.Info{}, false, fmt.Errorf("write %s: %w", key, err)
	}
	there, err := s.Head(ctx, key)
	return there, created, err
}

// write puts the body into a file of the scratch directory, on the disk.
func (s *Store) write(ctx context.Context, body io.ReadSeeker) (name string, err error) {
	f, err := s.scratchFile(body)
	if err != nil {
		return "", err
	}
	if err = f.Chmod(0o644); err == nil {
		crash.Before("directory/sync")
		err = f.Sync()
		crash.After("directory/sync")
	}
	if end := f.Close(); err == nil {
		err = end
	}
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

// scratchFile is the body as a file of the scratch directory: another name of the one that it lies in, else a copy, as for
// what was gathered on another file system.
func (s *Store) scratchFile(body io.ReadSeeker) (*os.File, error) {
	if l, ok := body.(archive.Linker); ok {
		name := filepath.Join(s.root, scratch, "put-"+rand.Text())
		if l.Link(name) == nil {
			f, err := os.OpenFile(name, os.O_RDWR, 0)
			if err != nil {
				_ = os.Remove(name)
			}
			return f, err
		}
	}
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Join(s.root, scratch), "put-*")
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(f, body); err != nil {
		_ = os.Remove(f.Name())
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// makeDir makes a directory below the root, and each new one durable in the one above it.
func (s *Store) makeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if above := filepath.Dir(dir); dir != s.root && above != dir {
		if err := s.makeDir(above); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	crash.Before("directory/sync-names")
	err = d.Sync()
	crash.After("directory/sync-names")
	return errors.Join(err, d.Close())
}

// Head implements archive.Store.
func (s *Store) Head(_ context.Context, key string) (archive.Info, error) {
	name, err := s.path(key)
	if err != nil {
		return archive.Info{}, err
	}
	info, err := os.Stat(name)
	if err != nil {
		return archive.Info{}, notFound(err)
	}
	return archive.Info{Key: key, Size: info.Size(), Modified: info.ModTime()}, nil
}

// Get implements archive.Store.
func (s *Store) Get(_ context.Context, key string) (io.ReadCloser, error) {
	name, err := s.path(key)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, notFound(err)
	}
	return f, nil
}

func notFound(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", archive.ErrNotFound, err)
	}
	return err
}

// Delete implements archive.Store.
func (s *Store) Delete(_ context.Context, key string) error {
	name, err := s.path(key)
	if err != nil {
		return err
	}
	crash.Before("directory/remove")
	err = os.Remove(name)
	crash.After("directory/remove")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// List implements archive.Store.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[archive.Info, error] {
	return func(yield func(archive.Info, error) bool) {
		dir, start := splitPrefix(prefix)
		if _, err := s.list(ctx, dir, start, yield); err != nil {
			yield(archive.Info{}, fmt.Errorf("list %s: %w", prefix, err))
		}
	}
}

// list yields the files below dir whose first step begins with start, and tells whether to go on.
func (s *Store) list(ctx context.Context, dir, start string, yield func(archive.Info, error) bool) (bool, error) {
	entries, err := s.entries(dir, start)
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		key := dir + e.Name()
		if e.IsDir() {
			if more, err := s.list(ctx, key+"/", "", yield); err != nil || !more {
				return more, err
			}
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted meanwhile
		}
		if err != nil {
			return false, err
		}
		if !yield(archive.Info{Key: key, Size: info.Size(), Modified: info.ModTime()}, nil) {
			return false, nil
		}
	}
	return true, nil
}

// Dirs implements archive.Store.
func (s *Store) Dirs(_ context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		dir, start := splitPrefix(prefix)
		entries, err := s.entries(dir, start)
		if err != nil {
			yield("", fmt.Errorf("list %s: %w", prefix, err))
			return
		}
		for _, e := range entries {
			if e.IsDir() && !yield(strings.TrimPrefix(e.Name(), start), nil) {
				return
			}
		}
	}
}

// splitPrefix cuts a prefix into the directory, with its slash, and the beginning of a name in it.
func splitPrefix(prefix string) (dir, start string) {
	i := strings.LastIndexByte(prefix, '/') + 1
	return prefix[:i], prefix[i:]
}

// entries are those of a directory that begin with start, in the order of the keys below them. One that is not there is
// empty.
func (s *Store) entries(dir, start string) ([]fs.DirEntry, error) {
	if !filepath.IsLocal(filepath.FromSlash(dir)) && dir != "" {
		return nil, fmt.Errorf("%q is not a prefix of a directory", dir)
	}
	entries, err := os.ReadDir(filepath.Join(s.root, filepath.FromSlash(dir)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool {
		return !strings.HasPrefix(e.Name(), start) || dir == "" && e.Name() == scratch
	})
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(sortName(a), sortName(b)) })
	return entries, nil
}

func sortName(e fs.DirEntry) string {
	if e.IsDir() {
		return e.Name() + "/"
	}
	return e.Name()
}
