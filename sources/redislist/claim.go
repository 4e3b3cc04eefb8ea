package redislist

import (
	"context"
	"errors"
	"time"
)

const (
	// maxInterval is the slowest cadence: a list that gets its TTL of 60 s right after a look is claimed well within it.
	maxInterval = 20 * time.Second
	// urgentTTL is what is left of a list's TTL when it must be claimed whatever the cadence is.
	urgentTTL = 20 * time.Second
	// openStep is the number of open claims that doubles the interval: while a sink is down for a day, some 4,500 claims
	// of 20 s each instead of 86,400.
	openStep = 64
)

// claims makes the claims that are due.
func (se *session) claims(ctx context.Context, sl *slot, p probe) error {
	if p.len == 0 {
		return nil
	}
	for ctx.Err() == nil && se.due(sl, p) {
		n, err := se.claim(ctx, sl, p)
		if err != nil || n == 0 {
			return err
		}
		sl.claimed = true
		open, _, _ := sl.st.summary()
		sl.nextClaim = time.Now().Add(stretch(se.src.cfg.Claim.Interval.D(), open))
		if int(n) < se.src.deps.BatchRecords || open >= openStep {
			return nil
		}
		sl.nextClaim, p.ttl = time.Time{}, -1 // a big one: look again at once
	}
	return nil
}

// due tells whether a list that has elements is to be claimed now.
func (se *session) due(sl *slot, p probe) bool {
	switch {
	case sl.st == nil || sl.st.failed() != nil || se.src.stopped.Load():
		return false
	case sl.list.expires() && p.ttl >= 0 && p.ttl < urgentTTL:
		return true
	case !se.drain.Willing():
		return false
	}
	return !time.Now().Before(sl.nextClaim)
}

// stretch is the interval while so many claims are open.
func stretch(interval time.Duration, open int) time.Duration {
	for range open / openStep {
		if interval *= 2; interval >= maxInterval {
			return maxInterval
		}
	}
	return interval
}

// claim makes one claim and returns its length, 0 if there was none to make.
func (se *session) claim(ctx context.Context, sl *slot, p probe) (uint32, error) {
	st := sl.st
	owed := sl.list.owed(se.drain)
	if len(owed.Sinks) == 0 {
		return 0, nil
	}
	c, seq, err := claim(ctx, se.c, se.owner(), sl.list, st.id.Lineage, st.next(), owed)
	var home *homeError
	switch {
	case err == nil:
		st.added(c, owed.JSON, seq)
		se.src.count(uint64(c.Len))
		se.wake()
		return c.Len, nil
	case errors.Is(err, errNothing):
		return 0, nil
	case errors.Is(err, errLost), errors.Is(err, errEpoch):
		se.log.Info("a list is read anew", "list", sl.list.name, "reason", err)
		st.close(err)
		se.drop(sl)
		return 0, nil
	case errors.As(err, &home):
		se.src.say("home "+sl.list.name, "a list waits for another state directory; `sluice release` lets this pump have it",
			"list", sl.list.name, "home", home.home)
		return 0, se.shield(ctx, sl, p)
	}
	return 0, se.failing(ctx, sl, p, "claim", err)
}
