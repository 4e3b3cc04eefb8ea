package pipeline

import "sync"

// blocks are the memory that arenas consist of, outside the garbage collector's heap where the system has a way to: what
// lies in it is then neither searched for pointers nor counted when the next collection comes, and a string that points
// into it costs next to nothing to look at. What was mapped once stays mapped, as nobody may look into a block that was
// given back, but somebody might; the pages of blocks that nobody needs go back to the system.
type blocks struct {
	resident func(bytes int64) // told what lies outside the heap, whenever that changes; may be nil

	mu     sync.Mutex
	warm   [][]byte // free, with pages
	cold   [][]byte // free, without
	mapped int64    // bytes that have pages
}

const (
	// region is what is asked of the system at once.
	region = 16 * arenaBlock
	// keptWarm is how many free blocks keep their pages: what the next few spans need.
	keptWarm = 2 * region / arenaBlock
)

// get returns a block of any content.
func (b *blocks) get() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.warm); n > 0 {
		block := b.warm[n-1]
		b.warm = b.warm[:n-1]
		return block
	}
	if len(b.cold) == 0 {
		whole := mapMemory(region)
		for ; len(whole) > 0; whole = whole[arenaBlock:] {
			b.cold = append(b.cold, whole[:arenaBlock:arenaBlock])
		}
	}
	n := len(b.cold)
	block := b.cold[n-1]
	b.cold = b.cold[:n-1]
	b.grow(arenaBlock)
	return block
}

// put takes a block back.
func (b *blocks) put(block []byte) {
	spoil(block)
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.warm) < keptWarm {
		b.warm = append(b.warm, block)
		return
	}
	releasePages(block)
	b.cold = append(b.cold, block)
	b.grow(-arenaBlock)
}

func (b *blocks) grow(by int64) {
	before := b.mapped
	b.mapped += by
	if b.resident != nil && before/region != b.mapped/region {
		b.resident(b.mapped)
	}
}
