package redislist

import (
	"context"
	"maps"
	"strconv"

	"sluice/internal/crash"
	"sluice/internal/pipeline"
)

// Spools implements pipeline.Spoolable.
func (st *stream) Spools() map[string]pipeline.Spooled {
	st.mu.Lock()
	defer st.mu.Unlock()
	return maps.Clone(st.spools)
}

// Replicated implements pipeline.Spoolable.
func (st *stream) Replicated(ctx context.Context) error { return st.se.replicated(ctx, st.leased, st) }

// SettleSpooled implements pipeline.Spoolable.
func (st *stream) SettleSpooled(ctx context.Context, sink, where string, r pipeline.Settled) error {
	st.spooling.Lock()
	defer st.spooling.Unlock()
	return st.settle(ctx, sink, where, []pipeline.Settled{r})
}

// nameSpool books that ranges lie in a spool now.
func (st *stream) nameSpool(sink, where string, ranges []pipeline.Settled) {
	st.mu.Lock()
	defer st.mu.Unlock()
	s, ok := st.spools[sink]
	if !ok {
		s = pipeline.Spooled{From: pipeline.Position{Claim: ranges[0].Claim, Index: ranges[0].From}, Where: where}
	}
	s.To = endOf(ranges)
	st.spools[sink] = s
}

// Unspool implements pipeline.Spoolable. What it booked is replicated when it returns nil, so that what was spooled may be
// deleted.
func (st *stream) Unspool(ctx context.Context, sink string, ranges []pipeline.Settled) error {
	seq, err := st.unspool(ctx, sink, ranges)
	if err != nil {
		return err
	}
	return st.se.replicated(ctx, seq, st)
}

func (st *stream) unspool(ctx context.Context, sink string, ranges []pipeline.Settled) (uint64, error) {
	st.spooling.Lock()
	defer st.spooling.Unlock()
	if err := st.failed(); err != nil {
		return 0, err
	}
	st.mu.Lock()
	s, ok := st.spools[sink]
	seq := st.unspooled
	st.mu.Unlock()
	end, first := endOf(ranges), pipeline.Position{Claim: ranges[0].Claim, Index: ranges[0].From}
	switch {
	case !ok || end.Compare(s.From) <= 0:
		return seq, nil
	case first.Compare(s.From) < 0 || end.Compare(s.To) > 0:
		return 0, st.refused("unspool", errStale)
	}
	seq, err := unspool(ctx, st.se.c, st.se.owner(), st.list, st.id.Lineage, sink, s.From, ranges)
	if err != nil {
		return 0, st.refused("unspool", err)
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.unspooled, s.From = seq, end
	st.spools[sink] = s
	if s.From == s.To {
		delete(st.spools, sink)
	}
	st.passed(sink, end)
	return seq, nil
}

// unspool books ranges, which begin where the spool does, as what really became of them.
func unspool(ctx context.Context, e evaluator, o owner, l list, lineage, sink string, from pipeline.Position, ranges []pipeline.Settled) (uint64, error) {
	var sum pipeline.Counts
	for _, r := range ranges {
		sum = addCounts(sum, r.Counts)
	}
	args := []string{o.id(), lineage, sink, from.String(), endOf(ranges).String(), strconv.FormatUint(sum.Total(), 10), noteOf(ranges)}
	crash.Before("redis/unspool")
	r, seq, err := e.eval(ctx, unspoolScript, []string{l.registry()}, appendShed(appendCounts(args, sum), ranges))
	crash.After("redis/unspool")
	if err == nil && r.word() != "ok" && r.word() != "done" {
		err = refusal(unspoolScript, l.name, r)
	}
	return seq, err
}
