package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sluice/internal/deepaudit"
	"sluice/internal/pipeline"
	"sluice/sources/redislist"
)

// deepLedger reads for an audit how far lists have come.
type deepLedger struct {
	sources   []source
	sinks     []string
	following []string // of sinks, those that get what is followed
}

// books is the ledger as audit prints it.
func (l *deepLedger) books(ctx context.Context) (*audit, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, auditTime, errors.New("no answer from Redis in time"))
	defer cancel()
	return readAudit(ctx, l.sources)
}

// Read implements deepaudit.Ledger.
func (l *deepLedger) Read(ctx context.Context) (deepaudit.State, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, auditTime, errors.New("no answer from Redis in time"))
	defer cancel()
	out := deepaudit.State{}
	for _, s := range l.sources {
		if a, ok := s.(archiveSource); ok {
			if err := l.followed(ctx, a, out); err != nil {
				return nil, fmt.Errorf("audit source %s: %w", s.Name(), err)
			}
			continue
		}
		lists, err := s.Audit(ctx)
		if err != nil {
			return nil, fmt.Errorf("audit source %s: %w", s.Name(), err)
		}
		for i := range lists {
			if lists[i].Lineage != "" {
				out[lists[i].Lineage] = l.list(s.Name(), &lists[i])
			}
		}
	}
	return out, nil
}

// followed reads how far an archive was followed.
func (l *deepLedger) followed(ctx context.Context, s archiveSource, out deepaudit.State) error {
	f, err := s.Followed(ctx)
	if err != nil {
		return err
	}
	sinks := map[string]deepaudit.Booked{}
	for _, name := range l.following {
		sinks[name] = deepaudit.Booked{NotOwed: f.NotOwed(name)}
	}
	for _, lineage := range f.Lineages() {
		if out[lineage] == nil { // a list that is drained here as well is told by its registry
			out[lineage] = &deepaudit.List{Source: s.Name(), Name: "followed", Sinks: sinks, Settled: map[string]pipeline.Position{},
				Followed: func(hour time.Time) pipeline.Position { return f.At(lineage, hour) }}
		}
	}
	return nil
}

func (l *deepLedger) list(source string, a *redislist.ListAudit) *deepaudit.List {
	out := &deepaudit.List{Source: source, Name: a.List, Uptime: a.Uptime, Only: a.Retry, Taken: a.Taken,
		Settled: map[string]pipeline.Position{}, Sinks: map[string]deepaudit.Booked{}}
	for _, c := range a.Claims {
		id, err := pipeline.ParseClaimID(c.ID)
		if end := (pipeline.Position{Claim: id, Index: c.Len}); err == nil && end.Compare(out.End) > 0 {
			out.End = end
		}
	}
	for _, sink := range l.sinks {
		k := a.Sinks[sink]
		out.Settled[sink] = a.SettledUpTo(sink)
		out.Sinks[sink] = deepaudit.Booked{Owed: k.Taken, Effective: k.Effective, DeadLetters: k.DeadLetters,
			NotOwed: a.Taken - min(a.Taken, k.Taken) + k.Released}
	}
	return out
}
