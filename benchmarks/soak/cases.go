package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"sluice/internal/fault"
)

// scenario is a directed case: one fault, or a few, met on purpose, and the same judge.
type scenario struct {
	name  string
	means string // what is done, and what is demanded beyond the judge's rules
	long  bool   // not in a test run
	pumps int
	rate  int // records a second; 0: 150
	shape shape
	run   func(ctx context.Context, w *world) error
}

// scenarios are all directed cases.
func scenarios() []scenario {
	return slices.Concat(pumpCases(), freezeCases(), refusalCases(), payloadCases(), redisCases(), replicaCases(), gatewayCases(),
		diskCases(), mongoCases(), clockCases(), topologyCases(), busCases())
}

// chosen are the cases whose names match; nil: all.
func chosen(names *regexp.Regexp) []scenario {
	return slices.DeleteFunc(scenarios(), func(c scenario) bool { return names != nil && !names.MatchString(c.name) })
}

// direct runs a case with what of the settings is not the case's own.
func direct(ctx context.Context, c scenario, o settings) (verdict, error) {
	o.scenario, o.shape, o.pumps, o.rate, o.duration, o.only = &c, c.shape, c.pumps, c.rate, caseTime, nil
	if o.rate == 0 {
		o.rate = 150
	}
	if c.shape.steps {
		var err error
		if o.binary, err = buildSteppable(ctx, o.dir); err != nil {
			return verdict{}, err
		}
	}
	return soak(ctx, o)
}

// caseTime bounds the load of a case.
const caseTime = 10 * time.Minute

// count notes a fault of a case and how often it has met a pump at work.
func (w *world) count(kind string, met int64) {
	w.found.Faults[kind]++
	w.found.Met[kind] += met
	w.opts.log("%s %s: met %d", w.clock(), kind, met)
}

// catch waits until a pump is at work and counts a fault that strikes now.
func (w *world) catch(ctx context.Context, kind string) error {
	err := w.await(ctx, "a pump is at work", func() (bool, error) { return w.inWork(ctx) > 0, nil })
	if err == nil {
		w.count(kind, 1)
	}
	return err
}

// obstruct puts a rule on a way for a while, and longer as long as nothing has come along it.
func (w *world) obstruct(ctx context.Context, kind string, proxy *fault.Proxy, rule fault.Rule, d time.Duration) error {
	before := proxy.Hits()
	proxy.Set(rule)
	defer proxy.Set(fault.Rule{})
	if err := w.pause(ctx, d); err != nil {
		return err
	}
	err := w.await(ctx, "something meets: "+kind, func() (bool, error) { return proxy.Hits() > before, nil })
	w.count(kind, proxy.Hits()-before)
	return err
}

// demandHits holds that every fault of a case has met something: one that did not has proven nothing.
func (w *world) demandHits() {
	for _, k := range sortedKeys(w.found.Faults) {
		if w.found.Met[k] == 0 {
			w.violated("the fault %q has met nothing", k)
		}
	}
}

// load runs f while the gateway pushes.
func (w *world) load(ctx context.Context, f func(context.Context) error) error {
	before := w.found.Gauge
	err := w.during(ctx, caseTime, f)
	w.found.Gauge.PeakRSS = max(w.found.Gauge.PeakRSS, before.PeakRSS)
	return err
}

// pause waits while the load goes on; pumps that end by themselves are noticed.
func (w *world) pause(ctx context.Context, d time.Duration) error {
	return errors.Join(w.watch(ctx, time.Now().Add(d)), ctx.Err())
}

// settled waits until everything that was pushed is delivered.
func (w *world) settled(ctx context.Context) error {
	return w.await(ctx, "everything is delivered", func() (bool, error) {
		n, err := w.unclaimed(ctx)
		return n == 0 && w.inWork(ctx) == 0, err
	})
}

// unclaimed is how many elements lie in lists of the gateway.
func (w *world) unclaimed(ctx context.Context) (n int64, err error) {
	keys, err := w.keys(ctx, "*analytics*")
	if err != nil {
		return 0, err
	}
	for _, k := range keys {
		if k[0] == '{' || strings.HasPrefix(k, pushedKey) {
			continue
		}
		m, err := w.client.Do(ctx, w.client.B().Llen().Key(k).Build()).AsInt64()
		if err != nil {
			return 0, err
		}
		n += m
	}
	return n, nil
}

// startAll starts the pumps that do not run.
func (w *world) startAll() error {
	for _, p := range w.pumps {
		if p.proc == nil {
			if err := p.start(); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
		}
	}
	return nil
}

func (w *world) killAll() (err error) {
	for _, p := range w.pumps {
		err = errors.Join(err, p.kill())
	}
	return err
}

// logged is how often the pumps have written some words.
func (w *world) logged(words string) (n int64, err error) {
	for _, p := range w.pumps {
		m, err := p.logged(words)
		if err != nil {
			return 0, err
		}
		n += m
	}
	return n, nil
}
