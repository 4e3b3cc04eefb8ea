package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// errSpool says that what the sink is owed is to go to its spool rather than wait.
var errSpool = errors.New("the sink is down and room is short")

// guardLook is how often a lane that waits for its sink asks whether the source has room.
const guardLook = time.Second

// turn waits until the sink may be called. A sink that is down is tried whenever its breaker lets it; between, errSpool is
// returned when records may not wait any longer.
func (l *lane) turn(ctx context.Context) error {
	if !l.spools() && !l.sheds() {
		return l.run.wait(ctx)
	}
	for !l.run.tryTurn() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if l.mustSpool() || l.mustShed() {
			return errSpool
		}
		look, cancel := context.WithTimeoutCause(ctx, guardLook, errSpool)
		err := l.run.wait(look)
		cancel()
		if !errors.Is(err, errSpool) {
			return err
		}
	}
	return nil
}

// spools tells whether the lane may spool at all.
func (l *lane) spools() bool { return l.run.spools && l.spool != nil && len(l.spool.places) > 0 }

// mustSpool tells whether what is fresh should go to the spool now.
func (l *lane) mustSpool() bool { return l.run.down() && l.short() != "" }

// short says why fresh records may not wait in the source; empty when they may, or when there are none, or they cannot be
// spooled.
func (l *lane) short() string {
	if !l.spools() || l.run.trouble.now() {
		return ""
	}
	c := l.fresh()
	if c == nil {
		return ""
	}
	return l.spool.stream.Short(c.Time)
}

// fresh is the first claim that the sink has not settled, nor spooled.
func (l *lane) fresh() *Claim {
	claims, _ := l.stream.Claims()
	for i := range claims {
		if l.owed(&claims[i]) {
			return &claims[i]
		}
	}
	return nil
}

// look ticks while a gatherer holds something of the lane that is not durable: it may have to be given up for the spool.
func (l *lane) look() <-chan time.Time {
	if !l.spools() && !l.sheds() || !l.settler.holds() {
		return nil
	}
	return time.After(guardLook)
}

// beginSpool turns from delivering what is fresh to spooling it, or shedding. What a gatherer holds comes again.
func (l *lane) beginSpool(ctx context.Context) error {
	l.forget()
	if l.mustShed() {
		l.shedOne(ctx)
	} else {
		l.spoolOne(ctx)
	}
	return context.Cause(ctx)
}

// forget drops what a gatherer holds and has not made durable.
func (l *lane) forget() {
	if l.run.gather != nil {
		l.run.gather.forget(l.stream.ID())
		l.rewind()
	}
}

// spoolOne puts the next fresh batch into the spool. Where that fails the records wait, and it is said once.
func (l *lane) spoolOne(ctx context.Context) {
	if err := l.spoolBatch(ctx); err != nil && ctx.Err() == nil {
		l.run.failed(err)
		if l.run.trouble.failed() {
			l.log.Error("the spool cannot be written; the sink's records wait in Redis, which runs short of room", "shed", l.run.sheds, "err", err)
		}
	}
}

func (l *lane) spoolBatch(ctx context.Context) error {
	if err := l.settler.drained(ctx); err != nil {
		return err
	}
	c := l.fresh()
	if c == nil || !l.serves(c) {
		return nil
	}
	var where string
	if r, ok := l.spool.now(); ok {
		where = r.Where // behind what lies there
	}
	place := l.spool.place(where)
	if place == nil {
		return fmt.Errorf("the spool %s is not to be reached from here", where)
	}
	if !l.spool.said {
		l.spool.said = true
		l.log.Warn("the sink is down and Redis runs short of room: records go to the spool", "why", l.short(), "spool", place.Where())
	}
	index := l.settler.cursor(c)
	to, err := l.store(ctx, place, c, index)
	if err != nil {
		return fmt.Errorf("spool a batch: %w", err)
	}
	l.run.trouble.over()
	return l.settler.spooled(ctx, place.Where(), Settled{Claim: c.ID, From: index, To: to, Counts: Counts{Spooled: uint64(to - index)}})
}

