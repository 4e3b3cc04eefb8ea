package pipeline

import (
	"context"
	"fmt"
	"time"
)

// sheds tells whether the lane may give records up.
func (l *lane) sheds() bool { return l.run.sheds && l.spool != nil }

// mustShed tells whether the oldest record is to be given up now: the sink is down, the source has no room (age alone is no
// reason), and there is no spool, or it cannot be written.
func (l *lane) mustShed() bool {
	if !l.sheds() || !l.run.down() || l.spools() && !l.run.trouble.now() {
		return false
	}
	return l.fresh() != nil && l.spool.stream.Short(time.Time{}) != ""
}

// shedOne gives up the oldest batch that the sink is owed: the first in its spool, else the first in the source. Nothing of
// it may be held by the sink. It is booked as filtered and as shed, in the step that moves past it.
func (l *lane) shedOne(ctx context.Context) {
	if err := l.shedBatch(ctx); err != nil && ctx.Err() == nil {
		l.run.failed(err)
		l.log.Error("records cannot be shed; they wait in Redis, which runs short of room", "err", err)
	}
	_ = sleep(ctx, guardLook) // until it shows what that gained: more must not go than has to. Its end shows in the next step
}

// shedStep is how many batches are shed of what lies in the source before it is looked at again: with batches of 5,000
// records that is 20,000 records a second of a list.
const shedStep = 4

func (l *lane) shedBatch(ctx context.Context) error {
	if err := l.settler.drained(ctx); err != nil {
		return err
	}
	if m, ok := l.members.Recorded(); ok {
		return fmt.Errorf("an object from %s to %s was begun: it must be written as it was recorded", m.From, m.To)
	}
	r, from, err := l.oldest(ctx)
	if err != nil || r.To == 0 {
		return err
	}
	n := uint64(r.To - r.From)
	if p := l.part; p != nil && p.Claim == r.Claim && p.From == r.From && p.To <= r.To && p.unspooled == r.unspooled {
		r.To, r.Counts, n = p.To, p.Counts, p.left // the sink has the others
	}
	l.part = nil
	r.Counts.Filtered, r.Counts.Shed = r.Counts.Filtered+n, n
	l.log.Error("records are shed: the sink is down, and neither Redis nor the spool has room for them", "why", l.spool.stream.Short(time.Time{}),
		"records", r.Counts.Shed, "from", Position{r.Claim, r.From}, "to", Position{r.Claim, r.To}, "claimed", r.Claimed, "place", from)
	err = l.settler.insist(ctx, func() error {
		if r.unspooled {
			return l.settler.spool.Unspool(ctx, l.run.name, []Settled{r})
		}
		return l.stream.Settle(ctx, l.run.name, []Settled{r})
	})
	if err != nil {
		return err
	}
	l.settler.moved([]Settled{r})
	l.run.trouble.retry()
	return nil
}

// oldest is the first range that the sink is owed, and where it lies: a batch of the spool, or a few in the source.
func (l *lane) oldest(ctx context.Context) (r Settled, where string, err error) {
	if s, ok := l.spool.now(); ok {
		place := l.spool.place(s.Where)
		if place == nil {
			return r, "", fmt.Errorf("the spool %s is not to be reached from here", s.Where)
		}
		l.spool.starts, l.spool.last = nil, nil
		src, err := l.spool.find(ctx, place, s.From)
		if err != nil {
			return r, "", err
		}
		h := &src.head
		r = Settled{Claim: h.Claim, From: h.From, To: h.To, Claimed: h.ClaimTime, unspooled: true}
		if s.From.Claim == h.Claim {
			r.From = max(r.From, s.From.Index)
		}
		return r, s.Where, nil
	}
	c := l.fresh()
	if c == nil || !l.serves(c) {
		return r, "", nil
	}
	r = Settled{Claim: c.ID, From: l.settler.cursor(c), Claimed: c.Time}
	r.To = r.From + min(c.Len-r.From, shedStep*uint32(l.limits.Records))
	return r, "Redis", nil
}
