package archive

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	format "sluice/internal/archive"
)

// Archive is where an archive lies.
type Archive struct {
	Store  format.Store // nil: there are only others
	Prefix string
	More   []Part // others, whose hours and rows are read with its own
}

// Part is what is read of another archive.
type Part struct {
	Archive
	Regions []string  // empty: all
	Since   time.Time // hours before are left out
}

// takes tells whether a region's hour is read.
func (p *Part) takes(region string, t time.Time) bool {
	return !t.Before(p.Since) && (len(p.Regions) == 0 || slices.Contains(p.Regions, region))
}

// part is the archive with that origin.
func (a Archive) part(origin int) Part {
	if origin == 0 {
		return Part{Archive: Archive{Store: a.Store, Prefix: a.Prefix}}
	}
	return a.More[origin-1]
}

// partDay is a day of one of the parts.
type partDay struct {
	format.Day
	origin int
}

// days are those of all parts, in order.
func (a Archive) days(ctx context.Context, from, to time.Time) (out []partDay, err error) {
	for origin := range len(a.More) + 1 {
		p := a.part(origin)
		if p.Store == nil {
			continue
		}
		days, err := format.Days(ctx, p.Store, p.Prefix, from, to)
		if err != nil {
			return nil, err
		}
		for _, d := range days {
			out = append(out, partDay{d, origin})
		}
	}
	slices.SortStableFunc(out, func(a, b partDay) int { return a.Time.Compare(b.Time) })
	return out, nil
}

// Hours are the hours of which the archive has something and that touch [from, to), in the order of time, then of
// region. Zero times are no bounds. It ends after its first error.
func (a Archive) Hours(ctx context.Context, from, to time.Time) iter.Seq2[format.Hour, error] {
	return func(yield func(format.Hour, error) bool) {
		days, err := a.days(ctx, from, to)
		if err != nil {
			yield(format.Hour{}, err)
			return
		}
		for len(days) > 0 {
			n, day := 1, days[0].Time
			for n < len(days) && days[n].Time.Equal(day) {
				n++
			}
			for t := day; t.Before(day.Add(24 * time.Hour)); t = t.Add(time.Hour) {
				if !from.IsZero() && !t.Add(time.Hour).After(from) || !to.IsZero() && !t.Before(to) {
					continue
				}
				for _, d := range days[:n] {
					if !a.hour(ctx, &d, t, yield) {
						return
					}
				}
			}
			days = days[n:]
		}
	}
}

// hour yields an hour of every region that has something on its day, and tells whether to go on.
func (a Archive) hour(ctx context.Context, d *partDay, t time.Time, yield func(format.Hour, error) bool) bool {
	p := a.part(d.origin)
	for _, region := range d.Regions {
		if !p.takes(region, t) {
			continue
		}
		h, err := format.ReadHour(ctx, p.Store, p.Prefix, region, t)
		if err != nil {
			yield(h, err)
			return false
		}
		for _, m := range slices.Concat(h.Manifests, h.Replaced) {
			m.Origin = d.origin
		}
		if len(h.Objects)+len(h.Manifests)+len(h.Broken) > 0 && !yield(h, nil) {
			return false
		}
	}
	return true
}

// Unreadable says that rows of an object could not be had: it is damaged, or gone, or its store failed.
type Unreadable struct {
	Object string
	Err    error
}

func (u *Unreadable) Error() string { return fmt.Sprintf("%s: %v", u.Object, u.Err) }
func (u *Unreadable) Unwrap() error { return u.Err }

