package pipeline

import (
	"cmp"
	"context"
	"errors"
	"math"
	"time"
)

// deliver hands the next batch of a claim to the sink, from index on, until it is durable (writer) or taken over
// (gatherer), and returns how far it came, also beside an error. Between attempts nothing is held in memory.
func (r *runner) deliver(ctx context.Context, l *lane, c Claim, index uint32, gen int) (uint32, error) {
	d := &delivery{run: r, lane: l, claim: c, gen: gen, todo: []group{{from: index}}, kept: index, spooled: l.reads != l.cache}
	for len(d.todo) > 0 {
		if err := d.attempt(ctx); err != nil {
			if p := d.part(); p != nil {
				l.part = p
			}
			return d.kept, err
		}
	}
	return d.kept, nil
}

// group is a part of a claim to be delivered together: the range [from, to), to being 0 as long as the limits are to
// decide; or of it only the items whose index is in only, step at a time.
type group struct {
	from, to uint32
	only     map[uint32]struct{}
	step     int    // 0: all at once
	sofar    Counts // what became of the items that are not in only any more
	others   Counts // what the range has beside the sink's items
	absent   uint64 // and where it has nothing
}

// part is a range of which the sink has taken some items, and then nothing more. It is for who gives up the rest of it; a
// repeated delivery is of the whole.
type part struct {
	Settled
	left uint64 // items that the sink has not taken
}

// part is what was delivered of the group in hand, nil if it is nothing.
func (d *delivery) part() *part {
	g := &d.todo[0]
	if g.only == nil {
		return nil
	}
	p := &part{left: uint64(len(g.only)), Settled: Settled{Claim: d.claim.ID, From: g.from, To: g.to, Counts: g.sofar.Plus(g.others), unspooled: d.spooled}}
	p.Counts.Effective = uint64(g.to-g.from) - g.absent - p.Counts.Total() - p.left
	return p
}

// delivery is one batch on its way.
type delivery struct {
	run     *runner
	lane    *lane
	claim   Claim
	gen     int
	todo    []group
	kept    uint32 // everything below is done, or taken over
	spooled bool   // it comes from the spool
	repeats int
}

// attempt tries the first group once.
func (d *delivery) attempt(ctx context.Context) error {
	if err := d.lane.turn(ctx); err != nil {
		return err
	}
	reported := false
	defer func() {
		if !reported {
			d.run.breaker.cancelled()
		}
	}()
	bytes := d.run.portion(d.claim.Len - d.todo[0].from)
	if err := d.run.share.Acquire(ctx, bytes); err != nil {
		return context.Cause(ctx)
	}
	defer d.run.share.Release(bytes)
	out, err := d.lane.collect(ctx, d.claim, d.todo[0], bytes)
	if err != nil {
		return err
	}
	defer d.lane.release(out)
	if err := d.lane.mailPoison(d.claim, out); err != nil {
		return err
	}
	d.todo[0].to = out.batch.To
	d.todo[0].absent = out.absent
	d.todo[0].others = Counts{Filtered: out.filtered, DeadLetters: out.dead, Duplicates: out.repeats}
	if len(d.todo) == 1 {
		defer d.lane.readAhead(ctx, d.claim, out.batch.To)()
	}
	reported = true
	err = d.run.call(d.lane.hard, d.lane, &out.batch, d.gen, func(res Result) error { return d.finish(out, res) })
	return d.outcome(ctx, out, err)
}

// outcome decides how to go on after a call.
func (d *delivery) outcome(ctx context.Context, out *collected, err error) error {
	var partial *PartialError
	var result *resultError
	switch class, after := Classify(err); {
	case err == nil:
		d.run.took()
		return nil
	case errors.Is(err, errRewound):
		d.run.breaker.cancelled()
		return err
	case errors.As(err, &result): // the sink did its part; what follows it failed
		d.run.took()
		return result.err
	case errors.As(err, &partial):
		return d.partial(ctx, out, partial, after)
	case isApart(err): // the lane waits, the sink does not
		d.run.failed(err)
		d.run.breaker.cancelled()
		return d.pause(ctx, after)
	case class == PermanentBatch && len(out.batch.Items) > 0:
		d.run.took() // the sink is well, the batch is not
		d.run.failed(err)
		return d.split(out, err)
	case ctx.Err() != nil:
		d.run.breaker.cancelled()
		return context.Cause(ctx)
	default:
		d.run.failed(err)
		d.run.breaker.done(false, after)
		return nil // the breaker paces the next attempt
	}
}

// resultError is a failure after a sink took a batch: a dead letter that could not be stored before the shutdown.
type resultError struct{ err error }

func (r *resultError) Error() string { return r.err.Error() }
func (r *resultError) Unwrap() error { return r.err }