// store copies a batch from the claim into the spool. It is held twice meanwhile: as it was read, and as it is written.
func (l *lane) store(ctx context.Context, place Spool, c *Claim, index uint32) (to uint32, err error) {
	limit := l.run.portion(c.Len - index)
	if err := l.run.share.Acquire(ctx, limit); err != nil {
		return 0, context.Cause(ctx)
	}
	defer l.run.share.Release(limit)
	mem := l.cache.store.mem
	reserved := 2 * max(limit, l.cache.largest.Load())
	if err := mem.take(ctx, reserved); err != nil {
		return 0, err
	}
	defer func() { mem.give(reserved) }()
	es, err := l.stream.Read(ctx, c.ID, index, min(c.Len-index, uint32(l.limits.Records)), limit/2)
	if err != nil {
		return 0, err
	}
	var size int64
	for i := range es {
		size += int64(len(es[i].Payload)) + perElement
	}
	mem.adjust(2*size - reserved)
	reserved = 2 * size
	l.cache.learn(es)
	id := l.stream.ID()
	ctx, cancel := context.WithTimeoutCause(ctx, spoolTimeout, errSpoolTimeout)
	defer cancel()
	return place.Put(ctx, l.spool.id, &SpoolBatch{Elements: es, SpoolHead: SpoolHead{
		Source: id.Source, List: id.List, Kind: l.stream.Kind(), Format: l.stream.Format(), Claim: c.ID, ClaimTime: c.Time,
		ClaimLen: c.Len, From: index, To: index + uint32(len(es)), Shape: c.Shape,
	}})
}

// perElement is what an element weighs beside its payload.
const perElement = 64

// sweepSpool removes what crashes left of batches that nothing names any more. What is being booked comes first: a batch that
// it takes out of the spool is not named any more before replicas hold that.
func (l *lane) sweepSpool(ctx context.Context, claims []Claim) {
	if !l.spools() || len(claims) == 0 || !l.spool.untidy() || l.settler.drained(ctx) != nil {
		return
	}
	if _, ok := l.spool.now(); ok {
		return
	}
	first := l.fresh()
	if first == nil {
		first = &claims[len(claims)-1]
	}
	l.spool.sweep(ctx, Position{first.ID, 0})
}

// drainSpool hands what lies in the spool to the sink, in order, while what is fresh waits in the source or, when that
// runs short of room, goes behind it.
func (l *lane) drainSpool(ctx context.Context, gen int) error {
	if l.spool == nil {
		return nil
	}
	r, ok := l.spool.now()
	if !ok {
		return nil
	}
	l.idle.Store(false)
	if err := l.spool.stream.Replicated(ctx); err != nil {
		return err
	}
	place := l.spool.place(r.Where)
	if place == nil {
		return l.block(ctx, gen, fmt.Errorf("what lies in the spool %s cannot be had here", r.Where))
	}
	l.spool.starts, l.spool.last = nil, nil
	next := r.From
	if next.Compare(l.passed) < 0 { // the sink has it already, not durably
		next = l.passed
	}
	for {
		if r, ok = l.spool.now(); !ok || next.Compare(r.To) >= 0 { // all of it was handed over
			l.spool.said = false
			return nil
		}
		end, err := l.deliverSpooled(ctx, place, next, gen)
		next = end
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errSpool) && l.mustShed():
			l.forget()
			l.shedOne(ctx)
			return errRewound
		case errors.Is(err, errSpool):
			l.spoolOne(ctx)
		case errors.Is(err, errRewound):
			return err
		case errors.Is(err, ErrNewer): // left as it is, for a pump of that version
			return l.block(ctx, gen, fmt.Errorf("what lies in the spool %s: %w", place.Where(), err))
		default:
			l.run.failed(err)
			l.log.Warn("what lies in the spool cannot be delivered at the moment", "err", err)
			if l.short() != "" {
				l.spoolOne(ctx)
			}
			if err := sleep(ctx, max(l.run.backoff.Max/10, settleAgain)); err != nil {
				return err
			}
		}
	}
}

// block waits for another process to take the stream: this one cannot go on with it.
func (l *lane) block(ctx context.Context, gen int, why error) error {
	l.run.failed(why)
	l.log.Warn("a list waits for a pump that can go on with it, or for sluice release", "err", why)
	l.blocked.Store(true)
	l.caughtUp()
	rewound, now := l.generation()
	if now != gen {
		return errRewound
	}
	select {
	case <-rewound:
		return errRewound
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// deliverSpooled hands the rest of one spooled batch to the sink and returns how far it came.
func (l *lane) deliverSpooled(ctx context.Context, place Spool, at Position, gen int) (Position, error) {
	src, err := l.spool.find(ctx, place, at)
	if err != nil {
		return at, err
	}
	c, index := src.head.claim(l.run.name), src.head.From
	if at.Claim == c.ID {
		index = max(index, at.Index)
	}
	if !l.serves(&c) {
		return at, l.block(ctx, gen, fmt.Errorf("sink %s is another than the one that batches were spooled for", l.run.name))
	}
	cache := l.cache.store.cache(src, 0, l.cache.shapes)
	l.reads = cache
	defer func() {
		l.reads = l.cache
		cache.close()
	}()
	for index < c.Len {
		l.at(Position{c.ID, index})
		index, err = l.run.deliver(ctx, l, c, index, gen)
		at = Position{c.ID, index}
		if err != nil {
			return at, err
		}
		cache.passed(at)
	}
	return at, nil
}
