package main

import (
	"context"
	"errors"
	"time"

	"sluice/internal/fault"
)

func busCases() []scenario {
	return []scenario{
		{name: "Kafka between: edges, workers and the broker die", long: true, pumps: 4, rate: 300, shape: shape{Bus: true},
			means: "two edges fill a topic that two workers empty into the stores; each of them and the broker is killed, edges and workers are frozen " +
				"past their lease and session, answers of the broker are cut and lost, a sink is gone",
			run: busFaults},
	}
}

// busRounds is how often each is hurt.
const busRounds = 2

func busFaults(ctx context.Context, w *world) error {
	return w.load(ctx, func(ctx context.Context) error {
		if err := w.pause(ctx, 4*time.Second); err != nil {
			return err
		}
		for range busRounds {
			for _, f := range []func(context.Context) error{w.killEach, w.killBroker, w.freezeEach, w.hurtBusWays, w.sinkGone} {
				if err := f(ctx); err != nil {
					return err
				}
			}
		}
		return w.pause(ctx, 2*time.Second)
	})
}

// busy is whether a pump of a role has something to do.
func (w *world) busy(ctx context.Context, p *pump) int64 {
	if p.role == worker {
		return w.waits(ctx)
	}
	return w.inWork(ctx)
}

// slowBroker lets answers to edges take a while, so that an edge is at work when something is done to it.
const slowBroker = 400 * time.Millisecond

func (w *world) killEach(ctx context.Context) error {
	w.ways[edge].proxy.Set(fault.Rule{Latency: slowBroker})
	defer w.ways[edge].proxy.Set(fault.Rule{})
	for _, p := range w.pumps {
		w.count(p.role+": kill -9", w.busy(ctx, p))
		if err := errors.Join(p.kill(), w.pause(ctx, 400*time.Millisecond), p.start(), w.pause(ctx, 1500*time.Millisecond)); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) killBroker(ctx context.Context) error {
	w.count("broker: kill -9", w.inWork(ctx)+w.waits(ctx))
	if err := errors.Join(w.broker.Kill(), w.pause(ctx, 500*time.Millisecond), w.broker.Start(ctx)); err != nil {
		return err
	}
	return w.pause(ctx, 3*time.Second)
}

func (w *world) freezeEach(ctx context.Context) error {
	w.ways[edge].proxy.Set(fault.Rule{Latency: slowBroker})
	defer w.ways[edge].proxy.Set(fault.Rule{})
	for _, p := range w.pumps {
		w.count(p.role+": frozen past its lease", w.busy(ctx, p))
		if err := errors.Join(p.freeze(), w.pause(ctx, 2*lease)); err != nil {
			return err
		}
		p.thaw()
	}
	return w.pause(ctx, time.Second)
}

func (w *world) hurtBusWays(ctx context.Context) error {
	for _, f := range []struct {
		kind string
		rule fault.Rule
	}{
		{"reply of the broker cut in its middle", fault.Rule{Cut: 0.4}},
		{"request carried out, reply of the broker lost", fault.Rule{Deaf: true}},
		{"requests delivered late", fault.Rule{Hold: 3 * time.Second}},
	} {
		for _, role := range []string{edge, worker} {
			if err := w.obstruct(ctx, role+": "+f.kind, w.ways[role].proxy, f.rule, 2*time.Second); err != nil {
				return err
			}
		}
	}
	return nil
}

// sinkGone holds the workers up, and kills one of them before the sink is back.
func (w *world) sinkGone(ctx context.Context) error {
	raw, p := w.ways["raw"].proxy, w.pumps[len(w.pumps)-1]
	before := raw.Hits()
	raw.Set(fault.Rule{Refuse: true})
	if err := errors.Join(w.pause(ctx, 2*time.Second), p.kill(), p.start(), w.pause(ctx, 2*time.Second)); err != nil {
		return err
	}
	w.count("raw: gone", raw.Hits()-before)
	raw.Set(fault.Rule{})
	return w.pause(ctx, time.Second)
}
