package redislist

import (
	"context"
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
	open    map[pipeline.ClaimID]time.Time
	made    []madeClaim
	sure    assured
}

// assured is what as many replicas held as are waited for: an ordinary failover keeps it. What came later it may undo, and does no
// harm by it: of such claims nothing was delivered, and what a cursor that went back delivers again has the positions that it had.
type assured struct {
	n       uint32
	front   map[string]pipeline.Position    // by sink: everything before it was settled, and nothing before it lies in its spool
	members map[string]pipeline.MemberRange // recorded by sinks
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
	m := memory{lineage: st.id.Lineage, epoch: st.epoch, n: st.n, last: st.last, open: map[pipeline.ClaimID]time.Time{}, made: slices.Clone(st.made), sure: st.sure}
	for _, id := range st.order {
		m.open[id] = st.open[id].Time
	}
	st.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memory[st.list.name] = m
}

// assured takes note of what replicas hold.
func (st *stream) assured(a assured) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.sure = a
}

// assure is what replicas will hold when they hold every script that was answered by now.
func (st *stream) assure() assured {
	st.mu.Lock()
	defer st.mu.Unlock()
	a := assured{n: st.n, front: map[string]pipeline.Position{}, members: map[string]pipeline.MemberRange{}}
	end := pipeline.Position{Claim: pipeline.ClaimID{Epoch: st.epoch, Number: st.n + 1}}
	for _, sink := range st.owes {
		a.front[sink] = end
	}
	left := len(st.owes)
	for _, id := range st.order {
		c := st.open[id]
		for _, sink := range c.Sinks {
			if c.Cursor[sink] < c.Len && a.front[sink] == end {
				a.front[sink] = pipeline.Position{Claim: id, Index: c.Cursor[sink]}
				left--
			}
		}
		if left == 0 {
			break
		}
	}
	for sink, sp := range st.spools {
		a.front[sink] = sp.From
	}
	for sink, m := range st.members {
		a.members[sink] = m.rng
	}
	return a
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
	_, err = se.compare(ctx, l, v.reg)
	return err
}

// compare says, and records, whether a registry is behind what we remember of it, and returns what it is sure to hold.
func (se *session) compare(ctx context.Context, l list, reg *registry) (sure assured, err error) {
	s := se.src
	s.mu.Lock()
	m, ok := s.memory[l.name]
	s.mu.Unlock()
	if !ok {
		return sure, nil
	}
	switch w := m.behind(reg); {
	case w.Undone > 0:
		if err := se.raise(ctx, l, w, reg); err != nil {
			return sure, err // the connection broke: compared again
		}
	default:
		sure = m.sure
		if n := int(m.n) - int(reg.N); n > 0 && m.lineage == reg.Lineage {
			se.log.Info("claims that too few replicas had held are gone, as after a failover; nothing of them was delivered", "list", l.name, "claims", n)
		}
	}
	s.mu.Lock()
	delete(s.memory, l.name)
	s.mu.Unlock()
	return sure, nil
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
		for _, t := range m.open { // they are gone with it
			if t.Before(at) {
				at = t
			}
		}
		hit(max(1, len(m.open)), at)
		return w
	}
	n, last := reg.N, pipeline.ClaimID{Epoch: m.epoch, Number: m.n}
	if reg.Epoch != m.epoch && reg.BaseOf == reg.Epoch { // claims of a newer epoch may have made up for those that are gone
		n = min(n, reg.Base)
	}
	if n < m.sure.n {
		hit(int(m.sure.n-n), m.when(n+1))
	}
	for _, c := range reg.Claims {
		if c.ID.Compare(last) <= 0 && m.undone(&c) {
			hit(1, c.Time)
		}
	}
	for sink, sp := range reg.Spools { // what had left it is in it again
		if front, ok := m.sure.front[sink]; ok && sp.From.Claim.Compare(last) <= 0 && sp.From.Compare(front) < 0 {
			hit(1, m.when(sp.From.Claim.Number))
		}
	}
	for sink, r := range m.sure.members { // the sink would make objects of other ranges
		if at, ok := reg.front(sink); ok && at.Compare(r.To) < 0 && reg.Members[sink] != membersString(r) {
			hit(1, m.when(r.From.Claim.Number))
		}
	}
	return w
}

// undone tells whether a claim's cursors are behind those that replicas held, or it is there again.
func (m memory) undone(c *claimEntry) bool {
	for _, sink := range c.Sinks {
		at := pipeline.Position{Claim: c.ID, Index: c.Cursor[sink]}
		if front, ok := m.sure.front[sink]; ok && c.Cursor[sink] < c.Len && at.Compare(front) < 0 {
			return true
		}
	}
	return false
}

// front is what a sink is owed first, if it is owed anything.
func (r *registry) front(sink string) (pipeline.Position, bool) {
	if sp, ok := r.Spools[sink]; ok {
		return sp.From, true
	}
	for i := range r.Claims {
		c := &r.Claims[i]
		if slices.Contains(c.Sinks, sink) && c.Cursor[sink] < c.Len {
			return pipeline.Position{Claim: c.ID, Index: c.Cursor[sink]}, true
		}
	}
	return pipeline.Position{}, false
}
