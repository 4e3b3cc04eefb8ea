package sinktest

import (
	"context"
	"errors"
	"fmt"

	"sluice/internal/pipeline"
)

// Driver delivers lists to one handle of a sink as the pipeline does: batches in order, whole batches again after an
// error, from the cursor again after a rewind. Its cursors outlive the handle, as those in the registry do. It is not
// safe for concurrent use.
type Driver struct {
	Sink pipeline.Sink
	Cut  func(remaining int) int // how many items the next batch takes; nil: 500
	// Results collects what the sink said of settled and gathered batches.
	Results pipeline.Result
	cursors map[string]pipeline.Position // by lineage: what is settled
	next    map[string]pipeline.Position // where the next batch begins
	rewinds map[string]int               // how often the sink asked for a list again
	lists   map[string]*List
	notes   map[string]string // by lineage, as of the cursor
}

// maxTries bounds repeats, so that a sink that never succeeds fails the test.
const maxTries = 20

// NewDriver makes a driver for an open handle.
func NewDriver(s pipeline.Sink) *Driver {
	return &Driver{Sink: s, cursors: map[string]pipeline.Position{}, next: map[string]pipeline.Position{},
		rewinds: map[string]int{}, lists: map[string]*List{}, notes: map[string]string{}}
}

// Reopened goes on with another handle at the cursors, as after a crash or a takeover.
func (d *Driver) Reopened(s pipeline.Sink) *Driver {
	n := NewDriver(s)
	n.Cut = d.Cut
	for k, v := range d.cursors {
		n.cursors[k], n.next[k] = v, v
	}
	for k, v := range d.lists {
		n.lists[k] = v
	}
	for k, v := range d.notes {
		n.notes[k] = v
	}
	return n
}

// Rewinds is how often the sink asked for a list again.
func (d *Driver) Rewinds(l *List) int { return d.rewinds[l.Stream.Lineage] }

// Cursor is what is settled of a list.
func (d *Driver) Cursor(l *List) pipeline.Position { return d.cursors[l.Stream.Lineage] }

// Back moves the cursor back to the list's beginning, as if nothing had ever been settled, and tells a gatherer so.
func (d *Driver) Back(l *List) {
	lin := l.Stream.Lineage
	d.cursors[lin], d.next[lin], d.notes[lin] = pipeline.Position{}, pipeline.Position{}, ""
	if g, ok := d.Sink.(pipeline.Gatherer); ok {
		g.Forget(l.Stream)
	}
}

// Step delivers the next batch of a list; false when the list is through. It does not flush.
func (d *Driver) Step(ctx context.Context, l *List) (bool, error) {
	b, ok := d.nextBatch(l)
	if !ok {
		return false, nil
	}
	before := d.rewinds[l.Stream.Lineage]
	if err := d.deliver(ctx, b); err != nil {
		return true, err
	}
	if d.rewinds[l.Stream.Lineage] == before {
		d.next[l.Stream.Lineage] = b.End()
	}
	return true, nil
}

