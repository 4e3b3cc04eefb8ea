package archive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"sluice/internal/pipeline"
)

// Options of a Gatherer.
type Options struct {
	Sink     string // the sink's name, for errors and the log
	Dir      string // for temporary files; the Gatherer's own, emptied when it opens
	MaxBytes int64  // of uncompressed rows, at which a range is closed
	MaxAge   time.Duration
	Layout   Layout
	Level    int // of the compression; 0: its default. It may change at any time: it shapes bytes, not rows
	Log      *slog.Logger
}

// Gatherer gathers the rows of each stream into ranges and puts a closed range into a Store: first the range is
// recorded as members, then for each hour the object is uploaded, then its manifest; then it is settled. It is the common part of the
// sinks that write an archive and implements pipeline.Gatherer but for opening the store and for Takes. Like that, it is
// for one goroutine at a time.
type Gatherer struct {
	o       Options
	store   Store
	enc     Encoder
	scratch []byte
	pack    *packer
	files   *handles
	ranges  map[pipeline.StreamID]*gathered
}

// maxScratch is the size at which encoded rows move on from the scratch space into their range.
const maxScratch = 4 << 20

// NewGatherer makes a Gatherer. It does no I/O.
func NewGatherer(o Options) *Gatherer {
	o.Layout.Version = FormatVersion
	return &Gatherer{o: o, pack: &packer{level: o.Level}, files: &handles{ownFiles}, ranges: make(map[pipeline.StreamID]*gathered)}
}

// OpenStore sets the store and empties the directory for temporary files. It may be repeated until something is
// gathered.
func (g *Gatherer) OpenStore(s Store) error {
	if err := os.MkdirAll(g.o.Dir, 0o700); err != nil {
		return fmt.Errorf("prepare the directory for gathered rows: %w", err)
	}
	for _, pattern := range []string{"rows-*", "object-*"} {
		left, err := filepath.Glob(filepath.Join(g.o.Dir, pattern))
		if err != nil {
			return fmt.Errorf("prepare the directory for gathered rows: %w", err)
		}
		for _, name := range left {
			if err := os.Remove(name); err != nil {
				return fmt.Errorf("remove what a crash left: %w", err)
			}
		}
	}
	g.store = s
	return nil
}

// Shape is the Layout as JSON.
func (g *Gatherer) Shape() json.RawMessage {
	b, err := json.Marshal(g.o.Layout)
	if err != nil {
		return nil // a struct of strings and flags always encodes
	}
	return b
}

// Add takes a batch's rows over.
func (g *Gatherer) Add(_ context.Context, b *pipeline.Batch) (pipeline.Result, error) {
	r, err := g.rangeFor(b)
	if err != nil {
		return pipeline.Result{}, pipeline.Apart(err)
	}
	if r.closed {
		return pipeline.Result{}, pipeline.ErrFull
	}
	if err := r.misplaced(b); err != nil {
		return pipeline.Result{}, pipeline.Apart(err)
	}
	if !r.fits(b) {
		r.closed = true
		return pipeline.Result{}, pipeline.ErrFull
	}
	r.rows.limit = rowLimit(len(g.ranges))
	if err := r.rows.relieve(); err != nil {
		return pipeline.Result{}, err
	}
	res := g.gather(r, b)
	if err := r.rows.relieve(); err != nil {
		g.o.Log.Warn("gathered rows stay in memory for now", "sink", g.o.Sink, "list", b.Stream.List, "err", err)
	}
	r.extend(b, g.o.MaxBytes)
	g.ranges[b.Stream] = r
	return res, nil
}

