package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// SinkSpec is a sink as it is configured.
type SinkSpec struct {
	Name    string
	Type    string
	Sink    Sink
	Filters *Filters
	Timeout time.Duration // of one call
	Retry   Backoff
	Sheds   bool // shed: where neither the source nor a spool has room, the oldest records are given up
	Spools  bool // on_full: what Redis has no room for goes to the spool while the sink is down
}

// runner drives one sink for all its lanes: opens it, paces it by its breaker, and for a gatherer makes all its calls
// from one goroutine.
type runner struct {
	name    string
	kind    string // the sink's type
	sink    Sink
	writer  Writer // or
	gather  *gathering
	filters *Filters
	timeout time.Duration
	backoff Backoff
	breaker *breaker
	share   *semaphore.Weighted // of the memory: what this sink's batches may hold
	most    int64               // bytes of one batch
	log     *slog.Logger
	stats   stats
	poison  *stats       // of the dead letters that concern every sink: whichever lane comes first stores them
	root    *slog.Logger // that names no sink

	spools bool // its batches may be spooled
	sheds  bool // and given up where there is no room for them

	opened    chan struct{} // closed when Open succeeded
	openFails atomic.Int32  // attempts in a row
	trouble   spoolTrouble
}

// errNeither is a mistake in a sink.
var errNeither = errors.New("a sink must be a Writer or a Gatherer")

func newRunner(s SinkSpec, share int64, limits Batching, once bool, log *slog.Logger) (*runner, error) {
	r := &runner{
		name: s.Name, kind: s.Type, sink: s.Sink, filters: s.Filters, timeout: s.Timeout, backoff: s.Retry,
		spools: s.Spools, sheds: s.Sheds, breaker: newBreaker(s.Retry), share: semaphore.NewWeighted(share), most: min(limits.Bytes, share/2),
		log: log.With("sink", s.Name), root: log, opened: make(chan struct{}),
	}
	switch t := s.Sink.(type) {
	case Writer:
		r.writer = t
	case Gatherer:
		r.gather = newGathering(r, t, once)
	default:
		return nil, fmt.Errorf("sink %s: %w", s.Name, errNeither)
	}
	return r, nil
}

// portion is what a batch of up to n records may hold, in bytes.
func (r *runner) portion(n uint32) int64 {
	return max(1, min(r.most, int64(n)*typicalRecord+minRead))
}

// open calls the sink's Open until it succeeds. Only a fatal error ends it sooner.
func (r *runner) open(ctx context.Context) error {
	for n := 0; ; n++ {
		err := r.openOnce(ctx)
		if err == nil {
			r.log.Info("sink is open", "type", r.kind)
			close(r.opened)
			r.breaker.done(true, 0)
			return nil
		}
		if class, _ := Classify(err); class == FatalError {
			return fmt.Errorf("sink %s: %w", r.name, err)
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // a shutdown is no failure of the sink
		}
		r.openFails.Add(1)
		r.failed(err)
		if n == 0 {
			r.log.Warn("sink cannot be opened; its records wait", "err", err)
		}
		if err := sleep(ctx, r.backoff.Delay(min(n, 1<<10))); err != nil {
			return nil //nolint:nilerr // a shutdown is no failure of the sink
		}
	}
}

func (r *runner) openOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	return r.sink.Open(ctx)
}

func (r *runner) isOpen() bool {
	select {
	case <-r.opened:
		return true
	default:
		return false
	}
}

