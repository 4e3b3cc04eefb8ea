// Package pipeline moves records from sources to sinks: batches and their identity, a lane for each sink on each stream,
// retries, breakers, dead letters, and the order of a shutdown. It knows no concrete source or sink.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"sluice/internal/record"
)

// Options is what a pipeline is made of.
type Options struct {
	Sinks    []SinkSpec
	Record   RecordShape // of every claim made from now on; its Filters are not used
	Memory   int64       // bytes that may buffer
	Resident func(int64) // told how many bytes lie outside the garbage collector's heap, as that changes; may be nil
	Batch    Batching
	Deadline time.Duration // of an orderly shutdown
	Letters  LetterBox
	Spools   []Spool // that can be reached; the first takes what is spooled from now on
	Once     bool    // flush gatherers as soon as there is nothing left to read
	Log      *slog.Logger
}

// Pipeline drains streams into sinks. Run drives it; sources hand their streams to it as a Drain.
type Pipeline struct {
	opt     Options
	runners []*runner
	shapes  *shapes
	store   *store
	owes    [2]Owed // by Kind
	log     *slog.Logger

	soft, hard       context.Context // begun; cut off
	endSoft, endHard context.CancelFunc

	poison stats // dead letters that concern every sink

	mu      sync.Mutex
	streams map[string]*drainage // by lineage
	work    sync.WaitGroup       // drainages
	ending  bool
}

// New prepares a pipeline; nothing runs yet.
func New(opt Options) (*Pipeline, error) {
	p := &Pipeline{
		opt: opt, shapes: &shapes{}, store: newStore(opt.Memory), log: opt.Log, streams: make(map[string]*drainage),
	}
	p.store.blocks.resident = opt.Resident
	share := opt.Memory / int64(len(opt.Sinks)+1) // one share is left for what is read ahead
	for _, s := range opt.Sinks {
		r, err := newRunner(s, share, opt.Batch, opt.Once, opt.Log)
		if err != nil {
			return nil, err
		}
		r.poison = &p.poison
		p.runners = append(p.runners, r)
	}
	for _, kind := range []Kind{Analytics, Uptime} {
		owed, err := p.owed(kind)
		if err != nil {
			return nil, err
		}
		p.owes[kind] = owed
	}
	p.soft, p.endSoft = context.WithCancel(context.Background())
	p.hard, p.endHard = context.WithCancel(context.Background())
	return p, nil
}

// local is a sink whose store lies on this machine.
type local interface{ Local() bool }

func (p *Pipeline) owed(kind Kind) (Owed, error) {
	var o Owed
	cs := ClaimShape{Record: p.opt.Record, Sinks: make(map[string]SinkShape)}
	for _, s := range p.opt.Sinks {
		if !s.Sink.Takes(kind) {
			continue
		}
		shape := SinkShape{Type: s.Type, Shape: s.Sink.Shape()}
		if !s.Filters.Empty() {
			shape.Filters = s.Filters
		}
		cs.Sinks[s.Name] = shape
		o.Sinks = append(o.Sinks, s.Name)
		if l, ok := s.Sink.(local); ok && l.Local() {
			o.Local, o.LocalSinks = true, append(o.LocalSinks, s.Name)
		}
	}
	slices.Sort(o.Sinks)
	var err error
	o.Key, o.JSON, err = cs.Encode()
	return o, err
}

// Run opens the sinks and works until ctx is done, then shuts down in order: nothing new is begun, what is in flight
// settles under the deadline, what gathers is flushed, and the sinks are closed. The sources must have stopped claiming
// by then, and end only after Run has returned. It returns nil after an orderly shutdown, also when records remain, and
// an error when a sink needs an operator to start.
func (p *Pipeline) Run(ctx context.Context) error {
	stop := make(chan struct{})
	var gatherers sync.WaitGroup
	for _, r := range p.runners {
		if r.gather != nil {
			gatherers.Go(func() { r.gather.work(p.hard, stop) })
		}
	}
	err := p.openSinks(ctx)
	if err == nil {
		<-ctx.Done()
	}
	deadline := time.AfterFunc(p.opt.Deadline, p.endHard)
	defer deadline.Stop()
	p.endSoft()
	p.lanesEnd()
	close(stop)
	gatherers.Wait()
	p.settled()
	p.endHard()
	p.mu.Lock()
	p.ending = true
	p.mu.Unlock()
	p.work.Wait()
	return errors.Join(err, p.closeSinks())
}

