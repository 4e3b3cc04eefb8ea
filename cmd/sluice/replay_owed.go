package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	format "sluice/internal/archive"
	"sluice/internal/pipeline"
	"sluice/sources/redislist"
)

// debts tell what a sink still is to get from the sources: what a copy puts into its archive before comes a second time,
// under a name of its own. They change nothing.
type debts struct {
	sources []source
	sink    string
}

// read is, by lineage, from where on the sink is owed records.
func (d *debts) read(ctx context.Context) (map[string]pipeline.Position, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, auditTime, errors.New("no answer from Redis in time"))
	defer cancel()
	out := map[string]pipeline.Position{}
	for _, s := range d.sources {
		lists, err := s.Audit(ctx)
		if err != nil {
			return nil, fmt.Errorf("what sink %s is still to get is not known: audit source %s: %w", d.sink, s.Name(), err)
		}
		for i := range lists {
			if p, owed := owedFrom(&lists[i], d.sink); owed {
				out[lists[i].Lineage] = p
			}
		}
	}
	return out, nil
}

// owedFrom is the first position that lies in a sink's spool, or that an open claim owes it.
func owedFrom(l *redislist.ListAudit, sink string) (at pipeline.Position, owed bool) {
	least := func(p pipeline.Position) {
		if !owed || p.Compare(at) < 0 {
			at, owed = p, true
		}
	}
	if s, ok := l.Spools[sink]; ok {
		if p, err := pipeline.ParsePosition(s.From); err == nil {
			least(p)
		}
	}
	for _, c := range l.Claims {
		id, err := pipeline.ParseClaimID(c.ID)
		if err == nil && slices.Contains(c.Owes, sink) && c.Cursors[sink] < c.Len {
			least(pipeline.Position{Claim: id, Index: c.Cursors[sink]})
		}
	}
	return at, owed
}

// owedPoll is how often it is looked whether a sink has got what it was owed.
const owedPoll = time.Second

// paid waits until a sink has got everything that objects hold; patience is what is left of the time for it. The objects of
// which it still is to get something are told apart.
func (d *debts) paid(ctx context.Context, ms []*format.Manifest, patience *time.Duration) (paid, owed []*format.Manifest, err error) {
	for {
		from, err := d.read(ctx)
		if err != nil {
			return nil, nil, err
		}
		paid, owed = nil, nil
		for _, m := range ms {
			if slices.ContainsFunc(m.Positions, func(r format.Range) bool { return reachesBeyond(r, from) }) {
				owed = append(owed, m)
			} else {
				paid = append(paid, m)
			}
		}
		if len(owed) == 0 || *patience <= 0 {
			return paid, owed, nil
		}
		began := time.Now()
		select {
		case <-time.After(owedPoll):
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		}
		*patience -= time.Since(began)
	}
}

func reachesBeyond(r format.Range, owed map[string]pipeline.Position) bool {
	from, ok := owed[r.Lineage]
	if !ok {
		return false
	}
	to, err := pipeline.ParsePosition(r.To)
	return err != nil || to.Compare(from) > 0
}