// rangeFor is the range that the batch belongs to; a new one is not remembered before rows are in it.
func (g *Gatherer) rangeFor(b *pipeline.Batch) (*gathered, error) {
	if b.Kind != pipeline.Analytics {
		return nil, fmt.Errorf("gather %s of %s: the archive takes no uptime records", b.Stream.List, b.Stream.Source)
	}
	if r := g.ranges[b.Stream]; r != nil {
		return r, nil
	}
	layout := g.o.Layout
	if len(b.Shape.JSON) > 0 {
		layout = Layout{}
		if err := json.Unmarshal(b.Shape.JSON, &layout); err != nil {
			return nil, fmt.Errorf("read the recorded shape of sink %s: %w", g.o.Sink, err)
		}
	}
	return begin(b, layout, g.o.Dir, g.pack, g.files)
}

// gather encodes the batch's rows and puts them into the range, in runs of one hour.
func (g *Gatherer) gather(r *gathered, b *pipeline.Batch) (res pipeline.Result) {
	g.enc.Neutral = r.members.Neutral
	g.scratch = g.scratch[:0]
	var current run
	for i := range b.Items {
		it := &b.Items[i]
		if s := it.Record.TimeStamp.Unix(); s < firstTime || s >= slowTimes {
			res.Dead = append(res.Dead, pipeline.Dead{Item: i, Reason: "time is outside the years 1 to 9999"})
			continue
		}
		if h := hourOf(it.Record.TimeStamp); h != current.hour || len(g.scratch) >= maxScratch {
			g.close(r, &current)
			current = run{hour: h}
		}
		row := Row{ID: it.ID, Record: it.Record, Stream: b.Stream, Position: pipeline.Position{Claim: b.Claim, Index: it.Index}}
		g.scratch = g.enc.AppendRow(g.scratch, &row)
		current.count(it.Record)
	}
	g.close(r, &current)
	if cap(g.scratch) > 2*maxScratch {
		g.scratch = nil
	}
	return res
}

// close puts the run whose rows are in the scratch space into the range.
func (g *Gatherer) close(r *gathered, current *run) {
	if current.n == 0 {
		return
	}
	current.rows = g.scratch
	r.rows.add(*current)
	g.scratch = g.scratch[:0]
}

// Due is when the first range wants to go to the store.
func (g *Gatherer) Due() (first time.Time) {
	for _, r := range g.ranges {
		if t := r.due(g.o.MaxAge); !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// Flush puts the ranges that are due, or all of them, into the store, the oldest first. A range that must come again as
// it was recorded waits until all of it is there. An error of the store ends the flush, one that concerns a single
// stream does not.
func (g *Gatherer) Flush(ctx context.Context, all bool) (pipeline.Progress, error) {
	var p pipeline.Progress
	var errs []error
	up := uploader{store: g.store}
	for _, r := range g.dueRanges(all) {
		r.closed = true
		err := up.put(ctx, r)
		if err == nil {
			p.Settled = append(p.Settled, pipeline.Mark{Stream: r.stream, Pos: r.to})
			g.Forget(r.stream)
			continue
		}
		errs = append(errs, fmt.Errorf("archive %s of %s: %w", r.stream.List, r.stream.Source, err))
		if !onlyStream(err) {
			return p, errors.Join(errs...)
		}
	}
	if len(errs) > 0 {
		return p, pipeline.Apart(errors.Join(errs...))
	}
	return p, nil
}

func (g *Gatherer) dueRanges(all bool) []*gathered {
	now := time.Now()
	var list []*gathered
	for _, r := range g.ranges {
		if t := r.due(g.o.MaxAge); !t.IsZero() && (all || !t.After(now)) {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b *gathered) int { return a.opened.Compare(b.opened) })
	return list
}

// Forget drops what is gathered of a stream.
func (g *Gatherer) Forget(id pipeline.StreamID) {
	if r := g.ranges[id]; r != nil {
		r.rows.drop()
		delete(g.ranges, id)
	}
	if len(g.ranges) == 0 { // while nothing comes, no encoder holds memory
		*g.pack = packer{level: g.o.Level}
	}
}

// Close drops everything gathered.
func (g *Gatherer) Close(context.Context) error {
	for id := range g.ranges {
		g.Forget(id)
	}
	return nil
}