// Rows reads the rows of an object as they come; a row may come before damage further on is found, which is then an
// *Unreadable. An error of do ends it.
func (a Archive) Rows(ctx context.Context, m *format.Manifest, do func(*format.Row) error) error {
	a = a.part(m.Origin).Archive
	r, err := format.Open(ctx, a.Store, m)
	if errors.Is(err, format.ErrNotFound) {
		if by := a.Successor(ctx, m); by != nil {
			return a.moved(ctx, m, by, do)
		}
	}
	if err != nil {
		return unreadable(ctx, m, err)
	}
	defer func() { _ = r.Close() }() // it was only read from
	for row, err := range r.All() {
		if err != nil {
			return unreadable(ctx, m, err)
		}
		if err := do(&row); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

func unreadable(ctx context.Context, m *format.Manifest, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return &Unreadable{Object: m.Key, Err: err}
}

// Successor is the object that stands for one that was deleted since it was listed, nil if there is none.
func (a Archive) Successor(ctx context.Context, m *format.Manifest) *format.Manifest {
	h, err := format.ReadHour(ctx, a.Store, a.Prefix, m.Region, m.First)
	if err != nil {
		return nil // that the object is not there is what is told
	}
	for _, by := range h.Manifests {
		if slices.Contains(by.Replaces, m.Name()) {
			return by
		}
	}
	return nil
}

// moved reads an object's rows from the one that stands for it.
func (a Archive) moved(ctx context.Context, m, by *format.Manifest, do func(*format.Row) error) error {
	by.Origin = 0
	return a.WholeRows(ctx, by, func(r *format.Row) error {
		if !within(m, r) {
			return nil
		}
		return do(r)
	})
}

// within tells whether a row is of what an object was gathered from.
func within(m *format.Manifest, r *format.Row) bool {
	for _, p := range m.Positions {
		from, to := positions(p)
		if p.Lineage == r.Stream.Lineage && from.Compare(r.Position) <= 0 && r.Position.Compare(to) < 0 {
			return true
		}
	}
	return false
}

// wholeBytes is up to which size, in bytes of rows, an object is read into memory before its first row is passed on.
// Larger ones are read twice.
const wholeBytes = 16 << 20

// WholeRows is Rows for who must not act on a damaged object: the first row comes when all of them are known to be good.
func (a Archive) WholeRows(ctx context.Context, m *format.Manifest, do func(*format.Row) error) error {
	if m.Bytes > wholeBytes {
		err := format.Verify(ctx, a.part(m.Origin).Store, m)
		if err != nil && !errors.Is(err, format.ErrNotFound) {
			return unreadable(ctx, m, err)
		}
		return a.Rows(ctx, m, do)
	}
	var rows []format.Row
	if err := a.Rows(ctx, m, func(r *format.Row) error { rows = append(rows, *r); return nil }); err != nil {
		return err
	}
	for i := range rows {
		if err := do(&rows[i]); err != nil {
			return err
		}
	}
	return nil
}

// Count is the number of chosen records: from the manifests where they tell, else by reading. What cannot be read is
// passed to fault and counts nothing.
func (a Archive) Count(ctx context.Context, s *Selection, fault func(*Unreadable)) (records, objects int64, err error) {
	for h, err := range a.Hours(ctx, s.From, s.To) {
		if err != nil {
			return records, objects, err
		}
		for _, b := range h.Broken {
			fault(&Unreadable{Object: b.Key, Err: b.Err})
		}
		for _, m := range h.Manifests {
			if !m.Touches(s.From, s.To) {
				continue
			}
			n, err := a.count(ctx, s, m)
			var bad *Unreadable
			switch {
			case errors.As(err, &bad):
				fault(bad)
				continue
			case err != nil:
				return records, objects, err
			case n > 0:
				objects++
			}
			records += n
		}
	}
	return records, objects, nil
}

// sampleRows is how many rows are read to tell how fast that goes.
const sampleRows = 20_000

// ReadingTime is about how long it takes to read so many records of a selection, in seconds, by the first of its objects that can
// be read; 0 if none can.
func (a Archive) ReadingTime(ctx context.Context, s *Selection, records int64) (float64, error) {
	enough := errors.New("enough was read")
	for h, err := range a.Hours(ctx, s.From, s.To) {
		if err != nil {
			return 0, err
		}
		for _, m := range h.Manifests {
			if !m.Touches(s.From, s.To) {
				continue
			}
			n, began := int64(0), time.Now()
			err := a.Rows(ctx, m, func(*format.Row) error {
				if n++; n == sampleRows {
					return enough
				}
				return nil
			})
			var bad *Unreadable
			switch {
			case err == nil || errors.Is(err, enough):
				return time.Since(began).Seconds() / float64(max(n, 1)) * float64(records), nil
			case !errors.As(err, &bad):
				return 0, err
			}
		}
	}
	return 0, nil
}

func (a Archive) count(ctx context.Context, s *Selection, m *format.Manifest) (n int64, err error) {
	if s.All(m) {
		return m.Records, nil
	}
	err = a.Rows(ctx, m, func(r *format.Row) error {
		if s.Takes(r.Record) {
			n++
		}
		return nil
	})
	return n, err
}

// Expected is the number of records of the objects that a selection touches, from their manifests: never less than what
// is chosen.
func (a Archive) Expected(ctx context.Context, s *Selection) (n int64, err error) {
	for h, err := range a.Hours(ctx, s.From, s.To) {
		if err != nil {
			return n, err
		}
		for _, m := range h.Manifests {
			if m.Touches(s.From, s.To) {
				n += m.Records
			}
		}
	}
	return n, nil
}