// openSinks returns when every sink is open, or ctx is done, or one cannot be opened without an operator.
func (p *Pipeline) openSinks(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, r := range p.runners {
		g.Go(func() error { return r.open(ctx) })
	}
	return g.Wait()
}

// lanesEnd waits until no lane has a batch in flight.
func (p *Pipeline) lanesEnd() {
	for _, d := range p.drainages() {
		select {
		case <-d.quiet:
		case <-p.hard.Done():
		}
	}
}

// settled waits until what is durable is booked.
func (p *Pipeline) settled() {
	for _, d := range p.drainages() {
		for _, l := range d.lanes {
			_ = l.settler.drained(d.hard) // what is left is booked by whoever comes next
		}
	}
}

func (p *Pipeline) drainages() []*drainage {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]*drainage, 0, len(p.streams))
	for _, d := range p.streams {
		out = append(out, d)
	}
	return out
}

// closeTime is what a sink is given to close; nothing is in flight any more.
const closeTime = 5 * time.Second

func (p *Pipeline) closeSinks() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	var errs []error
	for _, r := range p.runners {
		if err := r.sink.Close(ctx); err != nil {
			errs = append(errs, fmt.Errorf("close sink %s: %w", r.name, err))
		}
	}
	return errors.Join(errs...)
}

// Gained implements Drain. A stream that comes back is worked on only when its former life has ended.
func (p *Pipeline) Gained(st Stream) {
	id := st.ID().Lineage
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ending || p.soft.Err() != nil {
		return
	}
	before := p.streams[id]
	d := p.drainage(st)
	p.streams[id] = d
	p.work.Go(func() {
		if before != nil {
			<-before.ended
		}
		d.work(p.soft)
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.streams[id] == d {
			delete(p.streams, id)
		}
	})
}

func (p *Pipeline) drainage(st Stream) *drainage {
	d := &drainage{
		stream: st, cache: p.store.cache(st, record.Span, p.shapes), quiet: make(chan struct{}), ended: make(chan struct{}),
	}
	d.hard, d.cancel = context.WithCancel(p.hard)
	for _, r := range p.runners {
		if r.sink.Takes(st.Kind()) {
			d.lanes = append(d.lanes, newLane(r, d, p.opt))
		}
	}
	return d
}

// Owes implements Drain.
func (p *Pipeline) Owes(k Kind) Owed { return p.owes[k] }

// Willing implements Drain.
func (p *Pipeline) Willing() bool {
	if p.soft.Err() != nil {
		return false
	}
	for _, r := range p.runners {
		if r.willing() {
			return true
		}
	}
	return p.spoolsNow()
}

// spoolsNow tells whether some sink's spool would take what is claimed now: only that can be spooled.
func (p *Pipeline) spoolsNow() bool {
	if len(p.opt.Spools) == 0 || !slices.ContainsFunc(p.runners, func(r *runner) bool { return r.spools && r.down() }) {
		return false
	}
	for _, d := range p.drainages() {
		if s, ok := d.stream.(Spoolable); ok && s.Short(time.Time{}) != "" {
			return true
		}
	}
	return false
}

// Lacking names streams with open claims that owe sinks this process does not have, once everything else of them is
// settled: their leases are better given back.
func (p *Pipeline) Lacking() map[Stream][]string {
	out := make(map[Stream][]string)
	for _, d := range p.drainages() {
		if missing, settled := d.lacks(); settled && len(missing) > 0 {
			out[d.stream] = missing
		}
	}
	return out
}
