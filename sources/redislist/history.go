package redislist

import (
	"context"
	"time"

	"sluice/internal/pipeline"
)

// WentBack says that the Redis history of a list went back to an earlier state: a replica took over that had not got
// everything, or an old snapshot was loaded. Records claimed from From on may be applied again, and are suspect.
type WentBack struct {
	List    string
	Lineage string    // of before
	From    time.Time // server time of the earliest claim that is concerned
	Undone  int       // claims that are gone, or whose cursors went back
}

// memory is what was known of a list when it was last ours. It only serves to see that history went back.
type memory struct {
	lineage string
	n       uint32
	last    time.Time // when the last claim was made
	open    map[pipeline.ClaimID]claimEntry
}

// remember keeps what a stream that ends knew. What it did not hear the answer of is not in it, so that it is never ahead
// of a Redis whose history survived.
func (s *Source) remember(st *stream) {
	st.mu.Lock()
	m := memory{lineage: st.id.Lineage, n: st.n, last: st.last, open: map[pipeline.ClaimID]claimEntry{}}
	for id, c := range st.open {
		m.open[id] = c.claimEntry
	}
	st.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memory[st.list.name] = m
}

// epoch is the newest epoch of a list that was seen.
func (s *Source) epoch(name string) pipeline.Epoch {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.epochs[name]
}

// know keeps the newest epoch of a list.
func (s *Source) know(name string, e pipeline.Epoch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epochs[name] = e
}

// remembers tells whether anything is to be compared with the registry of a list.
func (s *Source) remembers(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.memory[name]
	return ok
}

// lookBack looks for the registry of a list that there is no reason to lease. A Redis that came back empty has none, and
// without this nobody would hear of it before the next record.
func (se *session) lookBack(ctx context.Context, l list) error {
	if !se.src.remembers(l.name) {
		return nil
	}
	v, err := readList(ctx, se.c, l)
	if err != nil || v.reg != nil { // the lease compares what is there
		return err
	}
	se.src.compare(l, &registry{})
	return nil
}

// compare says whether a registry is behind what we remember of it.
func (s *Source) compare(l list, reg *registry) {
	s.mu.Lock()
	m, ok := s.memory[l.name]
	delete(s.memory, l.name)
	s.mu.Unlock()
	if !ok {
		return
	}
	w := WentBack{List: l.name, Lineage: m.lineage}
	hit := func(t time.Time) {
		w.Undone++
		if w.From.IsZero() || t.Before(w.From) {
			w.From = t
		}
	}
	if m.lineage != reg.Lineage || reg.N < m.n {
		hit(m.last)
	}
	for _, c := range reg.Claims {
		old, known := m.open[c.ID]
		if !known && m.lineage == reg.Lineage && c.ID.Number <= m.n {
			hit(c.Time) // was finished
			continue
		}
		for _, sink := range c.Sinks {
			if known && c.Cursor[sink] < old.Cursor[sink] {
				hit(c.Time)
				break
			}
		}
	}
	if w.Undone == 0 {
		return
	}
	s.log.Error("the history of Redis went back: records may be lost or come again; the hours since are suspect, a replay can rebuild them",
		"list", l.name, "from", w.From, "claims", w.Undone)
	if s.deps.WentBack != nil {
		s.deps.WentBack(w)
	}
}
