package redislist

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"sluice/internal/pipeline"
	"sluice/internal/record"
)

// errClosed is what a stream's methods answer when it is not ours any more.
var errClosed = errors.New("the stream is closed")

// stream is a leased list. It implements pipeline.Stream.
type stream struct {
	se     *session
	list   list
	id     pipeline.StreamID
	epoch  pipeline.Epoch // of the claims we make
	done   chan struct{}
	notes  map[string]string // of sinks, as of when the list was leased
	leased uint64            // the write that leased it

	spooling sync.Mutex // held while the registry's spools change, so that what is remembered of them follows

	mu        sync.Mutex
	why       error // why it was closed
	n         uint32
	taken     uint64
	last      time.Time   // when the last claim was made
	made      []madeClaim // the last ones, ascending
	open      map[pipeline.ClaimID]*openClaim
	order     []pipeline.ClaimID // of open, ascending
	published []pipeline.Claim   // never written to once handed out, but behind its end
	waiting   []unpublished      // claims that replicas are to confirm yet, ascending
	changed   chan struct{}
	members   map[string]recordedMembers
	covered   uint64   // writes up to it are replicated as demanded
	owes      []string // every sink that an open claim owed since the list was leased
	sure      assured  // what replicas were known to hold last
	spans     spanStates
	spools    map[string]pipeline.Spooled // what lies in a sink's spool
	unspooled uint64                      // the last write that took something out of a spool
	skew      time.Duration               // server's clock less ours
	size      float64                     // of an element, smoothed; 0: none was seen
}

// openClaim is what changes of a claim.
type openClaim struct {
	claimEntry
	published bool
}

type unpublished struct {
	claim pipeline.Claim
	seq   uint64 // write on the control connection that a WAIT must cover
}

// newStream makes a stream of what the lease's script read; seq is that script's number.
func newStream(se *session, l list, reg *registry, seq uint64) *stream {
	st := &stream{
		se: se, list: l, epoch: reg.Epoch, n: reg.N, taken: reg.Taken,
		id:   pipeline.StreamID{Source: se.src.name, List: l.name, Lineage: reg.Lineage},
		done: make(chan struct{}), changed: make(chan struct{}),
		open: map[pipeline.ClaimID]*openClaim{}, members: map[string]recordedMembers{}, spools: maps.Clone(reg.Spools), notes: reg.Notes, leased: seq,
	}
	if !reg.Now.IsZero() {
		st.skew = time.Until(reg.Now)
	}
	for _, c := range reg.Claims {
		st.add(c, []byte(reg.Shapes[c.Key]), seq)
	}
	for sink, v := range reg.Members {
		m, err := parseMembers(v)
		if err != nil {
			se.log.Error("recorded members cannot be read", "list", l.name, "sink", sink, "err", err)
			continue
		}
		st.members[sink] = recordedMembers{m, seq}
	}
	return st
}

// add puts a claim behind the others, not to be delivered from before the write seq is replicated.
func (st *stream) add(c claimEntry, shape []byte, seq uint64) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.open[c.ID] != nil {
		return
	}
	st.open[c.ID] = &openClaim{claimEntry: c}
	st.order = append(st.order, c.ID)
	for _, sink := range c.Sinks {
		if !slices.Contains(st.owes, sink) {
			st.owes = append(st.owes, sink)
		}
	}
	st.last = c.Time
	if len(st.made) == madeKept {
		st.made = slices.Delete(st.made, 0, madeKept/4)
	}
	st.made = append(st.made, madeClaim{c.ID.Number, c.Time})
	st.waiting = append(st.waiting, unpublished{seq: seq, claim: pipeline.Claim{
		ID: c.ID, Len: c.Len, Time: c.Time, Owes: c.Sinks, Shape: shape, Cursor: maps.Clone(c.Cursor)}})
}

// added books a claim that was made just now.
func (st *stream) added(c claimEntry, shape []byte, seq uint64) {
	st.add(c, shape, seq)
	st.mu.Lock()
	defer st.mu.Unlock()
	st.n, st.taken = c.ID.Number, st.taken+uint64(c.Len)
}

// publish hands out the claims whose writes up to seq are replicated.
func (st *stream) publish(seq uint64) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.covered = max(st.covered, seq)
	n := 0
	for n < len(st.waiting) && st.waiting[n].seq <= seq {
		c := st.waiting[n].claim
		st.published = append(st.published, c)
		if o := st.open[c.ID]; o != nil {
			o.published = true
		}
		n++
	}
	if n > 0 {
		st.waiting = slices.Delete(st.waiting, 0, n)
		close(st.changed)
		st.changed = make(chan struct{})
	}
}

// close ends the stream; the first reason counts.
func (st *stream) close(why error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.why == nil {
		st.why = why
		close(st.done)
	}
}

// failed says why the stream is closed, or nil.
func (st *stream) failed() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.why == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errClosed, st.why)
}

// ID implements pipeline.Stream.
func (st *stream) ID() pipeline.StreamID { return st.id }

// Kind implements pipeline.Stream.
func (st *stream) Kind() pipeline.Kind { return st.list.kind }

// Format implements pipeline.Stream.
func (st *stream) Format() record.Format { return st.list.format }

// Done implements pipeline.Stream.
func (st *stream) Done() <-chan struct{} { return st.done }

// Note implements pipeline.Noter.
func (st *stream) Note(sink string) string { return st.notes[sink] }

// Claims implements pipeline.Stream. The slice and what it points to are not to be written to.
func (st *stream) Claims() ([]pipeline.Claim, <-chan struct{}) {
	st.mu.Lock()
	defer st.mu.Unlock()
	return slices.Clip(st.published), st.changed
}

