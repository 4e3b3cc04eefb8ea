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
	"sluice/sinks/mongoagg"
	archivesource "sluice/sources/archive"
)

// rebuildTarget is a mongo-aggregate sink whose documents are rebuilt.
type rebuildTarget struct {
	archivesource.Selection // of whole documents
	name                    string
	sink                    *mongoagg.Sink
	filters                 archivesource.Filter
	timeout                 time.Duration
}

// rebuildCounts tells what became of a sink's documents.
type rebuildCounts struct {
	mongoagg.Rebuilt
	Failures []mongoagg.RebuildFailure `json:"failures"`
	Refused  []hourFailure             `json:"refused"` // hours of which nothing was rebuilt
	Next     time.Time                 `json:"next"`    // hours before it are done
}

// hourFailure is an hour of which nothing was rebuilt, and why.
type hourFailure struct {
	Hour   time.Time `json:"hour"`
	Reason string    `json:"reason"`
}

// planRebuild refuses what cannot be rebuilt exactly.
func planRebuild(log *slog.Logger, name string, c mongoagg.Config, s *config.Sink, req *replayRequest) (*rebuildTarget, error) {
	if len(req.APIs)+len(req.Codes) > 0 {
		return nil, usageError{fmt.Errorf("sink %s rebuilds whole documents, which count all APIs and response codes: leave out --api and "+
			"--status, or name the other sinks with --sink", name)}
	}
	sink, err := mongoagg.New(name, c, log)
	if err != nil {
		return nil, fmt.Errorf("sink %s: %w", name, err)
	}
	width, sel := c.Bucket.D(), req.Selection // every document of which the time has a part
	sel.From, sel.To = sel.From.Truncate(width), sel.To.Add(width-1).Truncate(width)
	return &rebuildTarget{name: name, sink: sink, Selection: sel, filters: archivesource.NewFilter(s.Filters.Pipeline()), timeout: s.Timeout.D()}, nil
}

