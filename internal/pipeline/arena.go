package pipeline

import "slices"

// Arena is memory that the payloads of one read lie in, used again by another read when nobody looks at them any more.
// It is not safe for concurrent use.
type Arena struct {
	from   *blocks // nil: of the heap
	blocks [][]byte
	free   []byte // rest of the last one
	used   int64
	list   []Element
}

const arenaBlock = 256 << 10

// Cut returns n bytes of any content that nobody else has until the arena is used again; n is at most 256 KiB.
func (a *Arena) Cut(n int) []byte {
	if n > len(a.free) {
		a.free = a.take()
	}
	b := a.free[:n:n]
	a.free = a.free[n:]
	return b
}

func (a *Arena) take() []byte {
	var b []byte
	if a.from != nil {
		b = a.from.get()
	} else {
		b = make([]byte, arenaBlock)
	}
	a.blocks = append(a.blocks, b)
	a.used += arenaBlock
	return b
}

// List returns a list without elements, to be filled by the read; it may grow elsewhere.
func (a *Arena) List(n int) []Element {
	a.list = slices.Grow(a.list[:0], n)
	return a.list[:0]
}

// Reset makes all of the arena free. What was cut from it must not be looked at any more.
func (a *Arena) Reset() {
	if a.from != nil {
		for _, b := range a.blocks {
			a.from.put(b)
		}
	}
	clear(a.blocks)
	clear(a.list[:cap(a.list)])
	a.blocks, a.free, a.used = a.blocks[:0], nil, 0
}
