package archive

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	format "sluice/internal/archive"
	"sluice/internal/pipeline"
)

const meterWindow = 30 * time.Second

func (m *meter) smoothed(now time.Time) float64 {
	return m.perSecond * math.Exp(-now.Sub(m.at).Seconds()/meterWindow.Seconds())
}

// Status is the source as it is now, each region as a list: waiting is how many records lie in objects that are not followed
// to their end, the oldest age how long the first of them has been there.
func (s *Source) Status() pipeline.SourceStatus {
	now := time.Now()
	s.mu.Lock()
	f, other := s.follower, s.other
	out := pipeline.SourceStatus{Name: s.name, Type: "archive", Connected: s.began && s.err == nil, Lists: []pipeline.ListStatus{}}
	if s.err != nil {
		out.Error = s.err.Error()
	}
	lists := map[string]*pipeline.ListStatus{}
	list := func(region string) *pipeline.ListStatus {
		l := lists[region]
		if l == nil {
			l = &pipeline.ListStatus{Name: region, Owner: "us"}
			lists[region] = l
		}
		return l
	}
	for region, n := range s.taken {
		out.Taken += n
		list(region)
	}
	for _, m := range s.rate {
		out.Rate += m.smoothed(now)
	}
	s.mu.Unlock()
	if f != nil {
		f.status(list, now)
	}
	if f == nil && other != "" {
		list("all regions").Owner = "other"
	}
	for _, region := range slices.Sorted(maps.Keys(lists)) {
		out.Lists = append(out.Lists, *lists[region])
	}
	return out
}

func (f *follower) status(list func(string) *pipeline.ListStatus, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for region, b := range f.progress.Regions {
		list(region).Taken = b.Taken
	}
	for _, t := range f.found {
		l := list(t.region)
		l.Waiting += t.records
		l.OldestAge = max(l.OldestAge, now.Sub(t.modified).Seconds())
	}
	for region := range f.busy {
		list(region).OpenClaims = 1
	}
	for at, h := range f.held {
		list(at.region).Held = at.String() + ": " + h.why
	}
}

// Lag is how far a region is behind.
type Lag struct {
	Region  string
	Records uint64        // in objects that were not followed to their end, of the last two days
	Age     time.Duration // of the first of them
	Hour    time.Time     // of the oldest of its records, or before
}

// Lags looks at the archive, without a lease, for what a follower has still to deliver, and tells by when whoever follows last
// gave a sign; zero when nobody does.
func (s *Source) Lags(ctx context.Context) (lags []Lag, last time.Time, err error) {
	stores, err := s.open(ctx)
	if err != nil {
		return nil, last, err
	}
	defer stores.close()
	_, p, err := (&notebook{store: stores.cursor, dir: stores.dir}).read(ctx)
	if err != nil {
		return nil, last, err
	}
	if p.Owner != "" {
		last = p.Written
	}
	p.from(s.since)
	f := &follower{src: s, store: format.NewIndexed(stores.archive, s.cfg.Prefix, false), progress: p, seen: map[place]uint64{}, high: map[string]pipeline.Position{}}
	found, err := f.look(ctx, false)
	if err != nil {
		return nil, last, err
	}
	for at, err := range found.broken {
		return nil, last, fmt.Errorf("%s: %w", at, err)
	}
	return lagsOf(found.tasks), last, nil
}

func lagsOf(tasks []*task) (lags []Lag) {
	by := map[string]*Lag{}
	for _, t := range tasks {
		l := by[t.region]
		if l == nil {
			l = &Lag{Region: t.region}
			by[t.region] = l
		}
		l.Records += t.records
		l.Age = max(l.Age, time.Since(t.modified))
		if l.Hour.IsZero() || t.hour.Before(l.Hour) {
			l.Hour = t.hour
		}
	}
	for _, region := range slices.Sorted(maps.Keys(by)) {
		lags = append(lags, *by[region])
	}
	return lags
}

// Behind is Lags as a process that follows knows it; false when this one does not.
func (s *Source) Behind() ([]Lag, bool) {
	s.mu.Lock()
	f := s.follower
	s.mu.Unlock()
	if f == nil {
		return nil, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return lagsOf(slices.Collect(maps.Values(f.found))), true
}
