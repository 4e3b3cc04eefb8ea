package archive

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
)

// memStore is a Store in memory that can fail. It keeps a log of what was put.
type memStore struct {
	objects map[string]memObject
	noHash  bool // keeps no hashes, as a directory
	// fault is asked before each put: fail without effect, or with (lost).
	fault func(key string) (fail, lost bool)
	puts  []string
}

type memObject struct {
	body []byte
	sha  string
}

var errStore = errors.New("the store is down")

func newMemStore() *memStore { return &memStore{objects: map[string]memObject{}} }

func (s *memStore) PutIfAbsent(ctx context.Context, key string, body io.ReadSeeker, size int64, sha string) (Info, bool, error) {
	if ctx.Err() != nil {
		return Info{}, false, context.Cause(ctx)
	}
	var fail, lost bool
	if s.fault != nil {
		fail, lost = s.fault(key)
	}
	if fail && !lost {
		return Info{}, false, errStore
	}
	_, there := s.objects[key]
	if !there {
		if _, err := body.Seek(0, io.SeekStart); err != nil {
			return Info{}, false, err
		}
		b, err := io.ReadAll(body)
		if err != nil || int64(len(b)) != size {
			return Info{}, false, errors.New("the size is wrong")
		}
		if s.noHash {
			sha = ""
		}
		s.objects[key] = memObject{b, sha}
		s.puts = append(s.puts, key)
	}
	if fail {
		return Info{}, false, errStore
	}
	info, err := s.Head(ctx, key)
	return info, !there, err
}

func (s *memStore) Head(_ context.Context, key string) (Info, error) {
	o, ok := s.objects[key]
	if !ok {
		return Info{}, ErrNotFound
	}
	return Info{Key: key, Size: int64(len(o.body)), SHA256: o.sha}, nil
}

func (s *memStore) Get(_ context.Context, key string) (io.ReadCloser, error) {
	o, ok := s.objects[key]
	if !ok {
		return nil, ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(o.body)), nil
}

func (s *memStore) List(_ context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		for _, key := range slices.Sorted(maps.Keys(s.objects)) {
			if strings.HasPrefix(key, prefix) && !yield(Info{Key: key, Size: int64(len(s.objects[key].body))}, nil) {
				return
			}
		}
	}
}

func (s *memStore) Dirs(_ context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		seen := map[string]bool{}
		for _, key := range slices.Sorted(maps.Keys(s.objects)) {
			rest, ok := strings.CutPrefix(key, prefix)
			dir, _, below := strings.Cut(rest, "/")
			if !ok || !below || seen[dir] {
				continue
			}
			seen[dir] = true
			if !yield(dir, nil) {
				return
			}
		}
	}
}

func (s *memStore) Delete(_ context.Context, key string) error {
	delete(s.objects, key)
	return nil
}
