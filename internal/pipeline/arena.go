package pipeline

import "slices"

// Arena is memory that the payloads of one read lie in, used again by another read when nobody looks at them any more:
// the garbage collector never sees them. It is not safe for concurrent use.
type Arena struct {
	blocks [][]byte // all it has
	next   int      // index of the first block that nothing was cut from
	free   []byte   // rest of the block before it
	used   int64
	list   []Element
}

const (
	arenaBlock = 256 << 10
	// arenaKept is what an arena keeps for its next use, twice what a span of usual records takes.
	arenaKept = 4 << 20
)

// Cut returns n bytes of any content that nobody else has until the arena is used again; n is at most 256 KiB. more is
// what may follow, in bytes, so that a first block is not larger than needed.
func (a *Arena) Cut(n, more int) []byte {
	if n > len(a.free) {
		a.take(n, more)
	}
	b := a.free[:n:n]
	a.free = a.free[n:]
	return b
}

func (a *Arena) take(n, more int) {
	for a.next < len(a.blocks) && len(a.blocks[a.next]) < n {
		a.next++ // a small one, of a small read
	}
	if a.next == len(a.blocks) {
		a.blocks = append(a.blocks, make([]byte, min(max(n+more, n), arenaBlock)))
	}
	a.free = a.blocks[a.next]
	a.used += int64(len(a.free))
	a.next++
}

// List returns a list without elements, to be filled by the read; it may grow elsewhere.
func (a *Arena) List(n int) []Element {
	a.list = slices.Grow(a.list[:0], n)
	return a.list[:0]
}

// Reset makes all of the arena free. What was cut from it must not be looked at any more.
func (a *Arena) Reset() {
	var kept int64
	i := 0
	for ; i < len(a.blocks) && kept < arenaKept; i++ {
		kept += int64(len(a.blocks[i]))
		spoil(a.blocks[i])
	}
	clear(a.blocks[i:])
	a.blocks = a.blocks[:i]
	clear(a.list[:cap(a.list)])
	a.next, a.free, a.used = 0, nil, 0
}