// Settle implements pipeline.Stream.
func (st *stream) Settle(ctx context.Context, sink string, ranges []pipeline.Settled) error {
	return st.settle(ctx, sink, "", ranges)
}

// settle moves a sink's cursor; where is the spool that the ranges lie in now, if any.
func (st *stream) settle(ctx context.Context, sink, where string, ranges []pipeline.Settled) error {
	if err := st.failed(); err != nil {
		return err
	}
	ranges, err := st.plan(sink, ranges)
	if err != nil { // what is remembered here and there differs: the registry decides
		st.close(err)
		return err
	}
	if len(ranges) == 0 {
		return nil
	}
	out, err := settle(ctx, st.se.c, st.se.owner(), st.list, st.id.Lineage, sink, where, ranges)
	if err == nil && out == nil && where != "" {
		err = errStale // another moved the cursor, and not into this spool
	}
	if err != nil {
		return st.refused("settle", err)
	}
	if where != "" {
		st.nameSpool(sink, where, ranges)
	}
	st.settled(sink, where != "", ranges, out)
	return nil
}

// refused closes the stream when an answer says that what we remember of it is void.
func (st *stream) refused(what string, err error) error {
	if errors.Is(err, errLost) || errors.Is(err, errEpoch) || errors.Is(err, errStale) {
		st.close(err)
	}
	return fmt.Errorf("%s list %s: %w", what, st.list.name, err)
}

// plan merges ranges by claim and checks that they follow the sink's cursor. What is settled already is nothing to do.
func (st *stream) plan(sink string, ranges []pipeline.Settled) ([]pipeline.Settled, error) {
	var out []pipeline.Settled
	for _, r := range ranges {
		if i := len(out) - 1; i >= 0 && out[i].Claim == r.Claim && out[i].To == r.From {
			out[i].To, out[i].Counts, out[i].Note = r.To, addCounts(out[i].Counts, r.Counts), cmp.Or(r.Note, out[i].Note)
			continue
		}
		out = append(out, r)
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	passed := 0
	for _, r := range out {
		c := st.open[r.Claim]
		if r.From >= r.To || c != nil && (r.To > c.Len || !slices.Contains(c.Sinks, sink)) {
			return nil, fmt.Errorf("settle list %s: %s [%d, %d) is not a range of sink %s", st.list.name, r.Claim, r.From, r.To, sink)
		}
		if c == nil || c.Cursor[sink] >= r.To {
			passed++
		}
	}
	if passed == len(out) {
		return nil, nil
	}
	return out, st.follows(sink, out)
}

// follows checks that ranges begin at the sink's cursor and leave nothing out. The lock is held.
func (st *stream) follows(sink string, ranges []pipeline.Settled) error {
	next := 0
	for _, id := range st.order {
		c := st.open[id]
		if !slices.Contains(c.Sinks, sink) || c.Cursor[sink] >= c.Len {
			continue
		}
		r := ranges[next]
		if r.Claim != id || r.From != c.Cursor[sink] || next+1 < len(ranges) && r.To != c.Len {
			break
		}
		if next++; next == len(ranges) {
			return nil
		}
	}
	return fmt.Errorf("settle list %s: ranges of sink %s do not follow its cursor", st.list.name, sink)
}

// settled books what a settle did. Members that are recorded outlive that their range is spooled.
func (st *stream) settled(sink string, spooled bool, ranges []pipeline.Settled, out []trimmed) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, r := range ranges {
		if c := st.open[r.Claim]; c != nil {
			c.Cursor[sink] = max(c.Cursor[sink], r.To)
		}
	}
	for _, t := range out {
		if c := st.open[t.claim]; c != nil {
			c.Offset = max(c.Offset, t.offset)
		}
	}
	for _, r := range ranges {
		if c := st.open[r.Claim]; c != nil && c.least() >= c.Len {
			st.remove(r.Claim)
		}
	}
	if !spooled {
		st.passed(sink, endOf(ranges))
	}
}

// endOf is the position behind ranges.
func endOf(ranges []pipeline.Settled) pipeline.Position {
	last := ranges[len(ranges)-1]
	return pipeline.Position{Claim: last.Claim, Index: last.To}
}

// passed forgets the members that the sink has passed. The lock is held.
func (st *stream) passed(sink string, p pipeline.Position) {
	if m, ok := st.members[sink]; ok && m.rng.To.Compare(p) <= 0 {
		delete(st.members, sink)
	}
}

// remove forgets a finished claim. The lock is held.
func (st *stream) remove(id pipeline.ClaimID) {
	delete(st.open, id)
	st.spans.forget(id)
	if i, ok := slices.BinarySearchFunc(st.order, id, pipeline.ClaimID.Compare); ok {
		if i == 0 {
			st.order = st.order[1:]
		} else {
			st.order = slices.Delete(st.order, i, i+1)
		}
	}
	i := slices.IndexFunc(st.published, func(c pipeline.Claim) bool { return c.ID == id })
	switch {
	case i == 0:
		st.published = st.published[1:]
	case i > 0: // others hold the slice: make another
		st.published = slices.Concat(st.published[:i], st.published[i+1:])
	}
}

// summary counts the claims that are not finished, shows the first, and tells how many records were ever claimed.
func (st *stream) summary() (open int, oldest *claimEntry, taken uint64) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if len(st.order) > 0 {
		c := st.open[st.order[0]].claimEntry
		oldest = &c
	}
	return len(st.order), oldest, st.taken
}

// next is the ID of the claim to be made next.
func (st *stream) next() pipeline.ClaimID {
	st.mu.Lock()
	defer st.mu.Unlock()
	return pipeline.ClaimID{Epoch: st.epoch, Number: st.n + 1}
}
