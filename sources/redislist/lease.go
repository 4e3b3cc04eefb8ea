package redislist

import (
	"context"
	"errors"
	"time"

	"github.com/redis/rueidis"

	"sluice/internal/crash"
	"sluice/internal/pipeline"
)

type cmd = rueidis.Completed

// lease takes a list that is not ours, if there is reason to and nobody has it.
func (se *session) lease(ctx context.Context, sl *slot, p probe) error {
	s, now := se.src, time.Now()
	if s.stopped.Load() || s.leftAlone(sl.list.name, now) {
		return nil
	}
	wanted := p.len > 0 && len(sl.list.owed(se.drain).Sinks) > 0
	if (!wanted || now.Before(sl.nextTake)) && now.Before(sl.nextSweep) {
		return nil
	}
	if se.enough(sl, now) {
		return nil
	}
	third := s.cfg.Claim.Lease.D() / 3
	sl.nextSweep = now.Add(third)
	reg, seq, err := take(ctx, se.c, se.owner(), sl.list, newNovelty(s.epoch(sl.list.name)), wanted)
	sl.other = false
	var other *otherError
	var home *homeError
	switch {
	case err == nil:
		sure, err := se.compare(ctx, sl.list, reg)
		if err != nil {
			return err
		}
		se.gain(sl, reg, seq, sure)
		return nil
	case errors.Is(err, errIdle):
		return se.lookBack(ctx, sl.list)
	case errors.As(err, &other):
		sl.other = true
		sl.nextTake = now.Add(min(other.left, third) + 10*time.Millisecond)
		sl.nextSweep = sl.nextTake
		return se.lookBack(ctx, sl.list)
	case errors.As(err, &home):
		s.say("home "+sl.list.name, "a list waits for another state directory; `sluice release` lets this pump have it",
			"list", sl.list.name, "home", home.home)
		sl.nextTake = now.Add(third)
		return se.shield(ctx, sl, p)
	}
	return se.failing(ctx, sl, p, "lease", err)
}

// gain hands a list over that is ours now.
func (se *session) gain(sl *slot, reg *registry, seq uint64, sure assured) {
	s := se.src
	st := newStream(se, sl.list, reg, seq)
	st.sure = sure
	s.know(sl.list.name, reg.Epoch)
	sl.st, sl.nextClaim = st, time.Time{}
	sl.nextRenew = time.Now().Add(s.cfg.Claim.Lease.D() / 3)
	se.mu.Lock()
	se.streams[sl.list.name] = st
	se.mu.Unlock()
	se.log.Debug("leased a list", "list", sl.list.name, "open_claims", len(reg.Claims), "epoch", epochString(reg.Epoch))
	se.drain.Gained(st)
	se.wake()
}

// renew prolongs the lease; a refusal closes the stream.
func (se *session) renew(ctx context.Context, sl *slot) error {
	st := sl.st
	err := renew(ctx, se.c, se.owner(), sl.list, st.id.Lineage, st.epoch)
	switch {
	case err == nil:
		sl.nextRenew = time.Now().Add(se.src.cfg.Claim.Lease.D() / 3)
		return nil
	case se.c.failed() || ctx.Err() != nil:
		return err
	case underway(err): // the lease may run out meanwhile; every script asks for it
		se.src.say("renew "+sl.list.name, "a lease cannot be renewed now, trying again", "list", sl.list.name, "err", err)
		return nil
	}
	se.log.Warn("a lease could not be renewed, the list is read anew", "list", sl.list.name, "err", err)
	st.close(err)
	se.drop(sl)
	if class, _ := pipeline.Classify(err); class == pipeline.FatalError {
		return err
	}
	return nil
}

// failing is what follows when a list cannot be leased or claimed: it is shielded from its TTL, and tried again.
func (se *session) failing(ctx context.Context, sl *slot, p probe, what string, err error) error {
	if se.c.failed() || ctx.Err() != nil {
		return err
	}
	if class, _ := pipeline.Classify(err); class == pipeline.FatalError {
		return err
	}
	if errors.As(err, new(*typeError)) { // it was said when the key was looked at, or will be
		return nil
	}
	se.src.say(what+" "+sl.list.name, "cannot "+what+" a list, trying again", "list", sl.list.name, "err", err)
	return se.shield(ctx, sl, p)
}

// shield prolongs a TTL that runs out before the list might be claimed. A list without one is left so: the gateway is
// to put its own TTL on it, and on lists of protobuf records nobody ever does.
func (se *session) shield(ctx context.Context, sl *slot, p probe) error {
	d := se.src.cfg.Claim.Shield.D()
	if !sl.list.expires() || p.ttl < 0 || p.ttl >= d/2 {
		return nil
	}
	err := se.expire(ctx, sl.list, p.at, int64(d/time.Second))
	if err != nil && !se.c.failed() {
		se.src.say("shield "+sl.list.name, "a list that cannot be claimed could not be shielded from its TTL",
			"list", sl.list.name, "ttl", p.ttl, "err", err)
		return nil
	}
	return err
}

// expire puts a TTL on a list, where it is. A slot may begin to move at any moment.
func (se *session) expire(ctx context.Context, l list, at string, seconds int64) error {
	if at == "" {
		crash.Before("redis/shield")
		_, err := se.c.do(ctx, se.c.conn.B().Expire().Key(l.name).Seconds(seconds).Build())
		crash.After("redis/shield")
		if at = redirected(err, "ASK"); at == "" {
			return err
		}
	}
	c, err := se.asked.node(ctx, se.src.dialer, at)
	if err != nil {
		return err
	}
	crash.Before("redis/shield-elsewhere")
	rs, err := c.ask(ctx, c.conn.B().Expire().Key(l.name).Seconds(seconds).Build())
	crash.After("redis/shield-elsewhere")
	if err != nil {
		return err
	}
	return rs[0].Error()
}

// shieldAll makes every list safe for a while, as far as it can be done, before the source gives up.
func (se *session) shieldAll(ctx context.Context) error {
	probes, err := se.probe(ctx)
	if err != nil {
		return err
	}
	for i, sl := range se.slots {
		if probes[i].kind == "list" {
			if err := se.shield(ctx, sl, probes[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// leftAlone tells whether we gave the list back a short while ago.
func (s *Source) leftAlone(name string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	until, ok := s.given[name]
	return ok && now.Before(until)
}
