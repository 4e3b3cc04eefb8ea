package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"sluice/internal/archive/dirstore"
	"sluice/internal/archive/s3store"
	"sluice/internal/statedir"
	"sluice/retention/letters"
	"sluice/retention/spooled"
	"sluice/sources/redislist"
)

// openSpools opens the places where batches may lie: the state directory, and the prefix of state.spool.
func (s *retainStores) openSpools(ctx context.Context) {
	if err := s.openOwnSpool(); err != nil {
		s.problems = append(s.problems, fmt.Sprintf("the spool cannot be looked into: %v", err))
	}
	rest, ok := strings.CutPrefix(s.r.cfg.State.Spool, "s3://")
	if !ok {
		return
	}
	bucket, prefix, _ := strings.Cut(rest, "/")
	store, err := s3store.New(ctx, spoolStore(s.r.cfg, bucket))
	if err != nil {
		s.problems = append(s.problems, fmt.Sprintf("state.spool cannot be looked into: %v", err))
		return
	}
	s.closers = append(s.closers, store.Close)
	s.add("spool in the bucket", spooled.New("spool in the bucket", store, prefix+"spool/", s.owed, func() int64 { return -1 }))
}

// openOwnSpool opens the one of the state directory, if there is one.
func (s *retainStores) openOwnSpool() error {
	dir := statedir.Spool(s.r.cfg.State.Dir)
	if _, err := os.Stat(dir); err != nil || !s.r.cfg.State.Durable {
		return nil // nothing was ever spooled here
	}
	store, err := dirstore.Open(dir)
	if err != nil {
		return err
	}
	s.add("spool", spooled.New("spool", store, "", s.owed, func() int64 { return letters.FreeOn(dir) }))
	return nil
}

// owed tells why spooled batches of a list must stay.
func (s *retainStores) owed(ctx context.Context, lineage, sink string) string {
	a, err := s.audit(ctx)
	if err != nil {
		return "whom they are owed to is not known: " + err.Error()
	}
	for _, lists := range a.Sources {
		for i := range lists {
			l := &lists[i]
			if l.Lineage != lineage {
				continue
			}
			return spoolWaits(l, sink, time.Now())
		}
	}
	return "no registry in Redis knows their list, which may have been lost with it: look before you delete them by hand"
}

// spoolWaits tells why batches of a sink must stay, which are an hour old or more. A pump that died between
// writing a batch and booking it leaves one that the registry does not name, and the next one books it as it lies there.
func spoolWaits(l *redislist.ListAudit, sink string, now time.Time) string {
	if _, waits := l.Spools[sink]; waits || l.Sinks[sink].Spooled > 0 {
		return fmt.Sprintf("sink %s is still owed them and gets them when it is back; sluice release %s --sink %s gives them up", sink, l.List, sink)
	}
	for _, c := range l.Claims {
		if slices.Contains(c.Owes, sink) && c.Cursors[sink] < c.Len && c.Time.Before(now.Add(-spooled.OnItsWay)) {
			return fmt.Sprintf("sink %s is owed claim %s, of which a batch may be on its way into the registry", sink, c.ID)
		}
	}
	return ""
}
