package redislist

import (
	"context"
	"maps"
	"slices"
	"time"

	"sluice/internal/pipeline"
)

// WentBack says that the Redis history of a list went back to an earlier state: a replica took over that had not got
// everything, or an old snapshot was loaded. Records that came between From and To may be lost or applied again.
type WentBack struct {
	ID       string // of the stretch, as it is recorded
	List     string
	Lineage  string    // of before
	From     time.Time // server time: earlier than what the earliest claim that is concerned holds came
	To       time.Time // server time at which it was noticed
	Undone   int       // claims that are gone, or whose cursors went back
	Recorded bool      // it is kept in Redis: Source.Suspects shows it until it is cleared
}

// memory is what was known of a list when it was last ours. It only serves to see that history went back.
type memory struct {
	lineage string
	epoch   pipeline.Epoch
	n       uint32
	last    time.Time // when the last claim was made
	open    map[pipeline.ClaimID]claimEntry
	front   map[string]pipeline.Position // by sink: nothing before it lies in its spool any more
	made    []madeClaim
}

// madeClaim is when a claim was made.
type madeClaim struct {
	n  uint32
	at time.Time
}

const (
	// madeKept is the number of claims whose times are kept: a quarter of an hour at a claim a second.
	madeKept = 1 << 10
	// gathering is how long before a claim its oldest record may have come: lists are claimed well within their TTL of 60 s.
	gathering = time.Minute
)

// remember keeps what a stream that ends knew. What it did not hear the answer of is not in it, so that it is never ahead
// of a Redis whose history survived.
func (s *Source) remember(st *stream) {
	st.mu.Lock()
	m := memory{lineage: st.id.Lineage, epoch: st.epoch, n: st.n, last: st.last, open: map[pipeline.ClaimID]claimEntry{},
		front: map[string]pipeline.Position{}, made: slices.Clone(st.made)}
	for _, id := range st.order {
		c := st.open[id].claimEntry
		c.Cursor = maps.Clone(c.Cursor)
		m.open[id] = c
		for _, sink := range c.Sinks {
			if _, ok := m.front[sink]; !ok && c.Cursor[sink] < c.Len {
				m.front[sink] = pipeline.Position{Claim: id, Index: c.Cursor[sink]}
			}
		}
	}
	for sink, sp := range st.spools {
		m.front[sink] = sp.From
	}
	st.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memory[st.list.name] = m
}

// when is the time of a claim by its number, as far as it is known.
func (m memory) when(n uint32) time.Time {
	for _, c := range m.made {
		if c.n >= n {
			return c.at
		}
	}
	return m.last
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

// lookBack looks at the registry of a list that there is no reason to lease, or that another pump has. A Redis that came
// back empty has none, and without this nobody would hear of it before the next record.
func (se *session) lookBack(ctx context.Context, l list) error {
	if !se.src.remembers(l.name) {
		return nil
	}
	v, err := readList(ctx, se.c, l)
	if err != nil {
		return err
	}
	if v.reg == nil {
		v.reg = &registry{}
	}
	return se.compare(ctx, l, v.reg)
}

// compare says, and records, whether a registry is behind what we remember of it.
func (se *session) compare(ctx context.Context, l list, reg *registry) error {
	s := se.src
	s.mu.Lock()
	m, ok := s.memory[l.name]
	s.mu.Unlock()
	if !ok {
		return nil
	}
	w := m.behind(reg)
	if w.Undone > 0 {
		if err := se.raise(ctx, l, w, reg); err != nil {
			return err // the connection broke: compared again
		}
	}
	s.mu.Lock()
	delete(s.memory, l.name)
	s.mu.Unlock()
	return nil
}

// raise records that history went back and says it. An error is the connection's.
func (se *session) raise(ctx context.Context, l list, w WentBack, reg *registry) error {
	now, err := serverTime(ctx, se.c)
	if err != nil {
		return err
	}
	w.List, w.To = l.name, now
	if w.From.IsZero() || w.From.After(now) {
		w.From = now
	}
	w.From = w.From.Add(-gathering)
	w.ID = w.Lineage + "-" + epochString(reg.Epoch)
	err = w.record(ctx, se.c, l)
	if err != nil && se.c.failed() {
		return err
	}
	w.Recorded = err == nil
	args := []any{"list", l.name, "from", w.From, "to", w.To, "claims", w.Undone}
	if err != nil {
		args = append(args, "not_recorded", err)
	}
	se.log.Error("the history of Redis went back: records may be lost or come again; these hours are suspect, a replay can rebuild them", args...)
	se.wake() // replicas are to have it
	if se.src.deps.WentBack != nil {
		se.src.deps.WentBack(w)
	}
	return nil
}

// behind finds what a registry lacks of what was remembered.
func (m memory) behind(reg *registry) WentBack {
	w := WentBack{Lineage: m.lineage}
	hit := func(n int, t time.Time) {
		w.Undone += n
		if w.From.IsZero() || t.Before(w.From) {
			w.From = t
		}
	}
	if m.lineage != reg.Lineage {
		at := m.last
		for _, c := range m.open { // they are gone with it
			if c.Time.Before(at) {
				at = c.Time
			}
		}
		hit(max(1, len(m.open)), at)
		return w
	}
	n, last := reg.N, pipeline.ClaimID{Epoch: m.epoch, Number: m.n}
	if reg.Epoch != m.epoch && reg.BaseOf == reg.Epoch { // claims of a newer epoch may have made up for those that are gone
		n = min(n, reg.Base)
	}
	if n < m.n {
		hit(int(m.n-n), m.when(n+1))
	}
	for _, c := range reg.Claims {
		old, known := m.open[c.ID]
		if !known && c.ID.Compare(last) <= 0 {
			hit(1, c.Time) // was finished
			continue
		}
		for _, sink := range c.Sinks {
			if known && c.Cursor[sink] < old.Cursor[sink] {
				hit(1, c.Time)
				break
			}
		}
	}
	for sink, sp := range reg.Spools { // what had left it is in it again
		if front, ok := m.front[sink]; sp.From.Claim.Compare(last) <= 0 && (!ok || sp.From.Compare(front) < 0) {
			hit(1, m.when(sp.From.Claim.Number))
		}
	}
	return w
}
