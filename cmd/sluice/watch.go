package main

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"sluice/internal/pipeline"
	"sluice/sources/redislist"
)

// watched is what takes too long to look up for every scrape, or must be known where Redis is not asked.
type watched struct {
	mu       sync.Mutex
	spools   map[string]pipeline.SpoolUse // by sink
	oldest   map[string]time.Time         // by sink: when the oldest spooled claim was made
	degraded []string
}

const (
	watchFirst = time.Second // after the start
	watchEvery = 15 * time.Second
)

// watch looks at spools and at what Redis lost until ctx is done.
func (e *engine) watch(ctx context.Context) {
	said := ""
	for wait := watchFirst; ; wait = watchEvery {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		err := e.look(ctx)
		if err != nil && ctx.Err() == nil && said != err.Error() {
			e.log.Warn("what lies in the spools cannot be counted now", "err", e.cfg.Clean(err.Error()))
			said = err.Error()
		}
	}
}

// look takes what there is now. What cannot be read keeps its last figures.
func (e *engine) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, watchEvery)
	defer cancel()
	a, err := readAudit(ctx, e.sources)
	if err != nil {
		return nil // a source that is not connected is said elsewhere
	}
	uses, oldest := map[string]pipeline.SpoolUse{}, map[string]time.Time{}
	for _, lists := range a.Sources {
		for i := range lists {
			for sink, s := range lists[i].Spools {
				use, at, err := e.spoolUse(ctx, lists[i].Lineage, sink, s)
				if err != nil {
					return fmt.Errorf("list %s, sink %s: %w", lists[i].List, sink, err)
				}
				sum := uses[sink]
				uses[sink] = pipeline.SpoolUse{Batches: sum.Batches + use.Batches, Bytes: sum.Bytes + use.Bytes}
				if was, ok := oldest[sink]; !at.IsZero() && (!ok || at.Before(was)) {
					oldest[sink] = at
				}
			}
		}
	}
	e.watched.mu.Lock()
	defer e.watched.mu.Unlock()
	e.watched.spools, e.watched.oldest, e.watched.degraded = uses, oldest, nil
	if n := len(a.suspect()); n > 0 {
		e.watched.degraded = []string{fmt.Sprintf("the history of Redis went back in %d places: see sluice audit", n)}
	}
	return nil
}

// spoolUse counts what lies in one spool, and tells when its oldest claim was made. A spool that only another pump reaches is that
// one's to count.
func (e *engine) spoolUse(ctx context.Context, lineage, sink string, s redislist.SpoolAudit) (use pipeline.SpoolUse, oldest time.Time, err error) {
	from, err := pipeline.ParsePosition(s.From)
	if err != nil {
		return use, oldest, err
	}
	for _, sp := range e.spools {
		counts, ok := sp.(interface {
			Use(context.Context, pipeline.SpoolID, pipeline.Position) (int, int64, pipeline.Position, error)
		})
		if !ok || sp.Where() != s.Where {
			continue
		}
		id := pipeline.SpoolID{Lineage: lineage, Sink: sink}
		var first pipeline.Position
		if use.Batches, use.Bytes, first, err = counts.Use(ctx, id, from); err != nil || use.Batches == 0 {
			return use, oldest, err
		}
		h, err := sp.Head(ctx, id, first)
		return use, h.ClaimTime, err
	}
	return use, oldest, nil
}

// spoolUses are the spools as they were looked at last, by sink.
func (e *engine) spoolUses(now time.Time) map[string]pipeline.SpoolUse {
	e.watched.mu.Lock()
	defer e.watched.mu.Unlock()
	out := maps.Clone(e.watched.spools)
	for sink, at := range e.watched.oldest {
		use := out[sink]
		use.OldestSeconds = max(0, now.Sub(at).Seconds())
		out[sink] = use
	}
	return out
}

// degraded says what an operator should see to, although the drain goes on.
func (e *engine) degraded() []string {
	e.watched.mu.Lock()
	defer e.watched.mu.Unlock()
	return e.watched.degraded
}
