package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	bus "sluice/internal/kafka"
	"sluice/internal/pipeline"
)

const (
	claimRecords = 20_000                 // most of a claim
	openClaims   = 16                     // how many may wait for a sink that is behind; each costs some 60 bytes with the offset
	again        = 500 * time.Millisecond // after a failed read
	heldLook     = 5 * time.Second        // how often it is looked whether a gap was filled
)

// follower scans a partition: what it is to deliver becomes claims.
type follower struct {
	s     *stream
	drain pipeline.Drain
	judge *judge
	next  int64 // offset to be read next

	only     string // sink that alone gets what is gathered; empty: all
	gathered []pipeline.Element
	repeats  []bool
	bytes    int64
	oldest   time.Time
	since    time.Time // when gathering began
}

// run works until ctx is done. Its error closes the stream.
func (f *follower) run(ctx context.Context) error {
	s := f.s
	var err error
	if f.judge, err = newJudge(s.st); err != nil {
		return err
	}
	f.next = s.st.base
	for _, c := range slices.Clone(s.st.Claims) { // as they were committed: the pipeline has none of them yet
		if err := f.reopen(ctx, c); err != nil {
			return err
		}
	}
	for ctx.Err() == nil {
		if err := s.failed(); err != nil { // what is remembered is void: the group's state is to be read anew
			return err
		}
		if err := f.step(ctx); err != nil && ctx.Err() == nil {
			s.src.say("read "+s.id.List, "a partition cannot be read, trying again", "partition", s.id.List, "err", err)
			_ = sleep(ctx, again) // the loop looks at ctx
		}
	}
	return nil
}

// reopen scans a claim that was open when the partition became ours.
func (f *follower) reopen(ctx context.Context, c claim) error {
	s := f.s
	until := c.First + int64(c.Len)
	for f.next < until {
		got, err := s.read.fetch(ctx, s.partition, f.next, until, fetchWait)
		if errors.Is(err, errLogMoved) {
			f.hold(fmt.Sprintf("offset %d, which is claimed and not settled, is not in the log any more", f.next), s.release())
		}
		if err != nil {
			s.src.say("read "+s.id.List, "a partition cannot be read, trying again", "partition", s.id.List, "err", err)
			if err := sleep(ctx, again); err != nil {
				return err
			}
			continue
		}
		for j := range got.messages {
			v := f.judge.see(&got.messages[j])
			if v == bus.Gap { // claimed, thus one that came too early, see gap
				filled, err := f.filled(ctx, &got.messages[j])
				if err != nil {
					break // it is read again
				}
				if !filled {
					return fmt.Errorf("partition %s, offset %d: a gap within what was claimed: the topic is not what it was", s.id.List, got.messages[j].offset)
				}
			}
			f.gather(&got.messages[j], v != bus.Take)
		}
	}
	f.release()
	s.publish(&c, f.cut(time.UnixMilli(c.Ms)))
	return nil
}

// step reads on, once.
func (f *follower) step(ctx context.Context) error {
	s := f.s
	if err := f.room(ctx); err != nil {
		return err
	}
	wait := fetchWait
	if len(f.gathered) > 0 {
		wait = max(time.Millisecond, min(wait, s.src.cfg.Linger.D()-time.Since(f.since)))
	}
	got, err := s.read.fetch(ctx, s.partition, f.next, 0, wait)
	if errors.Is(err, errLogMoved) {
		f.hold(fmt.Sprintf("offset %d is not in the log: it fell to the topic's retention before a worker came, or the topic went back", f.next), s.release())
		return sleep(ctx, heldLook)
	}
	if err != nil {
		return err
	}
	f.note(got.end)
	for i := range got.messages {
		m := &got.messages[i]
		if err := f.apart(ctx, m); err != nil {
			return err
		}
		v := f.judge.see(m)
		if v == bus.Gap {
			return f.gap(ctx, m)
		}
		f.release()
		f.gather(m, v == bus.Repeat)
		if len(f.gathered) >= claimRecords || f.bytes >= s.src.share()/2 {
			if err := f.claim(ctx); err != nil {
				return err
			}
			if err := f.room(ctx); err != nil {
				return err
			}
		}
	}
	if len(f.gathered) > 0 && (time.Since(f.since) >= s.src.cfg.Linger.D() || len(f.gathered) >= s.src.deps.BatchRecords) {
		return f.claim(ctx)
	}
	return nil
}

