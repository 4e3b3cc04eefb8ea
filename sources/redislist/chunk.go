package redislist

import (
	"errors"
	"fmt"
	"sluice/internal/pipeline"
	"strconv"
)

// chunk reads up to n elements from rd.pos. The trim offset, which only goes forward, is read before and after: if it was
// the same, the absolute indices are certain. (A transaction would do, but Redis refuses MULTI at maxmemory.) keep tells
// whether the connection is at the start of a reply.
func (c *readConn) chunk(rd *reading, n uint32) (keep bool, err error) {
	if rd.pos < rd.offset {
		return true, fmt.Errorf("%w: it begins at %d", errShort, rd.offset)
	}
	start := int64(rd.pos - rd.offset)
	b := appendCommand(nil, "HGET", rd.reg, rd.field())
	b = appendCommand(b, "LRANGE", rd.key, strconv.FormatInt(start, 10), strconv.FormatInt(start+int64(n)-1, 10))
	b = appendCommand(b, "HGET", rd.reg, rd.field())
	if err := c.send(b); err != nil {
		return false, err
	}
	moved := c.holds(rd)
	if moved != nil && !errors.Is(moved, errMoved) {
		return false, moved
	}
	got, err := c.r.size('*')
	switch {
	case err != nil:
		return false, err
	case got < 0 || got > int64(n):
		return false, fmt.Errorf("%w: %d elements in place of %d", errProtocol, got, n)
	case moved != nil:
		return c.leave(rd, got) && c.holds(rd) == nil, moved
	}
	whole, err := c.elements(rd, got)
	if err != nil || !whole {
		return false, err
	}
	if err := c.holds(rd); err != nil {
		return errors.Is(err, errMoved), err
	}
	if got < int64(n) {
		return true, fmt.Errorf("%w: index %d is missing", errShort, rd.pos)
	}
	return true, nil
}

// holds reads the trim offset and compares it with the one that is counted on, which it corrects.
func (c *readConn) holds(rd *reading) error {
	offset, ok, err := c.r.number()
	switch {
	case err != nil:
		return err
	case !ok:
		return errGone
	case uint32(offset) != rd.offset:
		rd.offset = uint32(offset)
		return errMoved
	}
	return nil
}

func (rd *reading) field() string { return "o:" + rd.claim.String() }

// elements reads the elements of a reply until the limit is reached. whole tells whether the reply was read to its end.
func (c *readConn) elements(rd *reading, n int64) (whole bool, err error) {
	for ; n > 0; n-- {
		length, err := c.r.size('$')
		if err != nil {
			return false, err
		}
		if length < 0 {
			return false, fmt.Errorf("%w: a list with a nil", errProtocol)
		}
		if rd.pos < rd.index {
			h, err := c.r.hash(length)
			if err != nil {
				return false, err
			}
			rd.ord.Distinguish(rd.pos, h)
			rd.pos++
			continue
		}
		kept := c.r.kept(length)
		if len(rd.out) > 0 && rd.size+kept > rd.limit {
			rd.full = true
			return c.leaveWithin(rd, length, n-1), nil
		}
		payload, h, err := c.r.payload(length, uint32(n-1))
		if err != nil {
			return false, err
		}
		rd.out = append(rd.out, pipeline.Element{Payload: payload, Len: length, Hash: rd.ord.Distinguish(rd.pos, h)})
		rd.size += kept
		rd.pos++
	}
	rd.full = rd.size >= rd.limit && len(rd.out) > 0
	return true, nil
}

// leave drops n elements if that is less work than another connection.
func (c *readConn) leave(rd *reading, n int64) bool {
	avg := int64(1 << 10)
	if len(rd.out) > 0 {
		avg = rd.size / int64(len(rd.out))
	}
	return n*avg <= drainWorth && c.r.skip(n) == nil
}

// leaveWithin drops the rest of an element whose length was read, and n more.
func (c *readConn) leaveWithin(rd *reading, length, n int64) bool {
	if length > drainWorth {
		return false
	}
	if _, err := c.r.br.Discard(int(length)); err != nil {
		return false
	}
	return c.r.end() == nil && c.leave(rd, n)
}

// recheck asks for the trim offset again after a reply was not read to its end. It must be the same server that answers:
// another may have trimmed elsewhere.
func (c *readConn) recheck(rd *reading, server string) error {
	if c.server != server {
		return fmt.Errorf("%w, and another server answers", errMoved)
	}
	if err := c.send(appendCommand(nil, "HGET", rd.reg, rd.field())); err != nil {
		return err
	}
	return c.holds(rd)
}
