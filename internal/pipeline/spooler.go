package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// spooler finds the batches of one lane in its spool, and removes those that came back.
type spooler struct {
	stream Spoolable
	id     SpoolID
	places []Spool

	// of the lane's goroutine
	starts []Position       // of batches, ascending; the next some thousands
	last   *spooledElements // the batch that was opened last
	said   bool             // that it spools
	swept  bool
	again  time.Time // no sweep before

	left atomic.Bool // something could not be removed
	mu   sync.Mutex
	held []extent              // read, and not removed
	back map[Position]struct{} // of starts: came back and are removed
}

// extent is where a batch lies.
type extent struct {
	place      Spool
	start, end Position
}

func newSpooler(l *lane, places []Spool) *spooler {
	st, ok := l.stream.(Spoolable)
	if !ok {
		return nil
	}
	return &spooler{back: map[Position]struct{}{}, stream: st, id: SpoolID{l.stream.ID().Lineage, l.run.name}, places: places}
}

// now is what lies in the spool.
func (s *spooler) now() (Spooled, bool) {
	r, ok := s.stream.Spools()[s.id.Sink]
	return r, ok
}

// place is the spool of that name, nil when it cannot be reached from here. No name means the one for new batches.
func (s *spooler) place(where string) Spool {
	for _, p := range s.places {
		if where == "" || p.Where() == where {
			return p
		}
	}
	return nil
}

// startsKept bounds what is remembered of a listing.
const startsKept = 4096

var errMissing = errors.New("a spooled batch is missing")

// ErrNotSpooled is a Spool's answer for a batch that is not there.
var ErrNotSpooled = errors.New("no such batch is in the spool")

// spoolTimeout bounds one call of a spool; a batch of some megabytes takes far less.
const spoolTimeout = 30 * time.Second

var errSpoolTimeout = errors.New("the spool did not answer within its timeout")

// find returns the batch that holds the position or, when the position is a claim's end, the first one behind it.
func (s *spooler) find(ctx context.Context, p Spool, at Position) (*spooledElements, error) {
	for _, list := range []bool{false, true} {
		if list {
			if err := s.list(ctx, p); err != nil {
				return nil, fmt.Errorf("list the spool: %w", err)
			}
		}
		e, err := s.known(ctx, p, at)
		if e != nil || err != nil {
			return e, err
		}
	}
	return nil, fmt.Errorf("%w: none holds %s", errMissing, at)
}

// known looks for a batch among those that were listed.
func (s *spooler) known(ctx context.Context, p Spool, at Position) (*spooledElements, error) {
	behind, _ := slices.BinarySearchFunc(s.starts, Position{at.Claim, at.Index + 1}, Position.Compare)
	// The nearest one that begins before is not always it: one that a crash left there may be shorter.
	within := false
	for i := behind - 1; i >= 0 && s.starts[i].Claim == at.Claim; i-- {
		if s.came(s.starts[i]) {
			continue
		}
		e, err := s.open(ctx, p, s.starts[i])
		if errors.Is(err, ErrNotSpooled) { // so did this one
			continue
		}
		if err != nil || at.Index < e.head.To {
			return e, err
		}
		if within = at.Index < e.head.ClaimLen; !within {
			break // no batch holds the end of its claim
		}
	}
	if within || behind == len(s.starts) { // within a claim the next one must begin here
		return nil, nil
	}
	if s.starts[behind].Index > 0 { // every claim is spooled from its beginning, but for the first
		return nil, nil
	}
	return s.open(ctx, p, s.starts[behind])
}

// came tells whether the batch came back and is removed.
func (s *spooler) came(start Position) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.back[start]
	return ok
}

func (s *spooler) open(ctx context.Context, p Spool, start Position) (*spooledElements, error) {
	if s.last != nil && s.last.start == start {
		return s.last, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, spoolTimeout, errSpoolTimeout)
	defer cancel()
	h, err := p.Head(ctx, s.id, start)
	if err != nil {
		return nil, fmt.Errorf("read the spooled batch %s: %w", start, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	end := Position{h.Claim, h.To}
	if !slices.ContainsFunc(s.held, func(e extent) bool { return e.start == start }) {
		s.held = append(s.held, extent{p, start, end})
	}
	s.last = &spooledElements{place: p, id: s.id, start: start, head: h}
	return s.last, nil
}

func (s *spooler) list(ctx context.Context, p Spool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, spoolTimeout, errSpoolTimeout)
	defer cancel()
	s.starts = s.starts[:0]
	s.mu.Lock()
	clear(s.back)
	s.mu.Unlock()
	for start, err := range p.Starts(ctx, s.id) {
		if err != nil {
			return err
		}
		if s.starts = append(s.starts, start); len(s.starts) == startsKept {
			return nil
		}
	}
	return nil
}

// passed removes batches that came back: everything below the position is booked. What cannot be removed now is
// swept later.
func (s *spooler) passed(ctx context.Context, p Position) {
	s.mu.Lock()
	var done []extent
	s.held = slices.DeleteFunc(s.held, func(e extent) bool {
		gone := e.end.Compare(p) <= 0
		if gone {
			done = append(done, e)
		}
		return gone
	})
	s.mu.Unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, spoolTimeout, errSpoolTimeout)
	defer cancel()
	for _, e := range done {
		if e.place.Remove(ctx, s.id, e.start) != nil {
			s.left.Store(true)
			continue
		}
		s.mu.Lock()
		s.back[e.start] = struct{}{}
		s.mu.Unlock()
	}
}

// errStillNeeded says of a batch that nothing names that it cannot be told yet whether it will be adopted.
var errStillNeeded = errors.New("it may be needed yet")

// untidy tells whether to sweep: once, and again while something is left.
func (s *spooler) untidy() bool { return (!s.swept || s.left.Load()) && !time.Now().Before(s.again) }

// sweep removes batches below a position that crashes left: delivered before they were booked as spooled, or booked
// before they were removed.
func (s *spooler) sweep(ctx context.Context, below Position) {
	s.swept, s.again = true, time.Now().Add(spoolAgain)
	s.left.Store(false)
	ctx, cancel := context.WithTimeoutCause(ctx, spoolTimeout, errSpoolTimeout)
	defer cancel()
	for _, p := range s.places {
		for start, err := range p.Starts(ctx, s.id) {
			if err == nil && start.Claim.Compare(below.Claim) < 0 { // one of the same claim may reach beyond it
				err = p.Remove(ctx, s.id, start)
			} else if err == nil {
				err = errStillNeeded
			}
			if err != nil {
				s.left.Store(true) // for the next sweep
				break
			}
		}
	}
}

// spoolAgain is how long a spool that cannot be written is left alone.
const spoolAgain = 5 * time.Second

// spoolTrouble remembers that a sink's batches cannot be spooled. It is said once until they can.
type spoolTrouble struct {
	mu    sync.Mutex
	said  bool
	until time.Time
}

// failed tells whether it is to be said.
func (t *spoolTrouble) failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.until = time.Now().Add(spoolAgain)
	first := !t.said
	t.said = true
	return first
}

func (t *spoolTrouble) over() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.said, t.until = false, time.Time{}
}

// retry lets the spool be tried at once, since room was made in it.
func (t *spoolTrouble) retry() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.until = time.Time{}
}

func (t *spoolTrouble) failing() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.said
}

func (t *spoolTrouble) now() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Now().Before(t.until)
}
