package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	format "sluice/internal/archive"
	"sluice/internal/config"
	"sluice/internal/deepaudit"
	"sluice/internal/pipeline"
	"sluice/internal/record"
	"sluice/sinks/csv"
	"sluice/sinks/mongoagg"
	"sluice/sinks/mongoraw"
	"sluice/sinks/opensearch"
	"sluice/sinks/s3csv"
	"sluice/sinks/sqlite"
	archivesource "sluice/sources/archive"
)

// deepStores opens the stores of an audit and knows what is expected to be absent from them.
type deepStores struct {
	cfg      *config.Config
	log      *slog.Logger
	archive  *openArchive          // nil: there is none
	own      archivesource.Archive // without those that are followed
	followed []archiveSource
	letters  []pipeline.Letter
	now      time.Time
	patience time.Duration
	closers  []func()
}

func (d *deepStores) close() {
	for _, c := range d.closers {
		c()
	}
}

// open opens the named sinks, or all that can be looked into.
func (d *deepStores) open(ctx context.Context, names []string, opt *deepaudit.Options) error {
	for _, name := range names {
		c, ok := d.cfg.Sinks[name]
		switch {
		case !ok:
			return usageError{fmt.Errorf("--sink %s: there is no such sink", name)}
		case !looksInto(c.Settings):
			return usageError{fmt.Errorf("--sink %s: a sink of type %s keeps nothing that could be recounted", name, c.Type)}
		}
	}
	for _, name := range sortedKeys(d.cfg.Sinks) {
		if len(names) > 0 && !slices.Contains(names, name) {
			continue
		}
		c := d.cfg.Sinks[name]
		opening, cancel := context.WithTimeout(ctx, c.Timeout.D())
		err := d.one(opening, name, &c, opt)
		cancel()
		if err != nil {
			return fmt.Errorf("sink %s: %w; name the others with --sink to leave it out", name, err)
		}
	}
	return nil
}

func looksInto(settings any) bool {
	switch settings.(type) {
	case mongoraw.Config, mongoagg.Config, opensearch.Config, sqlite.Config, s3csv.Config, csv.Config:
		return true
	}
	return false
}

func countArchives(cfg *config.Config) (n int) {
	for _, c := range cfg.Sinks {
		switch c.Settings.(type) {
		case s3csv.Config, csv.Config:
			n++
		}
	}
	return n
}

func (d *deepStores) one(ctx context.Context, name string, c *config.Sink, opt *deepaudit.Options) error {
	filter := archivesource.NewFilter(c.Filters.Pipeline())
	switch s := c.Settings.(type) {
	case mongoraw.Config:
		l, err := mongoraw.OpenListing(ctx, name, s)
		if err != nil {
			return err
		}
		d.closers = append(d.closers, func() { l.Close(context.Background()) })
		opt.Keyed = append(opt.Keyed, &deepaudit.Keyed{Name: name, Type: c.Type, Store: l,
			Takes: func(r *record.Record) bool { return filter.Passes(r) && s.Stores(r) },
			Accepts: func(h *deepaudit.Held) bool {
				r := record.Record{OrgID: h.Org, APIID: h.API, ResponseCode: h.Code}
				return !h.MCP && s.Layout == mongoraw.LayoutCapped && filter.Passes(&r) && s.Stores(&r)
			},
			Gone: func(r *record.Record) bool { return s.Layout == mongoraw.LayoutPerOrg && d.rawGone(r) }})
	case opensearch.Config:
		l, err := opensearch.OpenListing(ctx, s)
		if err != nil {
			return err
		}
		d.closers = append(d.closers, l.Close)
		opt.Keyed = append(opt.Keyed, &deepaudit.Keyed{Name: name, Type: c.Type, Store: l,
			Takes: filter.Passes,
			Accepts: func(h *deepaudit.Held) bool {
				return passes(c.Filters.Pipeline(), h) && !d.searchGone(h.Org, idTime(h.ID), s.Keep.D())
			},
			Gone: func(r *record.Record) bool { return d.searchGone(r.OrgID, r.TimeStamp, s.Keep.D()) }})
	case mongoagg.Config:
		return d.aggregates(ctx, name, c, s, filter, opt)
	case sqlite.Config:
		return d.local(name, c, s, filter, opt)
	}
	return nil
}

