package deepaudit

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"sluice/internal/archive"
	"sluice/internal/pipeline"
)

// Options of an audit.
type Options struct {
	Archive     Archive // nil: there is none, and stores are compared among each other
	ArchiveName string
	Filters     *pipeline.Filters // of the archive, as configured; nil: there are none
	Passes      func(*pipeline.Filters, *Held) bool
	// FollowedFrom is from when on archives that are followed have anything; zero: none is.
	FollowedFrom time.Time
	Expired      time.Time // a rule removes what of the archive is older; zero: none does
	From, To     time.Time // zero: no bound
	Keyed        []*Keyed
	Counting     []*Counting
	Ledger       Ledger
	Letters      []pipeline.Letter
	Rate         float64       // records a second that are read; 0: as fast as it goes
	Patience     time.Duration // how long to wait in all for an archive or a store that is behind
	Moved        func(records int64, hour time.Time)
}

// audit is one under way.
type audit struct {
	o        Options
	report   *Report
	letters  letters
	patience time.Duration
	limit    int // records that are held at a time
	pace     pacer
	moved    int64
	chain    chain
	begin    State // the ledger as it was before anything was read
	first    time.Time
	listed   map[string]bool     // keys of the hour's manifests
	followed map[string]bool     // lineages that lie in archives that are followed
	damaged  bool                // the hour has an object that cannot be read
	filters  []*pipeline.Filters // that rows of the hour went through
	partial  bool                // some row did
}

// Run audits. What is found is in the report; an error says that the audit could not be done.
func Run(ctx context.Context, o Options) (*Report, error) { return run(ctx, o, maxEntries) }

func run(ctx context.Context, o Options, limit int) (*Report, error) {
	a := &audit{o: o, limit: limit, patience: o.Patience, pace: pacer{rate: o.Rate}, letters: sortLetters(o.Letters), chain: chain{lists: map[string]*links{}}, followed: map[string]bool{},
		report: &Report{Archive: o.ArchiveName, From: o.From, To: o.To, Stores: map[string]*StoreReport{}}}
	for _, k := range o.Keyed {
		a.report.Stores[k.Name] = NewStoreReport(k.Type)
	}
	for _, c := range o.Counting {
		a.report.Stores[c.Name] = NewStoreReport(c.Type)
	}
	var err error
	if a.begin, err = o.Ledger.Read(ctx); err != nil {
		return nil, err
	}
	if err := a.prepare(ctx); err != nil {
		return nil, err
	}
	if o.Archive == nil {
		err = a.among(ctx)
	} else {
		a.report.Stores[o.ArchiveName] = NewStoreReport("archive")
		err = a.against(ctx)
	}
	if err != nil {
		return nil, err
	}
	a.report.InOrder = true
	for _, s := range a.report.Stores {
		a.report.InOrder = a.report.InOrder && s.InOrder()
	}
	return a.report, nil
}

// prepare looks at what concerns a store as a whole.
func (a *audit) prepare(ctx context.Context) error {
	for _, k := range a.o.Keyed {
		k.first, k.spare = map[string]position{}, map[string]uint64{}
		r := a.report.Stores[k.Name]
		var never uint64
		for lineage, l := range a.begin {
			if b := l.Sinks[k.Name]; b.NotOwed > 0 && !l.Uptime && !l.Only {
				if account := a.account(lineage); k.spare[account] == 0 { // those that are followed have one together
					k.spare[account] = b.NotOwed
					never += b.NotOwed
				}
			}
		}
		if never > 0 {
			r.Note(fmt.Sprintf("%d records were claimed before the sink was configured, or released: as many may be absent from its beginning", never))
		}
		if a.bounded() {
			continue // what has no time lies in none
		}
		err := k.Store.Odd(ctx, func(where, key string) {
			r.Add(odd(time.Time{}, where, key))
		})
		if err != nil {
			return fmt.Errorf("store %s: %w", k.Name, err)
		}
	}
	return a.unknownLetters()
}

// bounded tells whether only a part of the time is looked at.
func (a *audit) bounded() bool { return !a.o.From.IsZero() || !a.o.To.IsZero() }

// unknownLetters says where dead letters are not at hand: their records are absent and look lost.
func (a *audit) unknownLetters() error {
	for name, r := range a.report.Stores {
		var booked uint64
		for _, l := range a.begin {
			booked += l.Sinks[name].DeadLetters
		}
		if have := a.letters.of(name); booked > have {
			r.Note(fmt.Sprintf("the ledger has %d dead letters of this sink, %d are in this state directory: the others are another pump's, "+
				"were retried or have expired; those not retried are named as missing", booked, have))
		}
	}
	return nil
}

