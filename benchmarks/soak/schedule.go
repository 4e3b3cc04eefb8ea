package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// step is one fault of a schedule.
type step struct {
	at, lasts time.Duration
	kind      faultKind
	seed      uint64 // of what the fault draws itself
}

// plan draws a schedule: every kind comes once before any comes again, no target has two faults at a time, and the last
// one is over before the duration is.
func plan(seed uint64, duration, pace time.Duration, kinds []faultKind) (out []step) {
	rnd := rand.New(rand.NewPCG(seed, 0x5ced))
	busy := map[string]time.Duration{} // by target: until when
	var deck []faultKind
	at := pace
	for ; at < duration; at += between(rnd, pace/4, 2*pace-pace/4) {
		if len(deck) == 0 {
			deck = slices.Clone(kinds)
			rnd.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		}
		i := slices.IndexFunc(deck, func(k faultKind) bool { return busy[k.target] <= at })
		if i < 0 {
			continue
		}
		s := step{at: at, kind: deck[i], lasts: between(rnd, deck[i].least, deck[i].most), seed: rnd.Uint64()}
		deck = slices.Delete(deck, i, i+1)
		s.lasts = min(s.lasts, duration-at)
		busy[s.kind.target] = at + s.lasts + pace
		out = append(out, s)
	}
	return out
}

func between(rnd *rand.Rand, least, most time.Duration) time.Duration {
	if most <= least {
		return least
	}
	return least + time.Duration(rnd.Int64N(int64(most-least)))
}

// event is the beginning or the end of a step.
type event struct {
	at   time.Duration
	step step
	ends bool
}

// watchEvery is how often it is looked whether all pumps live.
const watchEvery = 200 * time.Millisecond

// play injects the faults at their times and ends each. It returns when ctx is done, with everything ended.
func (w *world) play(ctx context.Context, steps []step) (err error) {
	var events []event
	for _, s := range steps {
		events = append(events, event{at: s.at, step: s})
		events = append(events, event{at: s.at + s.lasts, step: s, ends: true})
	}
	slices.SortStableFunc(events, func(a, b event) int { return int(a.at - b.at) })
	began := time.Now()
	ends := map[uint64]func(context.Context) error{}
	for _, e := range events {
		if err = w.watch(ctx, began.Add(e.at)); err != nil {
			return err
		}
		if end := ends[e.step.seed]; e.ends && end != nil {
			delete(ends, e.step.seed)
			// Whatever began is ended, though the time may be over.
			err = errors.Join(err, end(context.WithoutCancel(ctx)))
		} else if !e.ends && ctx.Err() == nil {
			ends[e.step.seed], err = w.inject(ctx, e.step)
		}
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("%s: %w", e.step.kind.name, err)
		}
	}
	return w.watch(ctx, began.Add(w.opts.duration))
}

func (w *world) inject(ctx context.Context, s step) (end func(context.Context) error, err error) {
	w.opts.log("%s %s (%s, %s)", w.clock(), s.kind.name, s.kind.target, s.lasts.Round(time.Millisecond))
	return w.begin(ctx, s.kind, rand.New(rand.NewPCG(s.seed, 0)))
}

// watch waits until a moment, or until ctx is done, and starts pumps again that ended by themselves.
func (w *world) watch(ctx context.Context, until time.Time) error {
	for {
		for _, p := range w.pumps {
			if p.died() {
				if !w.mayEnd(p) {
					w.violated("%s ended by itself with %d", p.name, p.proc.ExitCode())
				}
				if err := p.start(); err != nil {
					return err
				}
			}
		}
		left := time.Until(until)
		if left <= 0 || ctx.Err() != nil {
			return nil
		}
		select {
		case <-time.After(min(left, watchEvery)):
		case <-ctx.Done():
		}
	}
}

// mayEnd tells that a pump has ended as it is to: it was started while Redis did not take its password. Its supervisor
// starts it again.
func (w *world) mayEnd(p *pump) bool {
	const refusal = "WRONGPASS invalid username-password pair or user is disabled.; see username and password" // what a start ends with
	n, err := p.logged(refusal)
	known := p.refused
	p.refused = n
	return err == nil && n > known && p.proc.ExitCode() == 1
}
