package archive

import (
	"bytes"
	"context"
	"io"
	"sync"

	format "sluice/internal/archive"
)

// maxKnown is how many bytes of manifests are remembered.
const maxKnown = 16 << 20

// knownStore remembers manifests, which never change: an hour to which objects come is read again and again.
type knownStore struct {
	format.Store
	mu    sync.Mutex
	known map[string][]byte
	bytes int
}

func newKnownStore(s format.Store) *knownStore {
	return &knownStore{Store: s, known: map[string][]byte{}}
}

// Get implements format.Store.
func (s *knownStore) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	if !format.IsManifest(key) {
		return s.Store.Get(ctx, key)
	}
	s.mu.Lock()
	data, ok := s.known[key]
	s.mu.Unlock()
	if ok {
		return io.NopCloser(bytes.NewReader(data)), nil
	}
	body, err := s.Store.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }() // it was only read from
	if data, err = io.ReadAll(io.LimitReader(body, format.MaxManifest+1)); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bytes += len(key) + len(data); s.bytes > maxKnown {
		s.known, s.bytes = map[string][]byte{}, len(key)+len(data)
	}
	s.known[key] = data
	return io.NopCloser(bytes.NewReader(data)), nil
}
