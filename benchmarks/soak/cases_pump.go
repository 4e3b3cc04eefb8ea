package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"sluice/internal/fault"
)

// killings is how often a pump is killed where many kills are the point.
const killings = 100

func pumpCases() []scenario {
	return []scenario{
		{name: "kill -9, a hundred times", long: true, pumps: 3, rate: 300, shape: shape{Spool: "s3"},
			means: "three pumps, each killed and started again again and again, now and then with a sink gone and a spool in use",
			run:   hundredKills},
		{name: "five pumps on one Redis", long: true, pumps: 5, rate: 300,
			means: "in turn one is killed, one ends in good order and one is frozen past its lease and wakes up, so that each list changes hands",
			run:   fivePumps},
		{name: "spool in a bucket, pumps killed in turn", long: true, pumps: 3, shape: shape{Spool: "s3"},
			means: "two sinks are gone, pumps die while they spool and while they bring back; another one goes on with the same spool",
			run:   bucketSpool},
		{name: "take-over with another compression", long: true, pumps: 2, shape: shape{compress: []string{"zstd", "gzip"}},
			means: "objects are stored and the answer denied, their owner is killed, and a pump with another compression goes on",
			run:   otherCompression},
	}
}

func hundredKills(ctx context.Context, w *world) error {
	rnd := rand.New(rand.NewPCG(w.opts.seed, 0xdead))
	return w.load(ctx, func(ctx context.Context) error {
		raw := w.ways["raw"].proxy
		for i := range killings {
			switch i % 25 {
			case 5:
				raw.Set(fault.Rule{Refuse: true})
			case 20:
				raw.Set(fault.Rule{})
			}
			p := w.pumps[rnd.IntN(len(w.pumps))]
			w.count("kill -9", w.inWork(ctx))
			if err := p.kill(); err != nil {
				return err
			}
			if err := w.pause(ctx, time.Duration(rnd.IntN(200))*time.Millisecond); err != nil {
				return err
			}
			if err := p.start(); err != nil {
				return err
			}
			if err := w.pause(ctx, time.Duration(150+rnd.IntN(600))*time.Millisecond); err != nil {
				return err
			}
		}
		return nil
	})
}

func fivePumps(ctx context.Context, w *world) error {
	rnd := rand.New(rand.NewPCG(w.opts.seed, 0xf1fe))
	return w.load(ctx, func(ctx context.Context) error {
		for i := range 2 * len(w.pumps) {
			if err := w.pause(ctx, time.Second); err != nil {
				return err
			}
			one, other := w.pumps[i%len(w.pumps)], w.pumps[(i+1)%len(w.pumps)]
			met := w.inWork(ctx)
			if i%3 == 2 {
				w.count("SIGTERM, and killed when busy", met)
				if err := one.hurry(time.Duration(rnd.IntN(1500)) * time.Millisecond); err != nil {
					return err
				}
			} else {
				w.count("kill -9", met)
				if err := one.kill(); err != nil {
					return err
				}
			}
			w.count("frozen past its lease", met)
			if err := errors.Join(other.freeze(), w.pause(ctx, lease+lease/2)); err != nil {
				return err
			}
			other.thaw()
			if err := one.start(); err != nil {
				return err
			}
		}
		return nil
	})
}

func bucketSpool(ctx context.Context, w *world) error {
	return w.load(ctx, func(ctx context.Context) error {
		gone := func(r fault.Rule) {
			w.ways["raw"].proxy.Set(r)
			w.ways["search"].proxy.Set(r)
		}
		for _, phase := range []string{"kill -9 while batches go to the spool", "kill -9 while the spool comes back"} {
			gone(fault.Rule{Refuse: phase == "kill -9 while batches go to the spool"})
			if err := w.pause(ctx, 3*time.Second); err != nil {
				return err
			}
			for _, p := range w.pumps {
				w.count(phase, min(1, w.spooled(ctx)))
				if err := p.kill(); err != nil {
					return err
				}
				if err := w.pause(ctx, lease/2); err != nil {
					return err
				}
				if err := p.start(); err != nil {
					return err
				}
			}
			if phase == "kill -9 while batches go to the spool" {
				gate := w.ways["archive"].gate
				before := gate.Hits()
				gate.Set(fault.HTTPRule{Chance: 0.5, Status: 500, After: true, Method: http.MethodPut})
				if err := w.pause(ctx, 3*time.Second); err != nil {
					return err
				}
				gate.Set(fault.HTTPRule{})
				w.count("bucket: 500 after it was stored", gate.Hits()-before)
			}
		}
		return nil
	})
}

// there is in the answer to a conditional PUT whose object is there.
const there = "PreconditionFailed"

func otherCompression(ctx context.Context, w *world) error {
	gate := w.ways["archive"].gate
	gate.Watch(there)
	return w.load(ctx, func(ctx context.Context) error {
		for i := range 8 {
			gate.Set(fault.HTTPRule{Chance: 0.7, Status: 500, After: true, Method: http.MethodPut})
			if err := w.pause(ctx, 1500*time.Millisecond); err != nil {
				return err
			}
			before := gate.Seen(there)
			p := w.pumps[i%len(w.pumps)]
			if err := p.kill(); err != nil {
				return err
			}
			gate.Set(fault.HTTPRule{})
			if err := w.pause(ctx, lease+time.Second); err != nil {
				return err
			}
			if err := p.start(); err != nil {
				return err
			}
			w.count("taken over while an object was there already", gate.Seen(there)-before)
		}
		return nil
	})
}

func freezeCases() []scenario {
	frozen := func(what, way, method, suffix string) scenario {
		return scenario{name: "owner frozen in the middle of a " + what + " for three leases", pumps: 2, shape: shape{idle: true},
			means: "SIGSTOP while the store has the request, once before and once long after it takes effect; another pump takes over; SIGCONT",
			run: func(ctx context.Context, w *world) error {
				return w.load(ctx, func(ctx context.Context) error { return w.freezeInside(ctx, way, method, suffix) })
			}}
	}
	return []scenario{
		frozen("bulk", "search", http.MethodPost, "_bulk"),
		frozen("PUT", "archive", http.MethodPut, ""),
	}
}

// freezeInside freezes the only pump at the moment when a server has its request, lets another one take over, and thaws
// it. The request takes effect at once in the first round, and after the take-over in the second.
func (w *world) freezeInside(ctx context.Context, way, method, suffix string) error {
	owner, other, gate := w.pumps[0], w.pumps[1], w.ways[way].gate
	for _, late := range []bool{false, true} {
		if err := other.kill(); err != nil {
			return err
		}
		if owner.proc == nil {
			if err := owner.start(); err != nil {
				return err
			}
		}
		if err := w.pause(ctx, lease+1500*time.Millisecond); err != nil {
			return err
		}
		in, on := make(chan struct{}, 1), make(chan struct{})
		gate.Set(fault.HTTPRule{Chance: 1, Only: 1, Pass: true, Method: method, Suffix: suffix, Met: func() {
			in <- struct{}{}
			<-on
		}})
		select {
		case <-in:
		case <-time.After(giveUp):
			close(on)
			w.count("frozen in the middle of a request", 0)
			return nil
		}
		err := owner.freeze()
		if !late {
			close(on)
		}
		if e := other.start(); err == nil {
			err = e
		}
		if e := w.pause(ctx, 3*lease); err == nil {
			err = e
		}
		if late {
			close(on)
		}
		owner.thaw()
		w.count("frozen in the middle of a request", 1)
		if err != nil {
			return err
		}
		if err := w.pause(ctx, time.Second); err != nil {
			return err
		}
	}
	return nil
}
