package pipeline

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"time"
)

// gathering makes all calls of a gatherer from one goroutine, work. Lanes hand their batches over through add and wait for
// the answer, so that a batch is valid while the sink looks at it.
type gathering struct {
	run  *runner
	sink Gatherer
	once bool
	adds chan addition
	gone chan departure
	idle chan struct{}

	finished chan struct{}
	due      atomic.Bool // the sink wants a flush, now or later

	// only work touches these
	lanes map[StreamID]*lane
	hurry bool      // flush everything, due or not: a run that ends by itself has nothing left to read
	stuck int       // flushes in a row of which a part failed
	until time.Time // no flush before, for that part's sake
}

type addition struct {
	lane  *lane
	batch *Batch
	gen   int
	done  func(Result) error
	reply chan error
}

type departure struct {
	stream StreamID
	done   chan struct{}
}

func newGathering(r *runner, g Gatherer, once bool) *gathering {
	gathered := &gathering{
		run: r, sink: g, once: once, adds: make(chan addition), gone: make(chan departure),
		idle: make(chan struct{}, 1), finished: make(chan struct{}), lanes: make(map[StreamID]*lane),
	}
	gathered.due.Store(true) // until it was asked
	return gathered
}

// add returns when the sink has looked at the batch. It does not return before, whatever the context says: the batch
// must stay valid as long as the sink sees it.
func (g *gathering) add(ctx context.Context, a addition) error {
	a.reply = make(chan error, 1)
	select {
	case g.adds <- a:
		return <-a.reply
	case <-g.finished:
		return context.Canceled
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// nudge says that a lane has caught up.
func (g *gathering) nudge() {
	select {
	case g.idle <- struct{}{}:
	default:
	}
}

// forget drops what is gathered of a stream that is lost. It returns when that has happened.
func (g *gathering) forget(id StreamID) {
	d := departure{stream: id, done: make(chan struct{})}
	select {
	case g.gone <- d:
		<-d.done
	case <-g.finished:
	}
}

// work runs until stop is closed, flushes everything, under ctx, and ends.
func (g *gathering) work(ctx context.Context, stop <-chan struct{}) {
	defer close(g.finished)
	if !g.whenOpen(stop) {
		return
	}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case a := <-g.adds:
			a.reply <- g.take(ctx, a)
		case d := <-g.gone:
			g.sink.Forget(d.stream)
			delete(g.lanes, d.stream)
			close(d.done)
			g.nudge() // perhaps the others waited for it alone
		case <-g.idle:
			g.hurry = g.hurry || g.once && g.caughtUp() || g.briefDone()
		case <-g.arm(timer):
			_ = g.flush(ctx, g.hurried()) // noted in the status, paced by the breaker, and due again
		case <-stop:
			g.last(ctx)
			return
		}
	}
}

// whenOpen waits until the sink is open: before, it has gathered nothing, and none of its methods is called beside Open.
// It answers false when it never was.
func (g *gathering) whenOpen(stop <-chan struct{}) bool {
	for {
		select {
		case <-g.run.opened:
			return true
		case d := <-g.gone:
			close(d.done)
		case <-stop:
			return g.run.isOpen()
		}
	}
}

// arm sets the timer to when the next flush may come: when the sink wants it, but not before the breaker allows it.
func (g *gathering) arm(timer *time.Timer) <-chan time.Time {
	at := g.sink.Due()
	g.due.Store(!at.IsZero())
	if at.IsZero() {
		return nil
	}
	wait := time.Until(at)
	if g.hurried() {
		wait = 0
	}
	timer.Reset(max(wait, g.run.breaker.pauseLeft(), time.Until(g.until), 0))
	return timer.C
}

// hurried tells whether what is due only later is to be flushed now. A run that ends by itself may have no lane at all,
// and yet what a dead process left to be done.
func (g *gathering) hurried() bool { return g.hurry || g.once && len(g.lanes) == 0 }

func (g *gathering) take(ctx context.Context, a addition) error {
	if !a.lane.current(a.gen) {
		return errRewound
	}
	id := a.batch.Stream
	g.lanes[id] = a.lane
	// What is due first: flushing everything would close the objects of other streams early.
	var part error
	for _, all := range []bool{false, true} {
		res, err := g.sink.Add(ctx, a.batch)
		if !errors.Is(err, ErrFull) {
			return afterCall(res, err, a.done)
		}
		switch err := g.flush(ctx, all); {
		case isApart(err): // perhaps of another stream
			part = err
		case err != nil:
			return err
		}
		if !a.lane.current(a.gen) { // the flush found that the stream must come again
			return errRewound
		}
	}
	res, err := g.sink.Add(ctx, a.batch)
	if errors.Is(err, ErrFull) && part != nil {
		err = part
	}
	return afterCall(res, err, a.done)
}

// flushTimeouts is how many times a sink's timeout one flush may take: it stands for many calls, and for the upload of
// large objects.
const flushTimeouts = 4

// flush makes durable what is due and passes the marks on. Its failures pace the sink like any other call's.
func (g *gathering) flush(ctx context.Context, all bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, flushTimeouts*g.run.timeout, errTimeout)
	defer cancel()
	p, err := g.sink.Flush(ctx, all)
	for _, m := range p.Settled {
		if l := g.lanes[m.Stream]; l != nil {
			l.settler.upTo(m.Pos)
		}
	}
	for _, id := range p.Rewind {
		if l := g.lanes[id]; l != nil {
			l.rewind()
		}
	}
	_, after := Classify(err)
	if err != nil {
		g.run.failed(err)
	}
	g.run.breaker.done(err == nil || isApart(err), after)
	g.pace(isApart(err), after)
	g.hurry = g.hurry && err != nil
	return err
}

// pace holds flushes back while a part of what is gathered fails.
func (g *gathering) pace(failed bool, after time.Duration) {
	if !failed {
		g.stuck, g.until = 0, time.Time{}
		return
	}
	g.until = time.Now().Add(max(g.run.backoff.Delay(g.stuck), after))
	g.stuck = min(g.stuck+1, math.MaxInt16)
}

func (g *gathering) caughtUp() bool {
	for _, l := range g.lanes {
		if !l.idle.Load() {
			return false
		}
	}
	return true
}

// briefDone tells whether a stream that only waits for its records to be settled has given all of them.
func (g *gathering) briefDone() bool {
	for _, l := range g.lanes {
		if b, ok := l.stream.(Brief); ok && b.Brief() && l.idle.Load() && l.settler.holds() {
			return true
		}
	}
	return false
}

// last flushes everything at the shutdown, again and again until it is done or the deadline ends it.
func (g *gathering) last(ctx context.Context) {
	for n := 0; ctx.Err() == nil && !g.sink.Due().IsZero(); n++ {
		if g.flush(ctx, true) != nil && sleep(ctx, g.run.backoff.Delay(n)) != nil {
			return
		}
	}
}