// wait returns when a call may be made: the sink is open, and its breaker lets it pass.
func (r *runner) wait(ctx context.Context) error {
	select {
	case <-r.opened:
		return r.breaker.wait(ctx)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// willing tells whether the sink takes data at the moment.
func (r *runner) willing() bool { return r.isOpen() && !r.breaker.open() }

// down tells whether the sink failed for long enough to be taken for sick.
func (r *runner) down() bool {
	if r.isOpen() {
		return r.breaker.open()
	}
	return r.openFails.Load() >= openAfter
}

// tryTurn is wait without waiting.
func (r *runner) tryTurn() bool { return r.isOpen() && r.breaker.try() }

// took notes that a batch was taken. A gatherer's answer says nothing about the store: its flushes do.
func (r *runner) took() {
	if r.gather != nil {
		r.breaker.cancelled()
		return
	}
	r.breaker.done(true, 0)
}

// call hands a batch to the sink. done is called when the sink has taken it, before anything can settle it.
func (r *runner) call(ctx context.Context, l *lane, b *Batch, gen int, done func(Result) error) error {
	if r.gather != nil {
		return r.gather.add(ctx, addition{lane: l, batch: b, gen: gen, done: done})
	}
	ctx, cancel := context.WithTimeoutCause(ctx, r.timeout, errTimeout)
	defer cancel()
	res, err := r.writer.Write(ctx, b)
	return afterCall(res, err, done)
}

var errTimeout = errors.New("the sink did not answer within its timeout")

func afterCall(res Result, err error, done func(Result) error) error {
	var p *PartialError
	if errors.As(err, &p) {
		p.result = res
	}
	if err != nil {
		return err
	}
	return done(res)
}

// keep gives a range to the settler: at once for a writer, to wait for its mark for a gatherer.
func (r *runner) keep(l *lane, s Settled) {
	if r.gather != nil {
		l.settler.wait(s)
		return
	}
	l.settler.done(s)
}

// caughtUp tells a gatherer that a lane has nothing left to read.
func (r *runner) caughtUp() {
	if r.gather != nil {
		r.gather.nudge()
	}
}

func (r *runner) failed(err error) { r.stats.failed(err) }
func (r *runner) settled(c Counts) { r.stats.settled(c) }
func (r *runner) mailed(ls []Letter) {
	if len(ls) > 0 && ls[0].Sink == EverySink {
		r.poison.mailed(ls, r.root)
		return
	}
	r.stats.mailed(ls, r.root)
}

// stats is what a sink's status shows.
type stats struct {
	mu      sync.Mutex
	counts  Counts
	errors  uint64
	last    string
	lastAt  time.Time
	letters map[LetterCount]uint64 // by sink and cause
	rate    rate
}

func (s *stats) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errors++
	s.last, s.lastAt = err.Error(), time.Now()
}

func (s *stats) settled(c Counts) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts = s.counts.Plus(c)
	s.rate.add(c.Total()-c.Spooled, time.Now())
}

// unspooled books what became of records from the spool, which this process need not have put there.
func (s *stats) unspooled(c Counts) {
	s.mu.Lock()
	s.counts.Spooled -= min(s.counts.Spooled, c.Total())
	s.mu.Unlock()
	s.settled(c)
}

// mailed counts letters. The first one of a sink and a cause is said; the others are for the metrics.
func (s *stats) mailed(ls []Letter, log *slog.Logger) {
	var first []*Letter
	s.mu.Lock()
	if s.letters == nil {
		s.letters = map[LetterCount]uint64{}
	}
	for i := range ls {
		k := LetterCount{Sink: ls[i].Sink, Cause: ls[i].Cause()}
		if s.letters[k]++; s.letters[k] == 1 {
			first = append(first, &ls[i])
		}
	}
	s.mu.Unlock()
	for _, l := range first {
		log.Warn("first dead letter of this run; see sluice deadletters", "concerns", concerns(l.Sink), "cause", l.Cause(), "id", l.ID,
			"reason", l.Reason, "list", l.List)
	}
}

func (s *stats) letterCounts() (out []LetterCount) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, n := range s.letters {
		k.N = n
		out = append(out, k)
	}
	return out
}

// concerns names the sinks that a dead letter is about.
func concerns(sink string) string {
	if sink == EverySink {
		return "every sink"
	}
	return sink
}
