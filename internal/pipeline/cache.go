package pipeline

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"sluice/internal/record"
)

// cache holds the decoded chunks of one stream, so that lanes at the same place share them. What no lane holds stays
// until the memory is wanted, or every lane has passed it.
type cache struct {
	stream elements
	span   uint32 // a chunk ends at multiples of it; 0: anywhere
	shapes *shapes
	store  *store

	mu      sync.Mutex
	chunks  []*chunk                   // in no order; a handful
	loading map[Position]chan struct{} // memory is reserved for them
	largest atomic.Int64               // bytes of the largest element of the chunk read last
}

// elements is what a cache reads: a Stream, or its spool.
type elements interface {
	Kind() Kind
	Format() record.Format
	Read(ctx context.Context, claim ClaimID, index, max uint32, limit int64) ([]Element, error)
}

// store is what the caches of all streams share: the budget and the clock of last use.
type store struct {
	mem    *memory
	blocks blocks
	rooms  sync.Pool // of *room; what is not used the garbage collector takes

	mu     sync.Mutex
	clock  uint64
	caches map[*cache]struct{}
}

func newStore(limit int64) *store {
	s := &store{mem: newMemory(limit), caches: make(map[*cache]struct{})}
	s.mem.evict = s.evict
	return s
}

func (s *store) cache(st elements, span uint32, sh *shapes) *cache {
	c := &cache{stream: st, span: span, shapes: sh, store: s, loading: make(map[Position]chan struct{})}
	s.mu.Lock()
	s.caches[c] = struct{}{}
	s.mu.Unlock()
	return c
}

func (s *store) tick() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock++
	return s.clock
}

// evict lets go of the chunks that nobody holds, least recently used first, until n bytes are free.
func (s *store) evict(n int64) {
	type candidate struct {
		c    *cache
		ch   *chunk
		used uint64
	}
	var idle []candidate
	s.mu.Lock()
	for c := range s.caches {
		c.mu.Lock()
		for _, ch := range c.chunks {
			if ch.refs == 0 {
				idle = append(idle, candidate{c, ch, ch.used})
			}
		}
		c.mu.Unlock()
	}
	s.mu.Unlock()
	slices.SortFunc(idle, func(a, b candidate) int { return cmp.Compare(a.used, b.used) })
	for _, i := range idle {
		if s.mem.inUse()+n <= s.mem.limit {
			return
		}
		i.c.drop(i.ch)
	}
}

// patience is what is to be done when there is no memory for a chunk.
type patience uint8

const (
	patient   patience = iota // wait for it: only for who holds none
	impatient                 // go without the chunk
	overdraw                  // exceed the budget
	modest                    // go without it where another chunk would have to make room
)

