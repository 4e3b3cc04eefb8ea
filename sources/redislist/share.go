package redislist

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"sluice/internal/crash"
	"sluice/internal/pipeline"
)

// sharing is how the lists of a place are spread over the pumps that work there: each that lives is named in a hash of its own,
// and none has more lists than its part. It only steers: leases decide who has a list.
type sharing struct {
	next time.Time
	fair int // most lists that this pump should have; 0: as many as there are
}

// group marks pumps that feed the same sinks. Others cannot take lists off each other, so they share none.
func (se *session) group() string {
	h := sha256.New()
	for _, k := range []pipeline.Kind{pipeline.Analytics, pipeline.Uptime} {
		fmt.Fprintf(h, "%q", se.drain.Owes(k).Sinks)
	}
	return hex.EncodeToString(h.Sum(nil)[:4])
}

// pumpsKey is where the pumps of a place are named, beside its first list.
func (se *session) pumpsKey() string { return se.slots[0].list.registry() + ":pumps" }

// shares tells whether lists may move to other pumps: not while they feed stores of this machine alone.
func (se *session) shares() bool {
	return !se.src.deps.Alone && !se.src.cfg.Embedded && len(se.slots) > 1 && !se.drain.Owes(pipeline.Analytics).Local
}

// share says that this pump lives, counts the others, and gives back what it has beyond its part. Nobody else works on the slots
// meanwhile.
func (se *session) share(ctx context.Context) error {
	lease := se.src.cfg.Claim.Lease.D()
	if !se.shares() || se.src.stopped.Load() || time.Now().Before(se.sharing.next) {
		return nil
	}
	se.sharing.next = time.Now().Add(lease / 3)
	pumps, err := se.pumps(ctx, lease)
	if err != nil {
		if se.c.failed() || ctx.Err() != nil {
			return err
		}
		se.sharing.fair = 0 // Redis is full, say
		se.src.say("pumps", "the pumps of this Redis cannot be counted, the lists are not spread", "err", err)
		return nil
	}
	busy, ours := 0, []*slot{}
	for _, sl := range se.slots {
		if sl.st != nil {
			ours = append(ours, sl)
		}
		if sl.st != nil || sl.other || sl.waiting > 0 {
			busy++
		}
	}
	if se.sharing.fair = 0; pumps > 1 {
		se.sharing.fair = max(1, (busy+pumps-1)/pumps)
	}
	for i, n := len(ours)-1, len(ours); i >= 0 && se.sharing.fair > 0 && n > se.sharing.fair; i-- {
		sl := ours[i]
		if len(sl.st.Spools()) > 0 { // perhaps in a directory that only this pump has
			continue
		}
		n--
		se.log.Debug("a list is left to another pump", "list", sl.list.name, "pumps", pumps, "part", se.sharing.fair)
		se.src.GiveBack(sl.st)
	}
	return nil
}

// pumps names this pump as one that lives for so long, or not at all, and counts those that do.
func (se *session) pumps(ctx context.Context, lives time.Duration) (int, error) {
	crash.Before("redis/pumps")
	r, _, err := se.c.eval(ctx, pumpsScript, []string{se.pumpsKey()}, []string{se.src.deps.Token, millis(lives), se.group()})
	crash.After("redis/pumps")
	if err != nil {
		return 0, err
	}
	if r.word() != "ok" {
		return 0, errors.New("script pumps: strange answer " + r.word())
	}
	return int(r.int(1)), nil
}

// leave ends this pump's part, so that others need not wait for it.
func (se *session) leave(ctx context.Context) {
	if !se.shares() || se.sharing.next.IsZero() {
		return
	}
	if _, err := se.pumps(ctx, 0); err != nil {
		se.log.Debug("the pump is named among the living until its lease is over", "err", err)
	}
}

// enough tells whether this pump has its part of the lists, so that a free one is left to others for a lease.
func (se *session) enough(sl *slot, now time.Time) bool {
	if se.sharing.fair == 0 {
		return false
	}
	se.mu.Lock()
	held := len(se.streams)
	se.mu.Unlock()
	if held < se.sharing.fair {
		sl.left = time.Time{}
		return false
	}
	if sl.left.IsZero() {
		sl.left = now
	}
	if now.Sub(sl.left) < se.src.cfg.Claim.Lease.D() {
		return true
	}
	sl.left = now // nobody took it, or somebody has it: it is asked for once
	return false
}