// Deliver brings the lists through, in turns, until all is settled.
func (d *Driver) Deliver(ctx context.Context, lists ...*List) error {
	var last error
	for range maxTries {
		if last = d.pass(ctx, lists); last == nil && d.settled(lists) {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return fmt.Errorf("not settled after %d tries: %w", maxTries, errors.Join(last, errors.New("the sink makes no progress")))
}

func (d *Driver) pass(ctx context.Context, lists []*List) error {
	for more := true; more; {
		more = false
		for _, l := range lists {
			if !d.Sink.Takes(l.Kind) {
				continue
			}
			m, err := d.Step(ctx, l)
			if err != nil {
				return err
			}
			more = more || m
		}
	}
	return d.Flush(ctx, true)
}

// Flush flushes a gatherer and takes in what it says; nothing for a writer.
func (d *Driver) Flush(ctx context.Context, all bool) error {
	g, ok := d.Sink.(pipeline.Gatherer)
	if !ok {
		return nil
	}
	p, err := g.Flush(ctx, all)
	for _, m := range p.Settled {
		d.settle(m.Stream.Lineage, m.Pos)
	}
	for _, s := range p.Rewind {
		d.next[s.Lineage] = d.cursors[s.Lineage]
		d.rewinds[s.Lineage]++
	}
	return err
}

func (d *Driver) settle(lineage string, pos pipeline.Position) {
	if pos.Compare(d.cursors[lineage]) <= 0 {
		return
	}
	d.cursors[lineage] = pos
	if l := d.lists[lineage]; l != nil {
		l.Members.passed(pos)
	}
}

func (d *Driver) settled(lists []*List) bool {
	for _, l := range lists {
		if n := len(l.Claims); n > 0 && d.Sink.Takes(l.Kind) {
			c := l.Claims[n-1]
			if d.Cursor(l).Compare(pipeline.Position{Claim: c.ID, Index: uint32(len(c.Items))}) < 0 {
				return false
			}
		}
	}
	return true
}

// deliver makes one Write or Add succeed, as the pipeline would.
func (d *Driver) deliver(ctx context.Context, b *pipeline.Batch) error {
	if w, ok := d.Sink.(pipeline.Writer); ok {
		return d.write(ctx, w, b)
	}
	g, ok := d.Sink.(pipeline.Gatherer)
	if !ok {
		return fmt.Errorf("%T is neither a Writer nor a Gatherer", d.Sink)
	}
	before := d.rewinds[b.Stream.Lineage]
	var err error
	for range maxTries {
		if d.rewinds[b.Stream.Lineage] != before {
			return nil // the list comes again, and this batch with it
		}
		var r pipeline.Result
		if r, err = g.Add(ctx, b); err == nil {
			d.keep(r)
			return nil
		}
		if !errors.Is(err, pipeline.ErrFull) {
			return err
		}
		if err := d.Flush(ctx, true); err != nil {
			return err
		}
	}
	return fmt.Errorf("still full after %d flushes: %w", maxTries, err)
}

func (d *Driver) write(ctx context.Context, w pipeline.Writer, b *pipeline.Batch) error {
	part := *b
	part.Note = d.notes[b.Stream.Lineage]
	for range maxTries {
		r, err := w.Write(ctx, &part)
		var pe *pipeline.PartialError
		switch {
		case err == nil:
			d.keep(r)
			d.settle(b.Stream.Lineage, b.End())
			if r.Note != "" {
				d.notes[b.Stream.Lineage] = r.Note
			}
			return nil
		case !errors.As(err, &pe):
			return err
		}
		d.keep(r)
		items := make([]pipeline.Item, len(pe.Retry))
		for i, at := range pe.Retry {
			items[i] = part.Items[at]
		}
		part.Items = items
	}
	return errors.New("items are never settled")
}

func (d *Driver) keep(r pipeline.Result) {
	d.Results.Filtered += r.Filtered
	d.Results.Duplicates += r.Duplicates
	d.Results.Dead = append(d.Results.Dead, r.Dead...)
}

// nextBatch cuts the next batch: of one claim, never across the end of recorded members.
func (d *Driver) nextBatch(l *List) (*pipeline.Batch, bool) {
	d.lists[l.Stream.Lineage] = l
	at := d.next[l.Stream.Lineage]
	for i := range l.Claims {
		c := &l.Claims[i]
		from := uint32(0)
		switch cmp := c.ID.Compare(at.Claim); {
		case cmp < 0:
			continue
		case cmp == 0:
			from = at.Index
		}
		if int(from) >= len(c.Items) {
			continue
		}
		n := 500
		if d.Cut != nil {
			n = max(d.Cut(len(c.Items)-int(from)), 1)
		}
		to := min(from+uint32(n), uint32(len(c.Items)))
		if m, ok := l.Members.Recorded(); ok && m.To.Claim == c.ID && m.To.Index > from {
			to = min(to, m.To.Index)
		}
		return Batch(d.Sink, l, c, from, to), true
	}
	return nil, false
}

// Batch cuts the items [from, to) of a claim out as a batch for the sink.
func Batch(s pipeline.Sink, l *List, c *Claim, from, to uint32) *pipeline.Batch {
	shape := s.Shape()
	return &pipeline.Batch{
		Stream: l.Stream, Kind: l.Kind, Claim: c.ID, ClaimTime: c.Time, From: from, To: to,
		Items: c.Items[from:to:to], Members: l.Members,
		Shape: pipeline.Shape{Key: string(shape) + "key", JSON: shape, Record: pipeline.RecordShape{Region: "test"}},
	}
}

// TakeOver makes pos the cursor of a list, as when another process has settled up to there, and begins anew from it.
func (d *Driver) TakeOver(l *List, pos pipeline.Position) {
	lin := l.Stream.Lineage
	d.cursors[lin], d.next[lin] = pos, pos
	if g, ok := d.Sink.(pipeline.Gatherer); ok {
		g.Forget(l.Stream)
	}
}