// rebuild rebuilds the documents of the sinks that keep aggregates, hour by hour.
func (r *replayer) rebuild(ctx context.Context) error {
	if len(r.plan.rebuilds) == 0 {
		return nil
	}
	if r.result.Rebuilt == nil {
		r.result.Rebuilt = map[string]*rebuildCounts{}
	}
	for _, t := range r.plan.rebuilds {
		if r.result.Rebuilt[t.name] == nil {
			r.result.Rebuilt[t.name] = &rebuildCounts{Failures: []mongoagg.RebuildFailure{}, Refused: []hourFailure{}, Next: t.From}
		}
		if err := r.rebuildSink(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

func (r *replayer) rebuildSink(ctx context.Context, t *rebuildTarget) (err error) {
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		err = errors.Join(err, t.sink.Close(closing))
	}()
	opening, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	if err := t.sink.Open(opening); err != nil {
		return fmt.Errorf("sink %s: %w", t.name, err)
	}
	counts := r.result.Rebuilt[t.name]
	known := newRegistries(r.cfg, r.log, r.archive.name, t.name)
	for counts.Next.Before(t.To) {
		from, to := counts.Next, counts.Next.Truncate(time.Hour).Add(time.Hour)
		if to.After(t.To) {
			to = t.To
		}
		if err := r.rebuildHour(ctx, t, known, from, to); err != nil {
			return err
		}
		counts.Next = to
		if err := r.checkpoint.Save(r.result, false); err != nil {
			return err
		}
		if r.progress.due() {
			done, all := to.Sub(t.From), t.To.Sub(t.From)
			r.progress.at(uint64(counts.Replaced+counts.Unchanged), 0, fmt.Sprintf("%s, %d%% of the time", t.name, 100*done/all))
		}
	}
	return nil
}

// rebuildHour rebuilds an hour, or the part of it that is asked for. What concerns this hour alone is noted.
func (r *replayer) rebuildHour(ctx context.Context, t *rebuildTarget, known *registries, from, to time.Time) error {
	counts := r.result.Rebuilt[t.name]
	looked := false
	did, err := t.sink.Rebuild(ctx, mongoagg.Rebuild{
		From: from, To: to, Orgs: t.Orgs, Patience: r.request.o.timeout,
		Wants: func(rec *record.Record) bool { return t.Takes(rec) && t.filters.Passes(rec) },
		Look: func(ctx context.Context) (mongoagg.Snapshot, error) {
			reach := known.read(ctx)
			s, err := r.archive.Span(ctx, from, to, looked, reach)
			looked = true
			return s, err
		},
		Failed: func(f mongoagg.RebuildFailure) {
			if len(counts.Failures) < maxFaults {
				counts.Failures = append(counts.Failures, f)
			}
		},
	})
	counts.Add(did)
	var bad *archivesource.Unreadable
	var lacks *archivesource.Incomplete
	switch {
	case errors.As(err, &bad):
		r.fault(bad)
		counts.Refused = append(counts.Refused, hourFailure{from, "an object of it cannot be read: " + bad.Object})
	case errors.As(err, &lacks):
		counts.Refused = append(counts.Refused, hourFailure{from, lacks.Error()})
	case err != nil:
		return fmt.Errorf("sink %s: %w", t.name, err)
	}
	return nil
}

func (c *rebuildCounts) failed() bool { return c.Failed > 0 || len(c.Refused) > 0 }

func (c *rebuildCounts) text(w io.Writer, name string) error {
	if _, err := fmt.Fprintf(w, "sink %s: %d documents rebuilt, %d were right already, %d left as they are\n", name, c.Replaced, c.Unchanged,
		c.Failed); err != nil {
		return err
	}
	if c.Copies > 0 {
		if _, err := fmt.Fprintf(w, "sink %s: %d records that were claimed again, after the history of Redis had gone back, count once\n", name, c.Copies); err != nil {
			return err
		}
	}
	for _, f := range c.Failures {
		if _, err := fmt.Fprintf(w, "left: %s of %s, %s: %s\n", printable(f.Org), f.Bucket.Format(time.RFC3339), printable(f.Collection),
			printable(f.Reason)); err != nil {
			return err
		}
	}
	for _, h := range c.Refused {
		if _, err := fmt.Fprintf(w, "nothing rebuilt of %s: %s\n", h.Hour.Format(time.RFC3339), printable(h.Reason)); err != nil {
			return err
		}
	}
	return nil
}

// registries read from Redis how far the archive and a sink have come, where Redis can be read. They change nothing.
type registries struct {
	sources       []source
	archive, sink string
	log           *slog.Logger
	silent        bool
}

func newRegistries(cfg *config.Config, log *slog.Logger, archive, sink string) *registries {
	g := &registries{archive: archive, sink: sink, log: log}
	var err error
	g.sources, err = onlookingSources(cfg, log)
	if err != nil {
		g.say(err)
	}
	return g
}

func (g *registries) say(err error) {
	if !g.silent {
		g.silent = true
		g.log.Warn("the registry cannot be read: whether the archive is complete is told by its manifests alone", "err", err)
	}
}

// registryTime bounds one look.
const registryTime = 5 * time.Second

func (g *registries) read(ctx context.Context) map[string]archivesource.Reach {
	ctx, cancel := context.WithTimeout(ctx, registryTime)
	defer cancel()
	out := map[string]archivesource.Reach{}
	for _, s := range g.sources {
		lists, err := s.Audit(ctx)
		if err != nil {
			g.say(err)
			continue
		}
		for i := range lists {
			l := &lists[i]
			archive, sink := l.Sinks[g.archive], l.Sinks[g.sink]
			if l.Lineage == "" || archive.Taken == 0 && !l.Retry {
				continue
			}
			out[l.Lineage] = archivesource.Reach{Elsewhere: archive.Taken == 0,
				Archived: l.SettledUpTo(g.archive), Counted: l.SettledUpTo(g.sink),
				Whole: archive.Taken >= sink.Taken && archive.Released == 0,
			}
		}
	}
	return out
}
