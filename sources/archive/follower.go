package archive

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	format "sluice/internal/archive"
	"sluice/internal/pipeline"
)

// follower is one time of following: from when the archive became ours until it is not, or the end.
type follower struct {
	src   *Source
	store format.Store
	book  *notebook
	drain pipeline.Drain
	wake  chan struct{} // a task ended

	mu       sync.Mutex
	progress *progress
	dirty    bool // progress has what is not kept
	saving   bool
	busy     map[string]*task // by region
	owes     map[string]pipeline.Owed
	held     map[place]held
	found    map[place]*task              // to be delivered, as of the last look
	gone     map[place][]*format.Manifest // whose objects were not there any more
	swept    bool                         // a look at all days has found nothing to be delivered
	clean    bool                         // so has the last look, and all that was delivered is kept

	// only run touches these
	seen map[place]uint64
	high map[string]pipeline.Position // by lineage: the beginning of the latest range seen
}

// held is why a place cannot be delivered, and when it is tried again.
type held struct {
	why   string
	again time.Time
}

// holdFor is how long a place is left that could not be read.
const holdFor = time.Minute

// run follows until ctx is done, or the archive is another's.
func (f *follower) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var work sync.WaitGroup
	saved := make(chan error, 1)
	stop := make(chan struct{})
	go func() { saved <- f.save(ctx, cancel, stop) }()
	f.follow(ctx, &work)
	work.Wait()
	close(stop)
	return <-saved
}

// follow looks, and lets the places that it finds be delivered, each region's one after another.
func (f *follower) follow(ctx context.Context, work *sync.WaitGroup) {
	full, swept := true, time.Now()
	for ctx.Err() == nil {
		before := maps.Clone(f.high)
		p, err := f.look(ctx, full)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			f.src.setError(err)
			f.src.say("look", "the archive cannot be listed, trying again", "err", err)
		default:
			f.src.setError(nil)
			f.note(p, before)
			f.start(ctx, p, work)
			if p.full && p.whole {
				swept = time.Now()
			}
			full = !p.whole || time.Since(swept) >= f.src.cfg.Sweep.D() || f.unswept()
		}
		if !f.wait(ctx) {
			return
		}
	}
}

// wait returns at the next poll, or earlier when a task ended, and tells whether to go on.
func (f *follower) wait(ctx context.Context) bool {
	t := time.NewTimer(f.src.cfg.Poll.D())
	defer t.Stop()
	select {
	case <-t.C:
	case <-f.wake:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// note takes in what a look found. before is what was known of ranges when it began: what is archived later lies behind that.
func (f *follower) note(p *plan, before map[string]pipeline.Position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.DeleteFunc(f.found, func(at place, _ *task) bool { return p.covers(at) })
	for _, t := range p.tasks {
		f.found[t.place] = t
	}
	f.lookForLost(p)
	for _, t := range p.tasks {
		for _, m := range t.gone {
			f.lost(t.place, m)
		}
	}
	for at, h := range f.held {
		if p.whole && p.covers(at) && f.found[at] == nil && f.busy[at.region] == nil {
			delete(f.held, at) // it was moved away, or replaced
			f.src.log.Info("the archive goes on", "hour", at.String(), "was", h.why)
		}
	}
	for at, err := range p.broken {
		f.hold(at, err)
	}
	if p.full && p.whole {
		for lineage, to := range before {
			if format.IsImport(lineage) { // the ranges of its hours lie between each other's, and come one after another
				continue
			}
			if low, ok := p.low[lineage]; ok && low.Compare(to) < 0 {
				to = low
			}
			f.dirty = f.progress.raise(lineage, to) || f.dirty
		}
		if !slices.ContainsFunc(p.tasks, func(t *task) bool { return hourKey(t.hour) < f.progress.Since }) {
			f.dirty = f.progress.widen(f.src.since) || f.dirty
		}
		f.swept = f.swept || len(p.tasks) == 0
	}
	f.clean = f.swept && len(f.found)+len(f.held)+len(f.busy) == 0 && !f.dirty && !f.saving
}

// lookForLost books what was deleted before it was followed: the object was gone, and its manifest is by now. The lock is held.
func (f *follower) lookForLost(p *plan) {
	for at, ms := range f.gone {
		if !p.covers(at) || p.broken[at] != nil {
			continue
		}
		delete(f.gone, at)
		for _, m := range ms {
			if t := f.found[at]; t == nil || !slices.ContainsFunc(t.objects, func(o *format.Manifest) bool { return holds(o, m) }) {
				f.lost(at, m)
			}
		}
	}
}

// holds tells whether an object is another, or stands for it.
func holds(o, other *format.Manifest) bool {
	return o.Key == other.Key || slices.Contains(o.Replaces, other.Name())
}

// lost books an object that was deleted before it was followed. The lock is held.
func (f *follower) lost(at place, m *format.Manifest) {
	f.progress.region(at.region).Lost += uint64(m.Records)
	f.dirty = true
	f.src.alarm(at, fmt.Errorf("%s was deleted before it was followed: up to %d records are lost here", m.Key, m.Records))
}

func (f *follower) unswept() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.swept && len(f.held) == 0
}

func (f *follower) isClean() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.clean
}

