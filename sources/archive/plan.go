package archive

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"path"
	"slices"
	"strings"
	"time"

	format "sluice/internal/archive"
	"sluice/internal/pipeline"
)

// place is a region's hour.
type place struct {
	region string
	hour   time.Time
}

func (p place) String() string { return p.region + " " + p.hour.Format("2006-01-02T15") }

// task is what is to be delivered of a place: of each lineage the rows from its cursor up to a bound, which all lie in the
// objects. Nothing below the bound will come any more.
type task struct {
	place
	objects  []*format.Manifest
	gone     []*format.Manifest           // that were there when the bounds were taken, and are not any more
	from, to map[string]pipeline.Position // by lineage
	modified time.Time                    // of the first of the objects to be stored
	latest   time.Time                    // and of the last
	records  uint64                       // at most
}

// plan is what a look at the archive found.
type plan struct {
	tasks  []*task
	broken map[place]error
	from   time.Time                    // hours before were not looked at
	full   bool                         // none was left out for that
	whole  bool                         // nothing was left out
	low    map[string]pipeline.Position // by lineage: below which nothing is left to be delivered of what was found
}

// covers tells whether a place was looked at.
func (p *plan) covers(at place) bool { return p.whole && (p.full || !at.hour.Before(p.from)) }

// Bounds of a look.
const (
	window      = 48 * time.Hour // how far back from now hours are looked at often
	plannedMost = 4096           // objects of one plan; the rest comes with the next
)

// look finds what is to be delivered. With full set all days are looked at, else those of the window.
func (f *follower) look(ctx context.Context, full bool) (*plan, error) {
	p := &plan{broken: map[place]error{}, full: full, whole: true, low: map[string]pipeline.Position{}}
	from := f.src.since
	if w := time.Now().Add(-window).UTC().Truncate(time.Hour); !full && w.After(from) {
		from = w
	}
	p.from = from
	days, err := format.Days(ctx, f.store, f.src.cfg.Prefix, from, time.Time{})
	if err != nil {
		return nil, err
	}
	planned := 0
	for _, d := range days {
		for _, region := range d.Regions {
			if len(f.src.cfg.Regions) > 0 && !slices.Contains(f.src.cfg.Regions, region) {
				continue
			}
			prints, err := f.prints(ctx, region, d.Time)
			if err != nil {
				return nil, err
			}
			for t := d.Time; t.Before(d.Time.Add(24 * time.Hour)); t = t.Add(time.Hour) {
				at := place{region, t}
				now, there := prints[t]
				if !there || now == f.seen[at] || t.Before(from) {
					continue
				}
				if planned >= plannedMost {
					p.whole = false
					return p, nil
				}
				if err := f.lookAt(ctx, at, p); err != nil {
					return nil, err
				}
				if n := len(p.tasks); n > 0 && p.tasks[n-1].place == at {
					planned += len(p.tasks[n-1].objects)
				}
			}
		}
	}
	return p, nil
}

// prints are marks of what manifests a day's hours have: an hour that was followed and has the same mark is not read again.
func (f *follower) prints(ctx context.Context, region string, day time.Time) (map[time.Time]uint64, error) {
	dir := strings.TrimSuffix(format.Partition(f.src.cfg.Prefix, region, day), "hour=00/")
	names := map[time.Time][]string{}
	for info, err := range f.store.List(ctx, dir) {
		if err != nil {
			return nil, fmt.Errorf("list the archive: %w", err)
		}
		hour, name, ok := strings.Cut(strings.TrimPrefix(info.Key, dir), "/")
		t, bad := time.Parse("hour=15", hour)
		if ok && bad == nil && format.IsManifest(name) {
			at := day.Add(time.Duration(t.Hour()) * time.Hour)
			names[at] = append(names[at], name)
		}
	}
	out := map[time.Time]uint64{}
	for t, n := range names {
		out[t] = printOf(n)
	}
	return out, nil
}

func printOf(names []string) uint64 {
	h := fnv.New64a()
	for _, n := range names {
		_, _ = h.Write([]byte(n)) // never fails
		_, _ = h.Write([]byte{0})
	}
	return h.Sum64()
}

