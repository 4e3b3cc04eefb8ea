package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"sluice/internal/record"
)

// lane is one sink on one stream: it reads at its own cursor and at its own pace.
type lane struct {
	run    *runner
	drain  *drainage
	stream Stream
	cache  *cache
	reads  *cache // cache, or that of the spool while the lane reads from there
	limits Batching
	box    LetterBox
	log    *slog.Logger

	hard    context.Context // of what must not be cut off by an orderly shutdown: calls in flight, dead letters
	members Members
	settler *settler
	spool   *spooler // nil when the stream knows no spools
	buffer  []Item   // of the batch in hand
	note    string   // the sink's, of everything that was delivered
	part    *part    // of a batch that a delivery ended in: it holds as long as the cursor stands there
	passed  Position // everything below was delivered since the stream was gained or rewound, settled or not

	next    atomic.Pointer[Position] // what is read next; for the cache and the status
	idle    atomic.Bool              // nothing left to read at the moment
	blocked atomic.Bool              // what lies in the spool cannot be had here
	mu      sync.Mutex
	rewound chan struct{} // closed by rewind
	gen     int
}

// Batching bounds a batch.
type Batching struct {
	Records int
	Bytes   int64
}

var errRewound = errors.New("the lane was rewound")

func newLane(r *runner, d *drainage, opt Options) *lane {
	st, id := d.stream, d.stream.ID()
	l := &lane{
		run: r, drain: d, stream: st, cache: d.cache, reads: d.cache, limits: opt.Batch, box: opt.Letters, hard: d.hard, members: st.Members(r.name),
		log:     r.log.With("source", id.Source, "list", id.List),
		rewound: make(chan struct{}),
	}
	if r.gather != nil { // it gathers by itself, and what is decoded last still lies in the CPU's caches
		l.limits.Records = min(l.limits.Records, record.Span)
	}
	l.spool = newSpooler(l, opt.Spools)
	l.settler = newSettler(st, r.name, l.booked, l.unsettled)
	l.next.Store(&Position{})
	if n, ok := st.(Noter); ok {
		l.note = n.Note(r.name)
	}
	return l
}

// work delivers claim after claim until the context ends: with the stream, or at the shutdown.
func (l *lane) work(ctx context.Context) {
	for last := 0; ; {
		rewound, gen := l.generation()
		if gen != last {
			if l.settler.drained(ctx) != nil {
				return
			}
			last, l.passed = gen, Position{}
		}
		err := l.deliverAll(ctx, rewound, gen)
		switch {
		case errors.Is(err, errRewound):
		case errors.Is(err, errSpool):
			if l.beginSpool(ctx) != nil {
				return
			}
		case ctx.Err() != nil:
			return
		default:
			l.log.Warn("delivery stops for a moment", "err", err)
			if sleep(ctx, l.run.backoff.Max/10) != nil {
				return
			}
		}
	}
}

// deliverAll goes from the cursor on through every claim that owes this sink, or from where it was when an error ended it:
// what was delivered already waits to be settled.
func (l *lane) deliverAll(ctx context.Context, rewound <-chan struct{}, gen int) error {
	if err := l.drainSpool(ctx, gen); err != nil {
		return err
	}
	var last ClaimID // none is before the first
	for {
		claims, changed := l.stream.Claims()
		for i := range claims {
			c := &claims[i]
			if c.ID.Compare(last) <= 0 || c.ID.Compare(l.passed.Claim) < 0 {
				continue
			}
			if l.owed(c) && !l.serves(c) { // nothing may be applied before it: the stream waits for a pump that can
				l.caughtUp()
				select {
				case <-rewound:
					return errRewound
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
			if l.owed(c) {
				l.idle.Store(false)
				if err := l.deliverClaim(ctx, c, gen); err != nil {
					return err
				}
			}
			last = c.ID
			l.at(Position{c.ID, c.Len})
		}
		l.settler.prune(claims)
		l.caughtUp()
		l.sweepSpool(ctx, claims)
		select {
		case <-changed:
		case <-rewound:
			return errRewound
		case <-l.look():
			if l.mustSpool() || l.mustShed() {
				return errSpool
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (l *lane) owed(c *Claim) bool {
	return slices.Contains(c.Owes, l.run.name) && l.settler.cursor(c) < c.Len
}

// booked takes note that a range is booked.
func (l *lane) booked(r Settled) {
	if !r.unspooled {
		l.run.settled(r.Counts)
		return
	}
	l.run.stats.unspooled(r.Counts)
	l.spool.passed(l.hard, Position{r.Claim, r.To})
}

// unsettled says that the cursor does not move although records are delivered.
func (l *lane) unsettled(err error) {
	l.run.failed(fmt.Errorf("settle: %w", err))
	l.log.Warn("what is delivered cannot be settled; it stays in Redis until it can", "err", err)
}

// caughtUp says that there is nothing to read at the moment.
func (l *lane) caughtUp() {
	l.idle.Store(true)
	l.run.caughtUp()
}

// serves tells whether this sink is the one that the claim means by its name: one of another type under the same name
// is not. Nor is ours when we do not understand what shapes the claim's records, as that of a newer program.
func (l *lane) serves(c *Claim) bool {
	sh, err := l.cache.shapes.get(c.Shape)
	if err != nil {
		l.run.failed(fmt.Errorf("list %s, claim %s: %w", l.stream.ID().List, c.ID, err))
		return false
	}
	return sh.sinks[l.run.name].kind == l.run.kind
}

func (l *lane) deliverClaim(ctx context.Context, c *Claim, gen int) error {
	index := l.settler.cursor(c)
	if l.passed.Claim == c.ID {
		index = max(index, l.passed.Index)
	}
	for index < c.Len {
		l.at(Position{c.ID, index})
		end, err := l.run.deliver(ctx, l, *c, index, gen)
		if err != nil {
			return err
		}
		index = end
	}
	return nil
}

func (l *lane) at(p Position) {
	l.next.Store(&p)
	l.drain.letGo()
}

// rewind makes the lane start again from its cursor. It is called by the runner of a gatherer.
func (l *lane) rewind() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gen++
	l.settler.forget()
	close(l.rewound)
	l.rewound = make(chan struct{})
}

func (l *lane) generation() (<-chan struct{}, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rewound, l.gen
}

func (l *lane) current(gen int) bool {
	_, now := l.generation()
	return now == gen
}
