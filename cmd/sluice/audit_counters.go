package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	format "sluice/internal/archive"
	"sluice/internal/config"
	"sluice/internal/deepaudit"
	"sluice/internal/pipeline"
	"sluice/sinks/mongoagg"
	"sluice/sinks/sqlite"
	archivesource "sluice/sources/archive"
)

// spare is how many records a sink was never owed: a store that counts fewer by as many may be right.
type spare struct {
	left   map[string]int64 // by what counts them: a document stands in two collections
	ledger deepaudit.Ledger
	sink   string
}

// take tells whether a lack is explained, and uses it up.
func (s *spare) take(ctx context.Context, where string, lack int64) (bool, error) {
	if s.left == nil {
		s.left = map[string]int64{}
	}
	if _, ok := s.left[where]; !ok {
		state, err := s.ledger.Read(ctx)
		if err != nil {
			return false, err
		}
		counted := map[string]bool{} // sources that are followed: their lists have one account together
		for _, l := range state {
			if l.Uptime || l.Only || l.Followed != nil && counted[l.Source] {
				continue
			}
			counted[l.Source] = counted[l.Source] || l.Followed != nil
			s.left[where] += int64(l.Sinks[s.sink].NotOwed)
		}
	}
	if lack <= 0 || lack > s.left[where] {
		return false, nil
	}
	s.left[where] -= lack
	return true, nil
}

const neverOwed = "; the sink was never owed as many: they were claimed before it was configured, or released"

// aggregates takes in a sink of aggregate documents.
func (d *deepStores) aggregates(ctx context.Context, name string, c *config.Sink, settings mongoagg.Config, filter archivesource.Filter, opt *deepaudit.Options) error {
	sink, err := mongoagg.New(name, settings, d.log)
	if err != nil {
		return err
	}
	if err := sink.OpenToRead(ctx); err != nil {
		return err
	}
	d.closers = append(d.closers, func() {
		closing, cancel := context.WithTimeout(context.Background(), closeTime)
		defer cancel()
		_ = sink.Close(closing) // it was only read from
	})
	less := &spare{ledger: opt.Ledger, sink: name}
	skip := d.skips(name)
	width := settings.Bucket.D()
	opt.Counting = append(opt.Counting, &deepaudit.Counting{Name: name, Type: c.Type, Hours: sink.Hours,
		Compare: func(ctx context.Context, from, to time.Time, damaged bool, r *deepaudit.StoreReport) error {
			if from, to = from.Add(width-1).Truncate(width), to.Truncate(width); !from.Before(to) {
				r.Note("parts of a bucket are not compared: give bounds of buckets of " + settings.Bucket.String())
				return nil
			}
			if damaged {
				r.Add(deepaudit.Finding{Kind: deepaudit.Untold, Hour: from, Reason: "objects of the hour cannot be read"})
				return nil
			}
			known := newRegistries(d.cfg, d.log, d.archive.name, name)
			reach := d.reach(ctx, known, from)
			look := d.span(d.archive.Archive, known, from, to)
			var failed error
			n, err := sink.Compare(ctx, mongoagg.Comparison{From: from, To: to, Patience: d.patience, Skip: skip, Wants: filter.Passes,
				Look: func(ctx context.Context) (mongoagg.Snapshot, error) { return look(ctx) },
				Counted: func(lineage string) (pipeline.Position, bool) {
					at, ok := reach[lineage]
					return at.Counted, ok
				},
				Gone:  func(org string, bucket time.Time) bool { return d.aggregateGone(org, bucket, width) },
				Found: func(f mongoagg.Finding) { failed = errors.Join(failed, d.document(ctx, r, &f, less)) },
			})
			r.Compared += n
			return errors.Join(failed, untold(r, from, err))
		}})
	return nil
}

// document reports what was found of a document.
func (d *deepStores) document(ctx context.Context, r *deepaudit.StoreReport, f *mongoagg.Finding, less *spare) error {
	kind := map[string]string{mongoagg.FindMissing: deepaudit.Missing, mongoagg.FindStrange: deepaudit.Strange, mongoagg.FindDiffers: deepaudit.Differs,
		mongoagg.FindCopies: deepaudit.Copies, mongoagg.FindInFlight: deepaudit.InFlight, mongoagg.FindUntold: deepaudit.Untold}[f.Kind]
	reason := f.Reason
	if kind == deepaudit.Missing || kind == deepaudit.Differs {
		where := f.Collection
		if mongoagg.OfOneOrganisation(where) {
			where = "own"
		}
		ok, err := less.take(ctx, where, f.Want-f.Hits)
		if err != nil {
			return err
		}
		if ok {
			kind, reason = deepaudit.Untold, reason+neverOwed
		}
	}
	r.Add(deepaudit.Finding{Kind: kind, Hour: f.Bucket, Where: f.Collection + ", organisation " + f.Org, Reason: reason})
	return nil
}

// local takes in a sink of counters on this machine.
func (d *deepStores) local(name string, c *config.Sink, settings sqlite.Config, filter archivesource.Filter, opt *deepaudit.Options) error {
	file, err := sqlite.OpenReading(settings)
	if err != nil {
		return err
	}
	d.closers = append(d.closers, func() { _ = file.Close() }) // it was only read from
	less := &spare{ledger: opt.Ledger, sink: name}
	dead := d.skips(name)
	skip := func(row *format.Row) bool { return !filter.Passes(row.Record) || dead(row) }
	opt.Counting = append(opt.Counting, &deepaudit.Counting{Name: name, Type: c.Type, Hours: file.Hours,
		Compare: func(ctx context.Context, from, to time.Time, damaged bool, r *deepaudit.StoreReport) error {
			switch {
			case to.Sub(from) < time.Hour:
				r.Note("parts of an hour are not compared")
				return nil
			case damaged:
				r.Add(deepaudit.Finding{Kind: deepaudit.Untold, Hour: from, Reason: "objects of the hour cannot be read"})
				return nil
			}
			look := d.span(d.own, newRegistries(d.cfg, d.log, d.archive.name, name), from, to)
			got, err := file.Compare(ctx, from, d.patience, skip, func(ctx context.Context) (sqlite.Snapshot, error) { return look(ctx) })
			if err != nil {
				return untold(r, from, err)
			}
			return hourFound(ctx, r, from, &got, less)
		}})
	return nil
}

// hourFound reports what was found of an hour of a sqlite file.
func hourFound(ctx context.Context, r *deepaudit.StoreReport, hour time.Time, got *sqlite.Compared, less *spare) error {
	if got.Behind != "" {
		r.Add(deepaudit.Finding{Kind: deepaudit.InFlight, Hour: hour, Reason: got.Behind})
		return nil
	}
	r.Compared++
	if got.Copies > 0 && len(got.Differences) == 0 {
		r.Note(fmt.Sprintf("in %s %d records that were claimed again, after the history of Redis had gone back, count twice: this store cannot be rebuilt",
			hour.Format(time.RFC3339), got.Copies))
		return nil
	}
	if len(got.Differences) == 0 {
		return nil
	}
	kind, more := deepaudit.Differs, ""
	ok, err := less.take(ctx, "hours", got.Want-got.Has)
	if err != nil {
		return err
	}
	if ok {
		kind, more = deepaudit.Untold, neverOwed
	}
	for _, x := range got.Differences {
		r.Add(deepaudit.Finding{Kind: kind, Hour: hour, Where: x.Counter, Reason: fmt.Sprintf("is %d, the archive adds up to %d%s", x.Has, x.Want, more)})
	}
	return nil
}