// finish takes note that the items of the batch in hand are done. When they are all of their group, its range goes to
// the settler.
func (d *delivery) finish(out *collected, res Result) error {
	if err := d.bury(out, res); err != nil {
		return &resultError{err}
	}
	g := &d.todo[0]
	g.sofar = g.sofar.Plus(Counts{
		Filtered: uint64(res.Filtered), DeadLetters: uint64(len(res.Dead)), Duplicates: uint64(res.Duplicates),
	})
	if left := out.left(g); left != nil {
		g.only, g.step = left, 0
		return nil
	}
	counts := g.sofar.Plus(g.others)
	counts.Effective = uint64(g.to-g.from) - g.absent - counts.Total()
	d.run.keep(d.lane, Settled{Claim: d.claim.ID, From: g.from, To: g.to, Counts: counts, Note: res.Note, unspooled: d.spooled})
	d.lane.note = cmp.Or(res.Note, d.lane.note)
	d.kept = g.to
	d.lane.passed = Position{d.claim.ID, g.to}
	d.todo = d.todo[1:]
	d.repeats = 0
	return nil
}

// left are the items of a group that the batch in hand did not have.
func (c *collected) left(g *group) map[uint32]struct{} {
	if len(g.only) <= len(c.batch.Items) {
		return nil
	}
	for i := range c.batch.Items {
		delete(g.only, c.batch.Items[i].Index)
	}
	return g.only
}

// partial keeps the items that are to be repeated; the rest of the batch in hand is done.
func (d *delivery) partial(ctx context.Context, out *collected, p *PartialError, after time.Duration) error {
	d.run.failed(p)
	if len(p.Retry) == 0 || len(p.Retry) >= len(out.batch.Items) {
		d.run.breaker.done(false, after)
		return nil
	}
	d.run.took()
	if err := d.bury(out, p.result); err != nil {
		return err
	}
	g := &d.todo[0]
	g.sofar = g.sofar.Plus(Counts{
		Filtered: uint64(p.result.Filtered), DeadLetters: uint64(len(p.result.Dead)), Duplicates: uint64(p.result.Duplicates),
	})
	g.keepOnly(out.batch.Items, p.Retry)
	return d.pause(ctx, after)
}

// pause is the time until this delivery is repeated.
func (d *delivery) pause(ctx context.Context, after time.Duration) error {
	wait := max(d.run.backoff.Delay(d.repeats), after)
	d.repeats = min(d.repeats+1, math.MaxInt16)
	return sleep(ctx, wait)
}

// keepOnly leaves of the items just tried those to be repeated, beside those that were not tried.
func (g *group) keepOnly(tried []Item, retry []int) {
	if g.only == nil {
		g.only = make(map[uint32]struct{}, len(retry))
	}
	for i := range tried {
		delete(g.only, tried[i].Index)
	}
	for _, i := range retry {
		g.only[tried[i].Index] = struct{}{}
	}
}

// split narrows what fails as a whole until the culprit stands alone: a range in two ranges, so that a sink that works
// by position still gets it in order; what is left of a range after a partial failure step by step.
func (d *delivery) split(out *collected, cause error) error {
	items, g := out.batch.Items, &d.todo[0]
	switch {
	case len(items) == 1:
		return d.condemn(out, Result{Dead: []Dead{{Item: 0, Reason: cause.Error()}}})
	case g.only != nil:
		g.step = len(items) / 2
	default:
		middle := items[len(items)/2].Index
		d.todo = append([]group{{from: g.from, to: middle}, {from: middle, to: g.to}}, d.todo[1:]...)
	}
	return nil
}

// condemn makes the only item of the batch in hand a dead letter. A gatherer is given the rest of the range all the same,
// if only its bounds: what it was never given, none of its marks would pass.
func (d *delivery) condemn(out *collected, res Result) error {
	if d.run.gather == nil {
		return d.finish(out, res)
	}
	if err := d.bury(out, res); err != nil {
		return err
	}
	g := &d.todo[0]
	g.sofar.DeadLetters++
	g.keepOnly(out.batch.Items, nil)
	g.step = 0
	return nil
}

// bury stores the sink's dead letters.
func (d *delivery) bury(out *collected, res Result) error {
	if len(res.Dead) == 0 {
		return nil
	}
	sh, err := d.lane.cache.shapes.get(d.claim.Shape)
	if err != nil {
		return err
	}
	letters := make([]Letter, len(res.Dead))
	for i, dead := range res.Dead {
		it := &out.batch.Items[dead.Item]
		raw := it.Raw
		if sh.masks() && it.Record != nil {
			raw = encode(d.lane.stream.Format(), it.Record)
		}
		letters[i] = d.lane.letter(d.claim, it.Index, d.run.name, it.ID.String(), dead.Reason, raw, int64(len(raw)))
	}
	return d.lane.mail(letters)
}
