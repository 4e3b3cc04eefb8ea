package archive

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	format "sluice/internal/archive"
	"sluice/internal/pace"
	"sluice/internal/pipeline"
	"sluice/internal/record"
)

// Options of a Replay.
type Options struct {
	Archive   Archive
	Selection Selection
	Targets   []*Target // opened
	Batch     pipeline.Batching
	Rate      float64 // records a second; 0: as fast as it goes
	// Hide makes what hides fields of an object's records before any sink sees them; nil: nothing is hidden.
	Hide func(*format.Manifest) (func(*record.Record), error)
	// Done is called when all rows of an object are durable everywhere, in order. Its error ends the replay.
	Done func(Place, int64) error
	// Fault is told what cannot be read; its rows are left out and the rest goes on.
	Fault func(*Unreadable)
	// Moved is called from time to time with the number of records of the last step.
	Moved func(records int64)
}

// Place is an object's place in the order of a replay.
type Place struct {
	Hour   time.Time `json:"hour"`
	Region string    `json:"region"`
	Object string    `json:"object"`
}

// Before tells whether p comes before q.
func (p Place) Before(q Place) bool {
	if !p.Hour.Equal(q.Hour) {
		return p.Hour.Before(q.Hour)
	}
	if p.Region != q.Region {
		return p.Region < q.Region
	}
	return p.Object < q.Object
}

// Replay hands the chosen rows of an archive to its targets: hour by hour, object by object, each verified before its
// first row is passed on.
type Replay struct {
	o    Options
	cut  batches
	pace pace.Pacer
}

// step is what the reader passes to the writer: rows, or the end of an object.
type step struct {
	rows  []format.Row
	done  bool
	place Place
	count int64 // with done: rows of the object
}

// Run replays what lies behind after, which is the last place that an earlier run was done with.
func Run(ctx context.Context, o Options, after Place) error {
	if o.Rate > 0 {
		o.Batch.Records = max(1, min(o.Batch.Records, int(o.Rate)))
	}
	r := &Replay{o: o, cut: batches{limits: o.Batch, now: time.Now()}, pace: pace.Pacer{Rate: o.Rate}}
	steps := make(chan step, 1)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(steps)
		return r.read(ctx, after, steps)
	})
	g.Go(func() error { return r.write(ctx, steps) })
	return g.Wait()
}

func (r *Replay) write(ctx context.Context, steps <-chan step) error {
	for s := range steps {
		if s.done {
			if err := r.o.Done(s.place, s.count); err != nil {
				return err
			}
			continue
		}
		if err := r.cut.deliver(ctx, r.o.Targets, s.rows); err != nil {
			return err
		}
		r.o.Moved(int64(len(s.rows)))
	}
	return nil
}

func (r *Replay) read(ctx context.Context, after Place, out chan<- step) error {
	s := &r.o.Selection
	for h, err := range r.o.Archive.Hours(ctx, later(s.From, after.Hour), s.To) {
		if err != nil {
			return err
		}
		for _, b := range h.Broken {
			r.o.Fault(&Unreadable{Object: b.Key, Err: b.Err})
		}
		for _, m := range h.Manifests {
			place := Place{h.Time, h.Region, m.Object}
			if !m.Touches(s.From, s.To) || !after.Before(place) {
				continue
			}
			if err := r.object(ctx, m, place, out); err != nil {
				return err
			}
		}
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// object reads an object's rows. One that is not what its manifest says is left out as a whole.
func (r *Replay) object(ctx context.Context, m *format.Manifest, place Place, out chan<- step) error {
	hide := func(*record.Record) {}
	if r.o.Hide != nil {
		var err error
		if hide, err = r.o.Hide(m); err != nil {
			return err
		}
	}
	n := int64(0)
	err := r.o.Archive.WholeRows(ctx, m, func(row *format.Row) error {
		if !r.o.Selection.Takes(row.Record) {
			return nil
		}
		hide(row.Record)
		n++
		if r.cut.add(row) {
			return r.pass(ctx, out)
		}
		return nil
	})
	var bad *Unreadable
	if errors.As(err, &bad) {
		r.o.Fault(bad)
		err = nil
	}
	if err == nil {
		err = r.pass(ctx, out)
	}
	if err != nil {
		return err
	}
	return send(ctx, out, step{done: true, place: place, count: n})
}

// pass hands on what rows there are.
func (r *Replay) pass(ctx context.Context, out chan<- step) error {
	rows := r.cut.take()
	if len(rows) == 0 {
		return nil
	}
	if err := r.pace.Wait(ctx, len(rows)); err != nil {
		return err
	}
	return send(ctx, out, step{rows: rows})
}

func send(ctx context.Context, out chan<- step, s step) error {
	select {
	case out <- s:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