// get returns the chunk that holds the position, and the caller's hold on it; release ends the hold. It reads at most
// limit bytes unless the first element alone is larger. It returns nil when it is impatient and there is no memory. Memory
// is reserved before others can wait for the loading, so that nobody waits, through another, for memory.
func (c *cache) get(ctx context.Context, claim Claim, index uint32, limit int64, p patience) (*chunk, error) {
	at := Position{claim.ID, index}
	end := claim.Len
	if c.span > 0 {
		end = min(end, index-index%c.span+c.span)
	}
	limit = min(limit, int64(end-index)*typicalRecord+minRead)
	var reserved int64
	for {
		ch, busy := c.find(at, reserved > 0)
		switch {
		case ch == nil && busy == nil && reserved > 0:
			return c.load(ctx, claim, at, end, limit, reserved)
		case ch == nil && busy == nil:
			n := max(limit, c.largest.Load())
			if ok, err := c.reserve(ctx, n, p); err != nil || !ok {
				return nil, err
			}
			reserved = n
			continue
		}
		if reserved > 0 { // another was faster
			c.store.mem.give(reserved)
			reserved = 0
		}
		if ch != nil {
			return ch, nil
		}
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (c *cache) reserve(ctx context.Context, n int64, p patience) (bool, error) {
	switch p {
	case impatient:
		return c.store.mem.tryTake(n), nil
	case modest:
		return c.store.mem.takeFree(n), nil
	case overdraw:
		c.store.mem.overdraw(n)
		return true, nil
	}
	err := c.store.mem.take(ctx, n)
	return err == nil, err
}

// find returns a chunk with a hold on it, or the channel to wait for, or neither: then the caller loads, if it begins.
func (c *cache) find(at Position, begin bool) (*chunk, <-chan struct{}) {
	used := c.store.tick()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ch := range c.chunks {
		if ch.claim == at.Claim && ch.from <= at.Index && at.Index < ch.to {
			ch.refs++
			ch.used = used
			return ch, nil
		}
	}
	if busy, ok := c.loading[at]; ok {
		return nil, busy
	}
	if begin {
		c.loading[at] = make(chan struct{})
	}
	return nil, nil
}

func (c *cache) load(ctx context.Context, claim Claim, at Position, end uint32, limit, reserved int64) (*chunk, error) {
	ch, err := c.read(ctx, claim, at.Index, end, limit, reserved)
	used := c.store.tick()
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.loading[at])
	delete(c.loading, at)
	if ch == nil || err != nil {
		return nil, err
	}
	ch.refs, ch.used = 1, used
	c.chunks = append(c.chunks, ch)
	return ch, nil
}

func (c *cache) read(ctx context.Context, claim Claim, index, end uint32, limit, reserved int64) (*chunk, error) {
	shape, err := c.shapes.get(claim.Shape)
	if err != nil {
		c.store.mem.give(reserved)
		return nil, Fatal(err)
	}
	payloads := max(limit-int64(end-index)*perRecord, limit/4)
	elements, in, err := c.elements(ctx, claim.ID, index, end-index, payloads)
	if err != nil || len(elements) == 0 {
		c.store.mem.give(reserved)
		return nil, err
	}
	d := decoding{kind: c.stream.Kind(), format: c.stream.Format(), claim: claim, shape: shape, room: in}
	ch := d.chunk(index, elements)
	c.store.mem.adjust(ch.bytes - reserved)
	c.learn(elements)
	return ch, nil
}

// elements reads, into memory that is used again where that is possible and worth it.
func (c *cache) elements(ctx context.Context, claim ClaimID, index, n uint32, limit int64) ([]Element, *room, error) {
	r, ok := c.stream.(ArenaReader)
	if !ok || n < roomy || c.stream.Kind() != Analytics {
		list, err := c.stream.Read(ctx, claim, index, n, limit)
		return list, nil, err
	}
	in, _ := c.store.rooms.Get().(*room)
	if in == nil {
		in = &room{arena: Arena{from: &c.store.blocks}}
	}
	list, err := r.ReadInto(ctx, claim, index, n, limit, &in.arena)
	if err != nil || len(list) == 0 {
		c.store.leave(in)
		return nil, nil, err
	}
	return list, in, nil
}

// leave gives a room back, which nobody may look into any more.
func (s *store) leave(r *room) {
	if r != nil {
		r.empty()
		s.rooms.Put(r)
	}
}

// learn remembers the largest element that was read last: one as large may be next, and it comes as a whole.
func (c *cache) learn(elements []Element) {
	var largest int64
	for i := range elements {
		largest = max(largest, int64(len(elements[i].Payload)))
	}
	c.largest.Store(largest + perRecord)
}

const (
	typicalRecord = 8 << 10 // what is reserved for a record before its size is known
	minRead       = 256 << 10
)

func (c *cache) release(ch *chunk) {
	c.mu.Lock()
	ch.refs--
	c.mu.Unlock()
	c.store.mem.wake() // who waits for memory may evict it now
}

// drop removes a chunk if nobody holds it.
func (c *cache) drop(ch *chunk) {
	c.mu.Lock()
	i := slices.Index(c.chunks, ch)
	free := i >= 0 && ch.refs == 0
	if free {
		c.chunks = slices.Delete(c.chunks, i, i+1)
	}
	c.mu.Unlock()
	if free {
		c.store.leave(ch.room)
		c.store.mem.give(ch.bytes)
	}
}

// passed lets go of what lies below the position, which every lane has passed.
func (c *cache) passed(p Position) {
	c.mu.Lock()
	var done []*chunk
	for _, ch := range c.chunks {
		if ch.refs == 0 && (Position{ch.claim, ch.to}).Compare(p) <= 0 {
			done = append(done, ch)
		}
	}
	c.mu.Unlock()
	for _, ch := range done {
		c.drop(ch)
	}
}

// close lets go of everything; no lane holds a chunk any more.
func (c *cache) close() {
	c.store.mu.Lock()
	delete(c.store.caches, c)
	c.store.mu.Unlock()
	c.passed(Position{ClaimID{Epoch{1 << 62, 0}, 0}, 0})
}