// room waits while too many claims are open, or nothing more is to be claimed.
func (f *follower) room(ctx context.Context) error {
	for {
		f.s.mu.Lock()
		full, changed := len(f.s.st.Claims) >= openClaims || f.s.ahead(), f.s.changed
		f.s.mu.Unlock()
		if !full && !f.s.src.stopped.Load() {
			return nil
		}
		select {
		case <-changed:
		case <-time.After(again):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (f *follower) gather(m *message, repeat bool) {
	if len(f.gathered) == 0 {
		f.since, f.oldest, f.only = time.Now(), m.time, m.header.Only
	}
	e := m.element(repeat)
	f.gathered, f.repeats = append(f.gathered, e), append(f.repeats, repeat)
	f.bytes += e.Len + perElement
	f.next = m.offset + 1
}

// perElement is about what an element weighs beside its payload.
const perElement = 80

// cut makes a window of what is gathered, for a claim of that time.
func (f *follower) cut(at time.Time) *window {
	w := &window{first: f.next - int64(len(f.gathered)), elements: f.gathered, repeats: f.repeats, bytes: f.bytes, oldest: f.oldest}
	w.seen, w.open = f.judge.seen(at)
	f.gathered, f.repeats, f.bytes = nil, nil, 0
	return w
}

// claim records what is gathered, then hands it on.
func (f *follower) claim(ctx context.Context) error {
	s, now := f.s, time.Now()
	w := f.cut(now)
	var made claim
	owed := f.drain.Owes(pipeline.Analytics)
	if f.only != "" {
		owed.Sinks = []string{f.only}
	}
	err := s.change(ctx, func(st *state) error {
		made = *st.add(uint32(len(w.repeats)), now, owed)
		s.taken += uint64(made.Len)
		return nil
	})
	if err != nil {
		s.close(err)
		return err
	}
	s.publish(&made, w)
	s.src.count(uint64(made.Len))
	return nil
}

// note keeps where the log ends, and what waits.
func (f *follower) note(end int64) {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	f.s.end, f.s.waits = end, time.Time{}
	if len(f.gathered) > 0 {
		f.s.waits = f.oldest
	}
}

// gap holds before a message whose predecessor is missing, unless the edge has sent all of it anew further on: then this is
// a copy that came too early.
func (f *follower) gap(ctx context.Context, m *message) error {
	if len(f.gathered) > 0 {
		if err := f.claim(ctx); err != nil {
			return err
		}
	}
	filled, err := f.filled(ctx, m)
	if err != nil {
		return err
	}
	if filled {
		f.release()
		f.gather(m, true)
		return nil
	}
	p := f.judge.passed[m.header.Lineage]
	f.hold(fmt.Sprintf("before offset %d messages %d to %d of list %s are missing", m.offset, p.Number+1, m.header.Number-1, m.header.Lineage), f.s.release())
	return sleep(ctx, heldLook)
}

// filled tells whether the message comes again behind what is missing before it.
func (f *follower) filled(ctx context.Context, held *message) (bool, error) {
	j := f.judge.clone()
	for next := held.offset + 1; ; {
		got, err := f.s.read.fetch(ctx, f.s.partition, next, 0, time.Millisecond)
		if err != nil {
			return false, err
		}
		for i := range got.messages {
			m := &got.messages[i]
			if m.hole || m.bad != "" || m.header.Lineage != held.header.Lineage || j.see(m) != bus.Take {
				continue
			}
			if m.header.Position.Compare(held.header.Position) >= 0 {
				return m.header.Position == held.header.Position, nil
			}
		}
		next += int64(len(got.messages))
		if len(got.messages) == 0 || next >= got.end {
			return false, nil
		}
	}
}

// release is how an operator gives up what is missing.
func (s *stream) release() string {
	return "it goes on when an edge sends them again, or with sluice release --role worker " + s.id.List
}

// hold says why nothing goes on, and what cures it; release that it does.
func (f *follower) hold(why, cure string) {
	f.s.mu.Lock()
	before := f.s.held
	f.s.held = why
	f.s.mu.Unlock()
	if before != why {
		f.s.src.alarm(f.s.id.List, why, cure)
	}
}

func (f *follower) release() {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	f.s.held = ""
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
