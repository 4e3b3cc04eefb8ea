package archive

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	format "sluice/internal/archive"
	"sluice/internal/pipeline"
)

// delivery hands the rows of a task to the pipeline, portion by portion: those of a lineage one after another, those of
// several side by side.
type delivery struct {
	f     *follower
	t     *task
	share int64 // bytes that may be in hand

	at    map[string]pipeline.Position // by lineage, of the row that came last
	open  map[string]*portion          // by lineage, not handed over yet
	last  map[string]chan struct{}     // closed when the lineage's last portion is over
	work  sync.WaitGroup
	bytes int64
}

// deliver delivers all rows of a task and notes that they are. What was noted before an error stays.
func (f *follower) deliver(ctx context.Context, t *task, share int64) error {
	d := &delivery{f: f, t: t, share: share, at: map[string]pipeline.Position{}, open: map[string]*portion{}, last: map[string]chan struct{}{}}
	f.mu.Lock()
	for lineage := range t.from { // the plan may be older than the last delivery
		t.from[lineage] = f.progress.at(lineage, t.hour)
	}
	f.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err := d.read(ctx)
	if bad := (*Unreadable)(nil); err == nil || errors.As(err, &bad) { // what came before the damage is as good as any
		err = errors.Join(err, d.flush(ctx))
	}
	cancel() // portions of an unfinished task end
	d.work.Wait()
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for lineage, to := range t.to {
		f.progress.pass(lineage, t.hour, to)
	}
	f.dirty = true
	return nil
}

func (d *delivery) read(ctx context.Context) error {
	for row, err := range d.f.rows(ctx, d.t) {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := d.add(ctx, &row); err != nil {
			return err
		}
	}
	return nil
}

func (d *delivery) add(ctx context.Context, row *taskRow) error {
	lineage := row.Stream.Lineage
	if at, began := d.at[lineage]; began {
		switch c := row.Position.Compare(at); {
		case c == 0: // two objects have it: a Redis that went back let its claim be archived again, cut elsewhere
			return nil
		case c < 0:
			return &Unreadable{Object: row.manifest.Key, Err: fmt.Errorf("the row at %s is out of order", row.Position)}
		}
	}
	d.at[lineage] = row.Position
	p := d.open[lineage]
	owed, err := d.f.owed(row.manifest)
	if err != nil {
		return err
	}
	if len(owed.Sinks) == 0 { // nobody is to have it
		return nil
	}
	if p != nil && (p.owed.Key != owed.Key || p.bytes >= d.share/4) {
		d.handOver(ctx, lineage)
		p = nil
	}
	if p == nil {
		id := pipeline.StreamID{Source: d.f.src.name, List: label(d.t.region, row.Stream.List), Lineage: lineage}
		p = newPortion(id, owed, d.t.latest)
		d.open[lineage] = p
	}
	before := p.bytes
	p.add(&row.Row)
	if d.bytes += p.bytes - before; d.bytes < d.share {
		return nil
	}
	return d.flush(ctx)
}

// flush hands everything over and waits until it is settled.
func (d *delivery) flush(ctx context.Context) error {
	for lineage := range d.open {
		d.handOver(ctx, lineage)
	}
	d.work.Wait()
	d.bytes = 0
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// handOver gives a lineage's portion to the pipeline, behind the one before.
func (d *delivery) handOver(ctx context.Context, lineage string) {
	p, before, over := d.open[lineage], d.last[lineage], make(chan struct{})
	delete(d.open, lineage)
	d.last[lineage] = over
	d.work.Go(func() {
		defer close(over)
		if before != nil {
			<-before
		}
		if ctx.Err() == nil {
			d.f.settle(ctx, d.t, p)
		}
	})
}

// settle returns when a portion is settled, or ctx is done.
func (f *follower) settle(ctx context.Context, t *task, p *portion) {
	f.drain.Gained(p)
	select {
	case <-p.done:
	case <-ctx.Done():
	}
	if !p.close() {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.progress.pass(p.id.Lineage, t.hour, p.behind)
	f.progress.region(t.region).book(p.rows, p.counts)
	f.dirty = true
	f.src.count(t.region, p.rows)
}

// owed is what rows of an object are to be owed to. Sinks that keep sums get nothing of what was imported: its requests were
// counted where it came from, which may be where those sums lie, and it does not say which of them were GraphQL.
func (f *follower) owed(m *format.Manifest) (pipeline.Owed, error) {
	takes := func(sink string) bool {
		return slices.Contains(f.src.deps.Sinks, sink) && !(m.Imported != "" && slices.Contains(f.src.deps.Sums, sink))
	}
	key := fmt.Sprint(m.Masks, m.Imported != "")
	f.mu.Lock()
	defer f.mu.Unlock()
	if o, ok := f.owes[key]; ok {
		return o, nil
	}
	o, err := f.drain.Owes(pipeline.Analytics).Narrowed(takes, m.Masks)
	if err == nil {
		f.owes[key] = o
	}
	return o, err
}
