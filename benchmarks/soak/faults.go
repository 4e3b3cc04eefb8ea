package main

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"
)

// faultKind is one way to hurt one target. A target has one fault at a time.
type faultKind struct {
	name        string
	target      string
	least, most time.Duration // how long it lasts
	apply       func(ctx context.Context, rnd *rand.Rand) error
	heal        func(ctx context.Context) error
	// met counts, ever, what faults of this target have met: the difference between the beginning and the end of one is
	// what it has met itself. nil: it meets what a pump is at when it begins.
	met func(ctx context.Context) int64
}

// faults are those to inject.
func (w *world) faults() (out []faultKind) {
	for _, name := range sortedKeys(w.ways) {
		out = append(out, w.onTheWay(name)...)
		if w.ways[name].gate != nil {
			out = append(out, w.ofHTTP(name)...)
		}
	}
	for _, p := range w.pumps {
		out = append(out, w.ofPump(p)...)
	}
	out = append(out, w.ofRedis()...)
	out = append(out, w.ofSearch()...)
	out = append(out, w.ofMongo()...)
	return slices.DeleteFunc(out, func(k faultKind) bool { return w.opts.only != nil && !w.opts.only.MatchString(k.name) })
}

// begin injects a fault and returns what ends it, also when it cannot say whether it was injected.
func (w *world) begin(ctx context.Context, k faultKind, rnd *rand.Rand) (end func(context.Context) error, err error) {
	before := w.met(ctx, k)
	err = k.apply(ctx, rnd)
	w.found.Faults[k.name]++
	if k.met == nil {
		w.found.Met[k.name] += before
	}
	return func(ctx context.Context) error {
		if k.met != nil { // before it ends, since a server that starts again forgets its counts
			if n := w.met(ctx, k) - before; n > 0 {
				w.found.Met[k.name] += n
			}
		}
		if k.heal == nil {
			return nil
		}
		return k.heal(ctx)
	}, err
}

func (w *world) met(ctx context.Context, k faultKind) int64 {
	if k.met != nil {
		return k.met(ctx)
	}
	return w.inWork(ctx)
}

// openClaims are the keys of claims: other keys beside a registry have no dash in their last part.
const openClaims = "{*}:sluice:*-*"

// inWork is 1 when a pump has claimed something that is not delivered yet: then whatever happens to it meets it at work.
func (w *world) inWork(ctx context.Context) int64 {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second) // Redis may be frozen
	defer cancel()
	keys, err := w.keys(ctx, openClaims)
	if err != nil || len(keys) == 0 {
		return 0
	}
	return 1
}
