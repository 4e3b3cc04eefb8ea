package pipeline

import (
	"context"
	"sync"
)

// memory is the budget in bytes for what buffers. take waits until there is room, after asking the cache to let go
// of what nobody is using. Those who wait are served in turn, so that one that needs much is not passed over for ever.
type memory struct {
	limit int64
	evict func(n int64) // frees at least n bytes through give, if it can; called without the lock
	turn  chan struct{} // held by the one that takes or waits

	mu      sync.Mutex
	used    int64
	waited  bool // somebody waits
	changed chan struct{}
}

func newMemory(limit int64) *memory {
	return &memory{limit: limit, changed: make(chan struct{}), turn: make(chan struct{}, 1), evict: func(int64) {}}
}

// take reserves n bytes. More than the whole budget passes alone: one element may be larger than it.
func (m *memory) take(ctx context.Context, n int64) error {
	select {
	case m.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-m.turn }()
	defer m.setWaited(false)
	for {
		changed, ok := m.try(n)
		if ok {
			return nil
		}
		m.evict(n)
		if _, ok := m.try(n); ok {
			return nil
		}
		m.setWaited(true)
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (m *memory) setWaited(w bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waited = w
}

func (m *memory) isWaited() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.waited
}

func (m *memory) try(n int64) (<-chan struct{}, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.used+n <= m.limit || m.used == 0 {
		m.used += n
		return nil, true
	}
	return m.changed, false
}

// overdraw reserves n bytes whether there is room or not.
func (m *memory) overdraw(n int64) { m.adjust(n) }

// tryTake reserves n bytes if that is possible at once and nobody waits.
func (m *memory) tryTake(n int64) bool {
	if m.isWaited() {
		return false
	}
	if _, ok := m.try(n); ok {
		return true
	}
	m.evict(n)
	_, ok := m.try(n)
	return ok
}

// takeFree reserves n bytes if they are free, and nobody waits.
func (m *memory) takeFree(n int64) bool {
	if m.isWaited() {
		return false
	}
	_, ok := m.try(n)
	return ok
}

// wake lets those who wait look again.
func (m *memory) wake() {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.changed)
	m.changed = make(chan struct{})
}

// adjust corrects a reservation to what was really needed, which may be more.
func (m *memory) adjust(by int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used += by
	if by < 0 {
		close(m.changed)
		m.changed = make(chan struct{})
	}
}

func (m *memory) give(n int64) { m.adjust(-n) }

func (m *memory) inUse() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used
}
