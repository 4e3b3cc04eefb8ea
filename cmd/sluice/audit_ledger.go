package main

import (
	"context"
	"errors"
	"fmt"

	"sluice/internal/deepaudit"
	"sluice/internal/pipeline"
	"sluice/sources/redislist"
)

// deepLedger reads for an audit how far lists have come.
type deepLedger struct {
	sources []source
	sinks   []string
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