// hold notes that a place cannot be read. The lock is held.
func (f *follower) hold(at place, err error) {
	if f.held[at].why != err.Error() {
		f.src.alarm(at, err)
	}
	f.held[at] = held{err.Error(), time.Now().Add(holdFor)}
}

// start lets the oldest places of each region that has none under way be delivered.
func (f *follower) start(ctx context.Context, p *plan, work *sync.WaitGroup) {
	if f.src.stopped.Load() {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	queues := map[string][]*task{}
	for _, t := range p.tasks { // in the order of time
		if f.busy[t.region] == nil && time.Now().After(f.held[t.place].again) {
			queues[t.region] = append(queues[t.region], t)
		}
	}
	for region, tasks := range queues {
		f.busy[region], f.clean = tasks[0], false
		work.Go(func() {
			defer f.ended(region)
			for _, t := range tasks {
				if ctx.Err() != nil || f.src.stopped.Load() {
					return
				}
				f.deliverOne(ctx, t)
			}
		})
	}
}

func (f *follower) ended(region string) {
	f.mu.Lock()
	delete(f.busy, region)
	f.mu.Unlock()
	f.nudge()
}

// nudge asks for a look.
func (f *follower) nudge() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *follower) deliverOne(ctx context.Context, t *task) {
	f.mu.Lock()
	share := int64(f.src.cfg.Buffer) / int64(max(1, len(f.busy)))
	f.mu.Unlock()
	err := f.deliver(ctx, t, share)
	f.mu.Lock()
	defer f.mu.Unlock()
	var bad *Unreadable
	switch {
	case err == nil:
		delete(f.found, t.place)
		delete(f.held, t.place)
	case ctx.Err() != nil:
	case errors.As(err, &bad):
		f.hold(t.place, err)
		if errors.Is(err, format.ErrNotFound) {
			f.gone[t.place] = slices.DeleteFunc(slices.Clone(t.objects), func(m *format.Manifest) bool { return m.Key != bad.Object })
		}
	default:
		f.src.say("deliver", "an hour of the archive cannot be delivered, trying again", "hour", t.String(), "err", err)
	}
}

// saveEveryFollowed is how often progress is kept at most: what is delivered again after a crash has no second effect.
const saveEveryFollowed = time.Second

// save keeps the progress while the archive is followed, and a last time, free for others, when stop is closed. It ends the
// following when the archive is another's, or may be by now.
func (f *follower) save(ctx context.Context, end context.CancelCauseFunc, stop <-chan struct{}) error {
	tick := time.NewTicker(saveEveryFollowed)
	defer tick.Stop()
	kept := time.Now()
	lease := f.src.cfg.Lease.D()
	for {
		select {
		case <-tick.C:
		case <-stop:
			if err := context.Cause(ctx); errors.Is(err, errTaken) {
				return err
			}
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lease/2)
			defer cancel()
			return f.keep(last, "")
		}
		f.mu.Lock()
		news := f.dirty
		f.mu.Unlock()
		if ctx.Err() != nil || !news && time.Since(kept) < lease/4 {
			continue
		}
		at := time.Now()
		err := f.keepWithin(ctx, lease/2)
		switch {
		case err == nil:
			if kept = at; news {
				f.nudge()
			}
		case errors.Is(err, errTaken):
			end(err)
		case time.Since(kept) > lease: // somebody may follow by now
			end(fmt.Errorf("%w, perhaps: %w", errTaken, err))
		default:
			f.src.say("keep", "how far the archive was followed cannot be kept, trying again", "err", err)
		}
	}
}

func (f *follower) keepWithin(ctx context.Context, d time.Duration) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d) // what is begun is ended, a shutdown or not
	defer cancel()
	return f.keep(ctx, f.book.owner)
}

// keep writes the progress. Nobody else writes meanwhile.
func (f *follower) keep(ctx context.Context, owner string) error {
	f.mu.Lock()
	p, was := f.progress.clone(), f.dirty
	f.dirty, f.saving = false, true
	f.mu.Unlock()
	p.Owner, p.Written = owner, time.Now().UTC()
	err := f.book.write(ctx, p)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dirty, f.saving = f.dirty || was && err != nil, false
	return err
}
