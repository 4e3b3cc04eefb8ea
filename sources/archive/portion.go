package archive

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"
	"time"

	format "sluice/internal/archive"
	"sluice/internal/pipeline"
	"sluice/internal/record"
)

// portion is a run of a lineage's rows of one hour, as a stream: its claims are those that the rows were of where they were
// first claimed, so that every sink knows them by the positions that they have everywhere. What the claims have in other hours
// or objects is absent. It implements pipeline.Stream, and ends when all its sinks have settled it.
type portion struct {
	id     pipeline.StreamID
	owed   pipeline.Owed
	time   time.Time
	claims []rowClaim
	behind pipeline.Position // the last row, where the archive has it
	rows   uint64
	bytes  int64
	done   chan struct{}

	mu      sync.Mutex
	settled bool // by every sink
	closed  bool
	cursors map[string]pipeline.Position // by sink; everything below is settled
	counts  map[string]pipeline.Counts
}

// rowClaim is the rows of one claim.
type rowClaim struct {
	id   pipeline.ClaimID
	rows []claimRow
}

type claimRow struct {
	index   uint32
	id      record.ID
	payload []byte
}

var (
	errOver    = errors.New("these rows are not ours to deliver any more")
	errMembers = errors.New("a followed archive records no members")
)

// perClaimRow is about what a row weighs beside its payload.
const perClaimRow = 64

func newPortion(id pipeline.StreamID, owed pipeline.Owed, at time.Time) *portion {
	return &portion{id: id, owed: owed, time: at, done: make(chan struct{}), cursors: map[string]pipeline.Position{}, counts: map[string]pipeline.Counts{}}
}

// add takes the next row. It must lie behind those before it.
func (p *portion) add(r *format.Row) {
	at := r.Position
	p.behind = pipeline.Position{Claim: at.Claim, Index: at.Index + 1}
	n := len(p.claims)
	if n > 0 && format.IsImport(p.id.Lineage) { // each row has a claim of its own, which means nothing: one batch is to have many
		at = pipeline.Position{Claim: p.claims[0].id, Index: p.claims[0].end()}
	}
	if n == 0 || p.claims[n-1].id != at.Claim {
		p.claims = append(p.claims, rowClaim{id: at.Claim})
		n++
	}
	row := claimRow{index: at.Index, id: r.ID, payload: record.AppendProtobufLossless(nil, r.Record)}
	c := &p.claims[n-1]
	c.rows = append(c.rows, row)
	p.rows++
	p.bytes += int64(len(row.payload)) + perClaimRow
}

func (c *rowClaim) end() uint32 { return c.rows[len(c.rows)-1].index + 1 }

// before is how many of the claim's rows lie below an index.
func (c *rowClaim) before(index uint32) int {
	return sort.Search(len(c.rows), func(i int) bool { return c.rows[i].index >= index })
}

// ID implements pipeline.Stream.
func (p *portion) ID() pipeline.StreamID { return p.id }

// Kind implements pipeline.Stream.
func (p *portion) Kind() pipeline.Kind { return pipeline.Analytics }

// Format implements pipeline.Stream.
func (p *portion) Format() record.Format { return record.Protobuf }

// Brief implements pipeline.Brief.
func (p *portion) Brief() bool { return true }

// Done implements pipeline.Stream.
func (p *portion) Done() <-chan struct{} { return p.done }

// Claims implements pipeline.Stream: they are all there from the beginning.
func (p *portion) Claims() ([]pipeline.Claim, <-chan struct{}) {
	out := make([]pipeline.Claim, len(p.claims))
	for i := range p.claims {
		c := &p.claims[i]
		cursor := map[string]uint32{}
		for _, sink := range p.owed.Sinks {
			cursor[sink] = c.rows[0].index
		}
		out[i] = pipeline.Claim{ID: c.id, Len: c.end(), Time: p.time, Owes: p.owed.Sinks, Shape: p.owed.JSON, Cursor: cursor}
	}
	return out, p.done
}

func (p *portion) claim(id pipeline.ClaimID) *rowClaim {
	i := sort.Search(len(p.claims), func(i int) bool { return p.claims[i].id.Compare(id) >= 0 })
	if i < len(p.claims) && p.claims[i].id == id {
		return &p.claims[i]
	}
	return nil
}

// Read implements pipeline.Stream.
func (p *portion) Read(_ context.Context, id pipeline.ClaimID, index, most uint32, limit int64) ([]pipeline.Element, error) {
	c := p.claim(id)
	if c == nil || index >= c.end() {
		return nil, fmt.Errorf("claim %s has no index %d", id, index)
	}
	out := make([]pipeline.Element, min(most, c.end()-index))
	rows := c.rows[c.before(index):]
	for i := range out {
		if rows[0].index != index+uint32(i) {
			out[i].Absent = true
			continue
		}
		r := &rows[0]
		if limit -= int64(len(r.payload)); limit < 0 && i > 0 {
			return out[:i], nil
		}
		out[i] = pipeline.Element{Payload: r.payload, Len: int64(len(r.payload)), Hash: r.id.Hash(), ID: r.id}
		rows = rows[1:]
	}
	return out, nil
}

// Settle implements pipeline.Stream. That it is settled is kept when all of the portion is.
func (p *portion) Settle(_ context.Context, sink string, ranges []pipeline.Settled) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errOver
	}
	for _, r := range ranges {
		to := pipeline.Position{Claim: r.Claim, Index: r.To}
		if to.Compare(p.cursors[sink]) <= 0 {
			continue // it was booked before
		}
		p.counts[sink] = p.counts[sink].Plus(r.Counts)
		p.cursors[sink] = to
	}
	end := p.end()
	for _, name := range p.owed.Sinks {
		if p.cursors[name].Compare(end) < 0 {
			return nil
		}
	}
	p.settled, p.closed = true, true
	close(p.done)
	return nil
}

func (p *portion) end() pipeline.Position {
	c := &p.claims[len(p.claims)-1]
	return pipeline.Position{Claim: c.id, Index: c.end()}
}

// close ends the portion, and tells whether all of it is settled.
func (p *portion) close() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed = true
		close(p.done)
	}
	return p.settled
}

// Members implements pipeline.Stream.
func (p *portion) Members(string) pipeline.Members { return noMembers{} }

type noMembers struct{}

// Recorded implements pipeline.Members.
func (noMembers) Recorded() (pipeline.MemberRange, bool) { return pipeline.MemberRange{}, false }

// Record implements pipeline.Members.
func (noMembers) Record(context.Context, pipeline.MemberRange) error { return errMembers }
