package redislist

import (
	"context"
	"errors"
	"fmt"

	"sluice/internal/pipeline"
	"sluice/internal/record"
)

const (
	// firstChunk is the number of elements of a stream's first LRANGE; later ones go by the size that was seen.
	firstChunk = 16
	// drainWorth is how much of a reply is read and dropped rather than the connection be closed and made again.
	drainWorth = 256 << 10
	// offsetTries bounds how often a read meets a claim that was trimmed since it was planned.
	offsetTries = 8
)

var (
	errMoved = errors.New("the claim was trimmed meanwhile")
	errGone  = errors.New("the claim is not in the registry any more")
	errShort = errors.New("the claim has fewer elements than recorded")
)

// reading is one call of Read under way.
type reading struct {
	claim  pipeline.ClaimID
	key    string
	reg    string
	from   uint32 // first index that is hashed: the span's first, or where a remembered state begins
	index  uint32 // first index that is returned
	end    uint32
	limit  int64
	offset uint32
	ord    *record.Ordinals
	arena  *pipeline.Arena // nil: elements lie in memory of their own

	pos  uint32 // next index
	out  []pipeline.Element
	size int64  // bytes in out
	full bool   // limit is reached
	left string // server whose reply was not read to its end
}

// Read implements pipeline.Stream.
func (st *stream) Read(ctx context.Context, claim pipeline.ClaimID, index, count uint32, limit int64) ([]pipeline.Element, error) {
	return st.ReadInto(ctx, claim, index, count, limit, nil)
}

// ReadInto implements pipeline.ArenaReader; without an arena it is Read.
func (st *stream) ReadInto(ctx context.Context, claim pipeline.ClaimID, index, count uint32, limit int64, into *pipeline.Arena) ([]pipeline.Element, error) {
	rd, err := st.plannedRead(claim, index, count, limit)
	if err != nil {
		return nil, fmt.Errorf("read list %s: %w", st.list.name, err)
	}
	if rd.arena = into; into != nil {
		rd.out = into.List(int(rd.end - rd.index))
	}
	for try := 0; ; try++ {
		err = st.read(ctx, rd, try > 0)
		if err == nil {
			break
		}
		var re replyError
		if errors.As(err, &re) && re.elsewhere() || errors.Is(err, errOtherServer) {
			st.se.c.fail(err)
		}
		switch {
		case ctx.Err() != nil, st.failed() != nil, errors.As(err, &re), errors.Is(err, errProtocol), try > 0:
			if errors.Is(err, errGone) {
				st.close(err)
			}
			return nil, fmt.Errorf("read list %s, claim %s from %d: %w", st.list.name, claim, index, err)
		}
		rd.restart() // a connection that was idle may have been cut
	}
	st.mu.Lock()
	st.spans.put(claim, rd.pos, rd.ord)
	st.mu.Unlock()
	if err := st.failed(); err != nil {
		return nil, err
	}
	return rd.out, nil
}

// plannedRead checks what is asked for and finds where to begin.
func (st *stream) plannedRead(id pipeline.ClaimID, index, count uint32, limit int64) (*reading, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	c := st.open[id]
	switch {
	case st.why != nil:
		return nil, fmt.Errorf("%w: %w", errClosed, st.why)
	case c == nil || !c.published:
		return nil, fmt.Errorf("there is no claim %s to read from", id)
	case index >= c.Len || count == 0:
		return nil, fmt.Errorf("claim %s has no %d elements from %d", id, count, index)
	}
	rd := &reading{
		claim: id, key: st.list.claim(id), reg: st.list.registry(), index: index, from: index, limit: limit,
		end: index + min(count, c.Len-index), offset: c.Offset, ord: st.spans.take(id, index),
	}
	if rd.ord == nil {
		rd.ord, rd.from = &record.Ordinals{}, index-index%record.Span
	}
	rd.pos = rd.from
	return rd, nil
}

// restart begins anew, from the span's first index.
func (rd *reading) restart() {
	rd.ord, rd.from = &record.Ordinals{}, rd.index-rd.index%record.Span
	rd.pos, rd.out, rd.size, rd.full, rd.left = rd.from, nil, 0, false, ""
	if rd.arena != nil {
		rd.arena.Reset()
		rd.out = rd.arena.List(int(rd.end - rd.index))
	}
}

// read reads chunk after chunk until what was asked for is there. fresh asks for a new connection.
func (st *stream) read(ctx context.Context, rd *reading, fresh bool) error {
	for moved := 0; ; moved++ {
		err := st.readOver(ctx, fresh, func(c *readConn) (bool, error) { return st.readChunks(c, rd) })
		if rd.left != "" && err == nil { // a reply was not read to its end
			server := rd.left
			rd.left = ""
			err = st.readOver(ctx, true, func(c *readConn) (bool, error) {
				err := c.recheck(rd, server)
				return err == nil, err
			})
		}
		if !errors.Is(err, errMoved) || moved == offsetTries {
			return err
		}
		rd.restart()
	}
}

// readOver does something over a connection, and ends the connection with ctx.
func (st *stream) readOver(ctx context.Context, fresh bool, f func(*readConn) (keep bool, err error)) error {
	c, err := st.se.pool.get(ctx, fresh)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.net.Close() })
	keep, err := f(c)
	st.se.pool.put(c, stop() && keep)
	return err
}

func (st *stream) readChunks(c *readConn, rd *reading) (keep bool, err error) {
	c.r.arena = rd.arena
	defer func() { c.r.arena = nil }()
	for keep = true; !rd.full && rd.pos < rd.end; {
		before, had := rd.pos, rd.size
		keep, err = c.chunk(rd, st.chunk(rd))
		if err != nil {
			return keep, err
		}
		if !keep {
			rd.left = c.server
		}
		st.learn(rd.size-had, rd.pos-max(before, min(rd.index, rd.pos)))
	}
	return keep, nil
}

// chunk is the number of elements to ask for: what fits the limit by what is known of their size, since the server
// writes the whole reply to its memory, whatever we read of it.
func (st *stream) chunk(rd *reading) uint32 {
	st.mu.Lock()
	defer st.mu.Unlock()
	n := rd.end - rd.pos
	if st.size == 0 {
		return min(n, firstChunk)
	}
	head := float64(max(rd.pos, rd.index) - rd.pos) // hashed only
	fits := head + 1 + 1.25*max(0, float64(rd.limit-rd.size))/st.size
	if fits >= float64(n) {
		return n
	}
	return max(1, uint32(fits))
}

// learn takes the size of elements in.
func (st *stream) learn(bytes int64, n uint32) {
	if n == 0 {
		return
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	avg := max(1, float64(bytes)/float64(n))
	if st.size == 0 {
		st.size = avg
	}
	st.size += (avg - st.size) / 4
}
