package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"sluice/internal/config"
	"sluice/internal/record"
	"sluice/sinks/sqlite"
	archivesource "sluice/sources/archive"
)

// localTarget is a sqlite sink whose hours are rebuilt.
type localTarget struct {
	name    string
	sink    *sqlite.Sink
	filters archivesource.Filter
	timeout time.Duration
}

// localCounts tell what became of a file's hours.
type localCounts struct {
	Hours   int64         `json:"hours"`   // rebuilt
	Records int64         `json:"records"` // that count in them
	Copies  int64         `json:"copies"`  // that were claimed again and count once
	Left    []hourFailure `json:"left"`    // hours that stay as they were
	Next    time.Time     `json:"next"`    // hours before it are done
}

// planLocal refuses what cannot be rebuilt exactly.
func planLocal(log *slog.Logger, name string, c sqlite.Config, s *config.Sink, req *replayRequest) (*localTarget, error) {
	if req.Filtered() {
		return nil, usageError{fmt.Errorf("sink %s rebuilds whole hours, which count all organisations: leave out --org, --api and --status, or name the "+
			"other sinks with --sink", name)}
	}
	sink, err := sqlite.New(name, c, log)
	if err != nil {
		return nil, fmt.Errorf("sink %s: %w", name, err)
	}
	return &localTarget{name: name, sink: sink, filters: archivesource.NewFilter(s.Filters.Pipeline()), timeout: s.Timeout.D()}, nil
}

// locals rebuilds the hours of the files that no pump holds.
func (r *replayer) locals(ctx context.Context) error {
	if len(r.plan.locals) > 0 && r.result.Local == nil {
		r.result.Local = map[string]*localCounts{}
	}
	if len(r.plan.locals) > 0 && r.expected == 0 {
		var err error
		if r.expected, err = r.archive.Expected(ctx, &r.request.Selection); err != nil {
			return err
		}
	}
	for _, t := range r.plan.locals {
		if r.result.Local[t.name] == nil {
			r.result.Local[t.name] = &localCounts{Left: []hourFailure{}, Next: r.request.From.Truncate(time.Hour)}
		}
		if err := r.local(ctx, t); err != nil {
			return fmt.Errorf("sink %s: %w", t.name, err)
		}
	}
	return nil
}

func (r *replayer) local(ctx context.Context, t *localTarget) (err error) {
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		err = errors.Join(err, t.sink.Close(closing))
	}()
	opening, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	if err := t.sink.Open(opening); err != nil {
		return fmt.Errorf("%w (a pump that writes to the file must be stopped first)", err)
	}
	sources, err := onlookingSources(r.cfg, r.log)
	if err != nil {
		return err
	}
	owing, known := &debts{sources: sources, sink: t.name}, newRegistries(r.cfg, r.log, r.archive.name, t.name)
	counts := r.result.Local[t.name]
	for h, err := range r.archive.Hours(ctx, counts.Next, r.request.To) { // of other hours there is nothing to rebuild from
		if err != nil {
			return err
		}
		if h.Time.Before(counts.Next) {
			continue // another region's
		}
		if err := r.localHour(ctx, t, owing, known, h.Time); err != nil {
			return err
		}
		counts.Next = h.Time.Add(time.Hour)
		if err := r.checkpoint.Save(r.result, false); err != nil {
			return err
		}
		if r.progress.due() {
			r.progress.at(uint64(counts.Records), uint64(max(r.expected, counts.Records)), fmt.Sprintf("%s, up to %s", t.name, counts.Next.Format(time.RFC3339)))
		}
	}
	counts.Next = r.request.To
	return nil
}

func (r *replayer) localHour(ctx context.Context, t *localTarget, owing *debts, known *registries, hour time.Time) error {
	counts := r.result.Local[t.name]
	looked := false
	out, err := t.sink.RebuildHour(ctx, hour, sqlite.Rebuild{
		Patience: r.request.o.timeout, Owed: owing.read,
		Wants: func(rec *record.Record) bool { return t.filters.Passes(rec) },
		Look: func(ctx context.Context) (sqlite.Snapshot, error) {
			reach := known.read(ctx)
			s, err := r.archive.SpanAsIs(ctx, hour, hour.Add(time.Hour), !looked, reach)
			looked = looked || err == nil
			if err != nil {
				return nil, err
			}
			return s, s.Masked(r.cfg.RecordShape().Masks)
		},
	})
	var bad *archivesource.Unreadable
	var lacks *archivesource.Incomplete
	switch {
	case errors.As(err, &bad):
		r.fault(bad)
		out.Left = "an object of it cannot be read: " + bad.Object
	case errors.As(err, &lacks):
		out.Left = lacks.Error()
	case err != nil:
		return err
	}
	if out.Left != "" {
		counts.Left = append(counts.Left, hourFailure{hour, out.Left})
		return nil
	}
	counts.Hours++
	counts.Records += out.Records
	counts.Copies += out.Copies
	return nil
}

func (c *localCounts) text(w io.Writer, name string) error {
	if _, err := fmt.Fprintf(w, "sink %s: %d hours rebuilt, %d records count in them, %d hours left as they are\n", name, c.Hours, c.Records, len(c.Left)); err != nil {
		return err
	}
	for _, h := range c.Left {
		if _, err := fmt.Fprintf(w, "nothing rebuilt of %s: %s\n", h.Hour.Format(time.RFC3339), printable(h.Reason)); err != nil {
			return err
		}
	}
	return nil
}
