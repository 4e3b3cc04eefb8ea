package archive

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Day is a day of which an archive has something.
type Day struct {
	Time    time.Time // its beginning, in UTC
	Regions []string  // as they are labelled, sorted
}

// Days names the days of an archive that touch [from, to), in order, whatever the region. A zero from or to is no bound.
// It reads no manifest and lists no object.
func Days(ctx context.Context, s Store, prefix string, from, to time.Time) ([]Day, error) {
	at := map[time.Time]*Day{}
	for region, err := range s.Dirs(ctx, prefix+"region=") {
		if err != nil {
			return nil, fmt.Errorf("list the archive: %w", err)
		}
		for day, err := range s.Dirs(ctx, prefix+"region="+region+"/dt=") {
			if err != nil {
				return nil, fmt.Errorf("list the archive: %w", err)
			}
			t, bad := time.Parse(time.DateOnly, day)
			if bad != nil || !touches(t, 24*time.Hour, from, to) {
				continue
			}
			if at[t] == nil {
				at[t] = &Day{Time: t}
			}
			at[t].Regions = append(at[t].Regions, unescapeLabel(region))
		}
	}
	out := make([]Day, 0, len(at))
	for _, d := range at {
		slices.Sort(d.Regions)
		out = append(out, *d)
	}
	slices.SortFunc(out, func(a, b Day) int { return a.Time.Compare(b.Time) })
	return out, nil
}

// ReadHour reads what lies in the directory of one region and hour; one that is not there is empty.
func ReadHour(ctx context.Context, s Store, prefix, region string, t time.Time) (Hour, error) {
	h := Hour{Region: region, Time: t.UTC()}
	for info, err := range s.List(ctx, Partition(prefix, region, t)) {
		if err != nil {
			return h, fmt.Errorf("list the archive: %w", err)
		}
		h.add(info)
	}
	if err := h.read(ctx, s); err != nil {
		return h, fmt.Errorf("list the archive: %w", err)
	}
	return h, nil
}

// Touches tells whether an object may hold records with from <= time < to. A zero from or to is no bound.
func (m *Manifest) Touches(from, to time.Time) bool {
	return (to.IsZero() || m.First.Before(to)) && (from.IsZero() || !m.Last.Before(from))
}

// Within tells whether all records of an object have from <= time < to. A zero from or to is no bound.
func (m *Manifest) Within(from, to time.Time) bool {
	return (to.IsZero() || m.Last.Before(to)) && (from.IsZero() || !m.First.Before(from))
}
