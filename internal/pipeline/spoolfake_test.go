package pipeline

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// scarcity makes a registry's source run short of room, and counts steps that a test may stop a pump at.
type scarcity struct {
	replicated chan struct{} // nil: at once
	booked     func()        // called when an unspool has booked, and is not replicated yet
	short      atomic.Bool
	spools     map[string]Spooled
	stop       func(point string) bool // asked with the registry's lock held; true: the pump dies here
}

func (s *scarcity) at(point string) bool { return s.stop != nil && s.stop(point) }

func (s *fakeStream) Short(oldest time.Time) string {
	if s.reg.scarce.short.Load() {
		return "no room"
	}
	return ""
}

func (s *fakeStream) Spools() map[string]Spooled {
	s.reg.mu.Lock()
	defer s.reg.mu.Unlock()
	return maps.Clone(s.reg.scarce.spools)
}

func (s *fakeStream) Replicated(ctx context.Context) error {
	if s.reg.scarce.replicated == nil {
		return nil
	}
	select {
	case <-s.reg.scarce.replicated:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *fakeStream) SettleSpooled(_ context.Context, sink, where string, r Settled) error {
	s.reg.mu.Lock()
	defer s.reg.mu.Unlock()
	sc := &s.reg.scarce
	if s.gone() || sc.at("before settle") {
		s.lost()
		return errStreamLost
	}
	c := s.reg.claims[r.Claim.Number-1]
	if c.cursors[sink] != r.From || r.Counts != (Counts{Spooled: uint64(r.To - r.From)}) {
		s.lost()
		return fmt.Errorf("stale: cursor %d, spooled %+v", c.cursors[sink], r)
	}
	sp, ok := sc.spools[sink]
	if !ok {
		sp = Spooled{From: Position{r.Claim, r.From}, Where: where}
	}
	if sp.Where != where {
		s.lost()
		return errors.New("stale: another spool")
	}
	sp.To = Position{r.Claim, r.To}
	if sc.spools == nil {
		sc.spools = map[string]Spooled{}
	}
	sc.spools[sink] = sp
	c.cursors[sink] = r.To
	s.reg.ledger[sink] = s.reg.ledger[sink].Plus(r.Counts)
	if sc.at("after settle") {
		s.lost()
		return errStreamLost
	}
	return nil
}

func (s *fakeStream) Unspool(_ context.Context, sink string, ranges []Settled) error {
	err := s.unspool(sink, ranges)
	if f := s.reg.scarce.booked; err == nil && f != nil {
		f()
	}
	return err
}

func (s *fakeStream) unspool(sink string, ranges []Settled) error {
	s.reg.mu.Lock()
	defer s.reg.mu.Unlock()
	sc := &s.reg.scarce
	if s.gone() || sc.at("before booking") {
		s.lost()
		return errStreamLost
	}
	sp, ok := sc.spools[sink]
	end := Position{ranges[len(ranges)-1].Claim, ranges[len(ranges)-1].To}
	if !ok || (Position{ranges[0].Claim, ranges[0].From}).Compare(sp.From) < 0 || end.Compare(sp.To) > 0 {
		s.lost()
		return fmt.Errorf("stale: %+v of spool %+v", ranges, sp)
	}
	k := s.reg.ledger[sink]
	for _, r := range ranges {
		if r.Counts.Total() != uint64(r.To-r.From) {
			return fmt.Errorf("counts %+v do not make up [%d,%d)", r.Counts, r.From, r.To)
		}
		k.Spooled -= r.Counts.Total()
		k = k.Plus(r.Counts)
	}
	s.reg.ledger[sink] = k
	if m, ok := s.reg.members[sink]; ok && m.To.Compare(end) <= 0 {
		delete(s.reg.members, sink)
	}
	sp.From = end
	sc.spools[sink] = sp
	if sp.From == sp.To {
		delete(sc.spools, sink)
	}
	if sc.at("after booking") {
		s.lost()
	}
	return nil
}

func (s *fakeStream) gone() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// memSpool is a spool in memory.
type memSpool struct {
	name string

	mu      sync.Mutex
	batches map[SpoolID]map[Position]*SpoolBatch
	err     error // of every Put
	puts    int
	removes int
	stuck   bool // nothing can be removed
	flaky   func() bool
}

func (m *memSpool) Where() string { return m.name }

func (m *memSpool) Put(_ context.Context, id SpoolID, b *SpoolBatch) (uint32, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return 0, m.err
	}
	m.puts++
	if m.batches == nil {
		m.batches = map[SpoolID]map[Position]*SpoolBatch{}
	}
	if m.batches[id] == nil {
		m.batches[id] = map[Position]*SpoolBatch{}
	}
	at := Position{b.Claim, b.From}
	if old := m.batches[id][at]; old != nil {
		return old.To, nil
	}
	kept := *b
	kept.Elements = slices.Clone(b.Elements)
	m.batches[id][at] = &kept
	return b.To, nil
}

func (m *memSpool) Starts(_ context.Context, id SpoolID) iter.Seq2[Position, error] {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := slices.SortedFunc(maps.Keys(m.batches[id]), Position.Compare)
	return func(yield func(Position, error) bool) {
		for _, p := range all {
			if !yield(p, nil) {
				return
			}
		}
	}
}

func (m *memSpool) get(id SpoolID, at Position) (*SpoolBatch, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.batches[id][at]
	switch {
	case b == nil:
		return nil, ErrNotSpooled
	case m.flaky != nil && m.flaky():
		return nil, errors.New("connection reset")
	}
	return b, nil
}

func (m *memSpool) Head(_ context.Context, id SpoolID, at Position) (SpoolHead, error) {
	b, err := m.get(id, at)
	if err != nil {
		return SpoolHead{}, err
	}
	return b.SpoolHead, nil
}

func (m *memSpool) Read(_ context.Context, id SpoolID, at Position, index, n uint32, limit int64) ([]Element, error) {
	b, err := m.get(id, at)
	if err != nil {
		return nil, err
	}
	var out []Element
	for i := index; i < min(index+n, b.To); i++ {
		e := b.Elements[i-b.From]
		if limit -= int64(len(e.Payload)); limit < 0 && len(out) > 0 {
			break
		}
		out = append(out, e)
	}
	return out, nil
}

func (m *memSpool) Remove(_ context.Context, id SpoolID, at Position) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stuck {
		return errors.New("cannot be removed")
	}
	m.removes++
	delete(m.batches[id], at)
	return nil
}

func (m *memSpool) left() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, b := range m.batches {
		n += len(b)
	}
	return n
}

func (m *memSpool) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}
