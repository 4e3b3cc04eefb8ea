package pipeline

import (
	"cmp"
	"context"
	"sync"
	"time"
)

// settler keeps, for one lane, what was delivered and is not booked yet, and books it in order. A writer's ranges are
// durable when they come; a gatherer's wait until its marks pass them.
type settler struct {
	stream Stream
	spool  Spoolable // the stream, if it is one
	sink   string
	booked func(Settled)
	refuse func(error) // told when booking fails for long

	mu      sync.Mutex
	cursors map[ClaimID]uint32 // moved since the stream was gained
	waiting []Settled          // delivered, not durable yet
	durable []Settled          // durable, not booked yet
	busy    bool
	changed chan struct{}
	err     error
}

func newSettler(st Stream, sink string, booked func(Settled), refuse func(error)) *settler {
	spool, _ := st.(Spoolable)
	return &settler{
		stream: st, spool: spool, sink: sink, booked: booked, refuse: refuse, cursors: make(map[ClaimID]uint32), changed: make(chan struct{}),
	}
}

// cursor is the index up to which the sink has settled the claim.
func (s *settler) cursor(c *Claim) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i, ok := s.cursors[c.ID]; ok {
		return i
	}
	return c.Cursor[s.sink]
}

// wait takes a range that a gatherer has taken over.
func (s *settler) wait(r Settled) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(s.waiting, r)
}

// forget drops what is not durable.
func (s *settler) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = nil
}

// upTo makes everything below the position durable.
func (s *settler) upTo(p Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for n < len(s.waiting) && (Position{s.waiting[n].Claim, s.waiting[n].To}).Compare(p) <= 0 {
		n++
	}
	if n == 0 {
		return
	}
	s.durable = append(s.durable, s.waiting[:n]...)
	s.waiting = append([]Settled(nil), s.waiting[n:]...)
	s.notify()
}

func (s *settler) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// done takes a range that is durable.
func (s *settler) done(r Settled) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.durable = append(s.durable, r)
	s.notify()
}

// work books what becomes durable until the context ends, with the stream.
func (s *settler) work(ctx context.Context) {
	for {
		ranges, changed := s.begin()
		if ranges == nil {
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return
			}
		}
		err := s.book(ctx, ranges)
		s.end(len(ranges), err)
		if err != nil {
			return
		}
	}
}

func (s *settler) begin() ([]Settled, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.durable) == 0 {
		return nil, s.changed
	}
	s.busy = true
	return s.durable, nil
}

func (s *settler) end(n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy = false
	s.durable = append([]Settled(nil), s.durable[n:]...)
	s.err = err
	s.notify()
}

// settleAgain is the pause before a settle is repeated. A lost reply is met by the settle itself; where repeating
// cannot help, the source closes the stream, and with it the context.
const settleAgain = 200 * time.Millisecond

// settleSay is after how many failures in a row it is said: longer than a failover's hiccup.
const settleSay = 25

// book settles ranges that are durable. The cursor moves in memory only when it has moved in the registry.
func (s *settler) book(ctx context.Context, ranges []Settled) error {
	for _, run := range runs(merge(ranges)) {
		err := s.insist(ctx, func() error {
			if run[0].unspooled {
				return s.spool.Unspool(ctx, s.sink, run)
			}
			return s.stream.Settle(ctx, s.sink, run)
		})
		if err != nil {
			return err
		}
		s.moved(run)
	}
	return nil
}

// insist repeats a step until it succeeds or the context ends.
func (s *settler) insist(ctx context.Context, step func() error) error {
	for n := 1; ; n++ {
		err := step()
		if err == nil {
			return nil
		}
		if n%settleSay == 0 {
			s.refuse(err)
		}
		if err := sleep(ctx, settleAgain); err != nil {
			return err
		}
	}
}

func (s *settler) moved(ranges []Settled) {
	s.mu.Lock()
	for _, r := range ranges {
		if !r.unspooled {
			s.cursors[r.Claim] = r.To
		}
	}
	s.mu.Unlock()
	for _, r := range ranges {
		s.booked(r)
	}
}

// spooled books a range that lies in the spool now. Everything before it must be booked.
func (s *settler) spooled(ctx context.Context, where string, r Settled) error {
	err := s.insist(ctx, func() error { return s.spool.SettleSpooled(ctx, s.sink, where, r) })
	if err == nil {
		s.moved([]Settled{r})
	}
	return err
}

// holds tells whether something was taken over that is not durable.
func (s *settler) holds() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiting) > 0
}

// runs cuts ranges where those from the spool end, or begin.
func runs(ranges []Settled) (out [][]Settled) {
	for len(ranges) > 0 {
		n := 1
		for n < len(ranges) && ranges[n].unspooled == ranges[0].unspooled {
			n++
		}
		out, ranges = append(out, ranges[:n]), ranges[n:]
	}
	return out
}

// merge joins adjacent ranges of a claim.
func merge(ranges []Settled) []Settled {
	var out []Settled
	for _, r := range ranges {
		if n := len(out); n > 0 && out[n-1].Claim == r.Claim && out[n-1].To == r.From && out[n-1].unspooled == r.unspooled && out[n-1].Claimed.Equal(r.Claimed) {
			out[n-1].To = r.To
			out[n-1].Counts = out[n-1].Counts.Plus(r.Counts)
			out[n-1].Note = cmp.Or(r.Note, out[n-1].Note)
			continue
		}
		out = append(out, r)
	}
	return out
}

// drained waits until everything durable is booked.
func (s *settler) drained(ctx context.Context) error {
	for {
		s.mu.Lock()
		done, changed, err := len(s.durable) == 0 && !s.busy, s.changed, s.err
		s.mu.Unlock()
		if err != nil || done {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// prune forgets the cursors of claims that are not open any more.
func (s *settler) prune(open []Claim) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.cursors) <= len(open) {
		return
	}
	kept := make(map[ClaimID]uint32, len(open))
	for i := range open {
		if c, ok := s.cursors[open[i].ID]; ok {
			kept[open[i].ID] = c
		}
	}
	s.cursors = kept
}

// Plus adds two counts up.
func (c Counts) Plus(d Counts) Counts {
	return Counts{
		Effective: c.Effective + d.Effective, Duplicates: c.Duplicates + d.Duplicates, Filtered: c.Filtered + d.Filtered,
		DeadLetters: c.DeadLetters + d.DeadLetters, Spooled: c.Spooled + d.Spooled, Pending: c.Pending + d.Pending,
		Shed: c.Shed + d.Shed,
	}
}

// Total is the number of positions the counts stand for. What is shed is among the filtered.
func (c Counts) Total() uint64 {
	return c.Effective + c.Duplicates + c.Filtered + c.DeadLetters + c.Spooled + c.Pending
}