// hours gathers the hours of which any store has something.
func (a *audit) hours(ctx context.Context) ([]time.Time, error) {
	seen := map[time.Time]bool{}
	add := func(name string, hours []time.Time, err error) error {
		if err != nil {
			return fmt.Errorf("store %s: %w", name, err)
		}
		for _, h := range hours {
			seen[h.UTC().Truncate(time.Hour)] = true
		}
		return nil
	}
	for _, k := range a.o.Keyed {
		hs, err := k.Store.Hours(ctx, a.o.From, a.o.To)
		if err := add(k.Name, hs, err); err != nil {
			return nil, err
		}
	}
	for _, c := range a.o.Counting {
		hs, err := c.Hours(ctx, a.o.From, a.o.To)
		if err := add(c.Name, hs, err); err != nil {
			return nil, err
		}
	}
	return slices.SortedFunc(maps.Keys(seen), time.Time.Compare), nil
}

// against recounts all stores against the archive.
func (a *audit) against(ctx context.Context) error {
	stored, err := a.hours(ctx)
	if err != nil {
		return err
	}
	var parts []archive.Hour // of one hour, by region
	flush := func() error {
		if len(parts) == 0 {
			return nil
		}
		at := parts[0].Time
		for len(stored) > 0 && stored[0].Before(at) {
			if err := a.hour(ctx, stored[0], nil); err != nil {
				return err
			}
			stored = stored[1:]
		}
		if len(stored) > 0 && stored[0].Equal(at) {
			stored = stored[1:]
		}
		return a.hour(ctx, at, parts)
	}
	for h, err := range a.o.Archive.Hours(ctx, a.o.From, a.o.To) {
		if err != nil {
			return err
		}
		if a.first.IsZero() {
			a.first = h.Time
		}
		if len(parts) > 0 && !parts[0].Time.Equal(h.Time) {
			if err := flush(); err != nil {
				return err
			}
			parts = nil
		}
		parts = append(parts, h)
	}
	if err := flush(); err != nil {
		return err
	}
	for _, h := range stored {
		if err := a.hour(ctx, h, nil); err != nil {
			return err
		}
	}
	a.judgeChain()
	return nil
}

// hour recounts one hour.
func (a *audit) hour(ctx context.Context, at time.Time, parts []archive.Hour) error {
	a.report.Hours++
	a.damaged, a.listed, a.filters = false, map[string]bool{}, nil
	if a.o.Filters != nil {
		a.filters = append(a.filters, a.o.Filters)
	}
	r := a.report.Stores[a.o.ArchiveName]
	var objects []*archive.Manifest
	for _, p := range parts {
		for _, b := range p.Broken {
			a.damaged = true
			r.Add(Finding{Kind: Damaged, Hour: at, Where: b.Key, Reason: b.Err.Error()})
		}
		for _, m := range p.Manifests {
			a.listed[m.Key] = true
			for _, r := range m.Positions {
				a.followed[r.Lineage] = a.followed[r.Lineage] || m.Origin > 0
			}
			if m.Filters != nil && !slices.ContainsFunc(a.filters, func(f *pipeline.Filters) bool { return reflect.DeepEqual(f, m.Filters) }) {
				a.filters = append(a.filters, m.Filters)
			}
		}
		if n := len(p.Orphans); n > 0 {
			r.Add(Finding{Kind: Untold, Hour: at, Where: p.Orphans[0].Key, Records: int64(n),
				Reason: "objects without a manifest: in work, or left by a crash; they do not count"})
		}
		objects = append(objects, p.Manifests...)
	}
	a.links(at, objects)
	a.partial = a.partial || len(a.filters) > 0
	from, to := clip(at, a.o.From, a.o.To)
	if err := a.slice(ctx, at, objects, from, to); err != nil {
		return err
	}
	for _, c := range a.o.Counting {
		if err := c.Compare(ctx, from, to, a.damaged, a.report.Stores[c.Name]); err != nil {
			return fmt.Errorf("store %s: %w", c.Name, err)
		}
	}
	return nil
}

// clip is the part of an hour that is asked for.
func clip(at, from, to time.Time) (time.Time, time.Time) {
	begin, end := at, at.Add(time.Hour)
	if begin.Before(from) {
		begin = from
	}
	if !to.IsZero() && end.After(to) {
		end = to
	}
	return begin, end
}

// read counts records that were read, shows it and keeps to the rate.
func (a *audit) read(ctx context.Context, n int64, hour time.Time) error {
	a.moved += n
	if a.moved%1024 < n && a.o.Moved != nil {
		a.o.Moved(a.moved, hour)
	}
	return a.pace.wait(ctx, n)
}

// pacer holds a rate over the whole of an audit.
type pacer struct {
	rate  float64 // a second; 0: none
	began time.Time
	sent  float64
}

func (p *pacer) wait(ctx context.Context, n int64) error {
	if p.rate <= 0 {
		return nil
	}
	if p.began.IsZero() {
		p.began = time.Now()
	}
	due := time.Until(p.began.Add(time.Duration(p.sent / p.rate * float64(time.Second))))
	p.sent += float64(n)
	if due < time.Millisecond {
		return nil
	}
	return pause(ctx, due)
}