// idTime is the second that a record's ID names.
func idTime(id record.ID) time.Time {
	return time.Unix(int64(uint32(id[0])<<24|uint32(id[1])<<16|uint32(id[2])<<8|uint32(id[3])), 0)
}

// slack is how long before its time something may be deleted already.
const slack = time.Minute

// older tells whether a span has passed since a time; a span of 0 never passes.
func (d *deepStores) older(t time.Time, keep time.Duration) bool {
	return keep > 0 && t.Before(d.now.Add(slack-keep))
}

// rawGone tells whether a record of an organisation's own collection may have expired, or been deleted by a rule.
func (d *deepStores) rawGone(r *record.Record) bool {
	keep := d.cfg.Retention.Raw.Keep.D()
	if o := d.cfg.Retention.Organisations[r.OrgID].Raw; o != nil {
		keep = o.Keep.D()
	}
	return r.ExpireAt.Unix() > 0 && r.ExpireAt.Before(d.now.Add(slack+d.patience)) || d.older(r.TimeStamp, keep)
}

// searchGone tells whether a document may have been left out for its age, or its index been deleted.
func (d *deepStores) searchGone(org string, at time.Time, keep time.Duration) bool {
	own := d.cfg.Retention.Search.Keep.D()
	if o := d.cfg.Retention.Organisations[org].Search; o != nil {
		own = o.Keep.D()
	}
	return d.older(at, keep) || d.older(at, own)
}

// aggregateGone tells whether a document may have been deleted or rolled up by a rule.
func (d *deepStores) aggregateGone(org string, bucket time.Time, width time.Duration) bool {
	rules := retainWidths(d.cfg.Retention.Aggregate.Keep)
	if o := d.cfg.Retention.Organisations[org].Aggregate; o != nil {
		rules = retainWidths(o.Keep)
	}
	return d.older(bucket.Add(width), rules[width])
}

// skips tells which rows never reached a sink, and rightly: its dead letters. What lies in its spool is above the position
// up to which it has settled.
func (d *deepStores) skips(sink string) func(*format.Row) bool {
	type place struct{ lineage, position string }
	dead := map[place]bool{}
	for i := range d.letters {
		if l := &d.letters[i]; l.Sink == sink || l.Sink == pipeline.EverySink {
			dead[place{l.Lineage, l.Position}] = true
		}
	}
	return func(r *format.Row) bool {
		return len(dead) > 0 && dead[place{strings.Clone(r.Stream.Lineage), r.Position.String()}]
	}
}

// span looks into an archive for a store that counts.
func (d *deepStores) span(a archivesource.Archive, known *registries, from, to time.Time) func(context.Context) (*archivesource.Span, error) {
	looked := false
	return func(ctx context.Context) (*archivesource.Span, error) {
		reach := d.reach(ctx, known, from)
		s, err := a.SpanAsIs(ctx, from, to, !looked, reach)
		looked = looked || err == nil
		if err == nil && len(a.More) > 0 { // their rows are masked again on their way
			err = s.Masked(d.cfg.RecordShape().Masks)
		}
		return s, err
	}
}

// untold turns what stands in the way of a comparison into a finding.
func untold(r *deepaudit.StoreReport, hour time.Time, err error) error {
	var bad *archivesource.Unreadable
	var lacks *archivesource.Incomplete
	switch {
	case errors.As(err, &bad), errors.As(err, &lacks):
		r.Add(deepaudit.Finding{Kind: deepaudit.Untold, Hour: hour, Reason: err.Error()})
		return nil
	}
	return err
}