// lookAt plans one place. What a first look finds is delivered, in the order that a second one shows: ranges of a lineage are
// archived one after another, so that what is archived before something that the first look found is there for the second. A
// single look is not enough, since a listing is not one moment.
func (f *follower) lookAt(ctx context.Context, at place, p *plan) error {
	first, err := format.ReadHour(ctx, f.store, f.src.cfg.Prefix, at.region, at.hour)
	if err != nil {
		return err
	}
	t := &task{place: at, from: map[string]pipeline.Position{}, to: map[string]pipeline.Position{}}
	f.mu.Lock()
	for _, m := range slices.Concat(first.Manifests, first.Replaced) {
		for _, r := range m.Positions {
			from, to := positions(r)
			raise(f.high, r.Lineage, from)
			if f.progress.at(r.Lineage, at.hour).Compare(to) < 0 {
				raise(t.to, r.Lineage, to)
				t.from[r.Lineage] = f.progress.at(r.Lineage, at.hour)
			}
		}
	}
	f.mu.Unlock()
	if len(first.Broken) > 0 {
		p.broken[at], p.whole = first.Broken[0].Err, false
		return nil
	}
	if len(t.to) == 0 {
		names := make([]string, len(first.Listed))
		for i := range first.Listed {
			names[i] = path.Base(first.Listed[i].Key)
		}
		f.seen[at] = printOf(names)
		return nil
	}
	second, err := format.ReadHour(ctx, f.store, f.src.cfg.Prefix, at.region, at.hour)
	if err != nil {
		return err
	}
	if len(second.Broken) > 0 {
		p.broken[at], p.whole = second.Broken[0].Err, false
		return nil
	}
	t.take(&second)
	for _, m := range first.Manifests {
		if slices.ContainsFunc(m.Positions, t.wants) && !slices.ContainsFunc(slices.Concat(second.Manifests, second.Replaced), func(o *format.Manifest) bool { return holds(o, m) }) {
			t.gone = append(t.gone, m)
		}
	}
	for lineage, from := range t.from {
		if low, ok := p.low[lineage]; !ok || from.Compare(low) < 0 {
			p.low[lineage] = from
		}
	}
	p.tasks = append(p.tasks, t)
	return nil
}

// take names the objects that have rows of the task.
func (t *task) take(h *format.Hour) {
	stored := map[string]time.Time{}
	for _, i := range h.Listed {
		stored[i.Key] = i.Modified
	}
	for _, m := range h.Manifests {
		if !slices.ContainsFunc(m.Positions, t.wants) {
			continue
		}
		t.objects = append(t.objects, m)
		t.records += uint64(m.Records)
		at := stored[m.ManifestKey()]
		if t.modified.IsZero() || at.Before(t.modified) {
			t.modified = at
		}
		if at.After(t.latest) {
			t.latest = at
		}
	}
	if len(t.objects) == 0 { // all of them were deleted meanwhile
		t.modified, t.latest = time.Now(), time.Now()
	}
	slices.SortFunc(t.objects, func(a, b *format.Manifest) int {
		return cmp.Or(cmp.Compare(a.Positions[0].Lineage, b.Positions[0].Lineage), cmp.Compare(a.Positions[0].From, b.Positions[0].From),
			cmp.Compare(a.Object, b.Object))
	})
}

// wants tells whether a range has positions that are to be delivered.
func (t *task) wants(r format.Range) bool {
	from, to := positions(r)
	bound, ok := t.to[r.Lineage]
	return ok && from.Compare(bound) < 0 && t.from[r.Lineage].Compare(to) < 0
}

// takes tells whether a row is to be delivered.
func (t *task) takes(r *format.Row) bool {
	bound, ok := t.to[r.Stream.Lineage]
	return ok && r.Position.Compare(bound) < 0 && t.from[r.Stream.Lineage].Compare(r.Position) <= 0
}

// ordered tells whether reading object after object brings every lineage's rows in order.
func (t *task) ordered() bool {
	ends := map[string]string{}
	for _, m := range t.objects {
		for _, r := range m.Positions {
			if r.From < ends[r.Lineage] {
				return false
			}
		}
		for _, r := range m.Positions {
			ends[r.Lineage] = max(ends[r.Lineage], r.To)
		}
	}
	return true
}
