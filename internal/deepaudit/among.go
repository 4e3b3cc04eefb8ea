package deepaudit

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// among compares stores that keep records with the first of them, where there is no archive: by record ID alone.
func (a *audit) among(ctx context.Context) error {
	note := func(s string) { a.report.Notes = append(a.report.Notes, s) }
	note("no sink writes an archive: what all stores lack together cannot be told")
	for _, c := range a.o.Counting {
		a.report.Stores[c.Name].Note("its counters cannot be recounted without an archive")
	}
	if len(a.o.Keyed) < 2 {
		note("fewer than two stores keep records under their IDs: there is nothing to compare")
		return nil
	}
	a.o.Counting = nil
	hours, err := a.hours(ctx)
	if err != nil {
		return err
	}
	for _, h := range hours {
		a.report.Hours++
		from, to := clip(h, a.o.From, a.o.To)
		for _, other := range a.o.Keyed[1:] {
			if err := a.pair(ctx, a.o.Keyed[0], other, h, from, to); err != nil {
				return err
			}
		}
	}
	return nil
}

// pair compares what two stores have of a part of an hour.
func (a *audit) pair(ctx context.Context, x, y *Keyed, hour, from, to time.Time) error {
	left := a.newLoading(from, to)
	err := x.Store.Held(ctx, from, to, true, func(h Held) error {
		if err := a.read(ctx, 1, hour); err != nil {
			return err
		}
		if h.Key != "" {
			a.report.Stores[x.Name].Add(odd(hour, h.Where, h.Key))
			return nil
		}
		e := entry{id: h.ID, org: h.Org}
		if y.Accepts(&h) {
			e.takes = 1
		}
		return left.add(e)
	})
	if errors.Is(err, errTooMany) {
		m, _ := half(from, to)
		if err := a.pair(ctx, x, y, hour, from, m); err != nil {
			return err
		}
		return a.pair(ctx, x, y, hour, m, to)
	}
	if err != nil {
		return fmt.Errorf("store %s: %w", x.Name, err)
	}
	left.sort()
	found := make([]uint8, len(left.entries))
	var right []*entry
	a.report.Stores[x.Name].Compared += int64(len(left.entries))
	err = y.Store.Held(ctx, from, to, true, func(h Held) error {
		if err := a.read(ctx, 1, hour); err != nil {
			return err
		}
		a.report.Stores[y.Name].Compared++
		if h.Key != "" {
			a.report.Stores[y.Name].Add(odd(hour, h.Where, h.Key))
			return nil
		}
		if i, ok := left.find(h.ID); ok {
			found[i] = 1
		} else if x.Accepts(&h) && len(right) < maxExtras {
			right = append(right, &entry{id: h.ID, org: h.Org})
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store %s: %w", y.Name, err)
	}
	var lacks []*entry
	left.groups(func(i int, same []entry) {
		if found[i] == 0 && same[0].takes > 0 {
			lacks = append(lacks, &same[0])
		}
	})
	if err := a.lacking(ctx, y, x, lacks, hour); err != nil {
		return err
	}
	return a.lacking(ctx, x, y, right, hour)
}

// lacking names what a store lacks and another has, once the store has got all that was taken.
func (a *audit) lacking(ctx context.Context, in, other *Keyed, gone []*entry, hour time.Time) error {
	if len(gone) == 0 {
		return nil
	}
	r := a.report.Stores[in.Name]
	caught, err := a.await(ctx, in.Name)
	if err != nil {
		return err
	}
	if gone, err = a.reallyGone(ctx, in, gone); err != nil {
		return fmt.Errorf("store %s: %w", in.Name, err)
	}
	floor, err := in.Store.Floor(ctx)
	if err != nil {
		return fmt.Errorf("store %s: %w", in.Name, err)
	}
	for _, e := range gone {
		f := Finding{Kind: Missing, Hour: hour, Record: e.id.String(), Reason: "store " + other.Name + " has the record, this one has not"}
		switch {
		case !floor.IsZero() && !time.Unix(seconds(e.id), 0).After(floor):
			r.Note("the capped collection has turned over: records before " + floor.UTC().Format(time.RFC3339) + " are not looked for")
			continue
		case a.letters.ids[e.id.String()+" "+in.Name]:
			continue
		case !caught:
			f.Kind = InFlight
		}
		r.Add(f)
	}
	return nil
}
