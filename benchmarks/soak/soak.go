package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// settings of one soak.
type settings struct {
	seed     uint64
	duration time.Duration
	pumps    int
	rate     int            // records a second
	pace     time.Duration  // mean time between the beginnings of two faults
	race     bool           // the program has the race detector
	scenario *scenario      // a directed case in place of a schedule
	only     *regexp.Regexp // names of the faults to inject; nil: all of them
	binary   string         // the built program
	shape    shape
	dir      string // for everything the soak and its pumps write
	log      func(format string, args ...any)
}

// soak runs once. An error means that it could not be carried out; a broken promise is in the verdict.
func soak(ctx context.Context, o settings) (v verdict, err error) {
	o.log("seed %d: %d pumps, %d records/s, faults for %s", o.seed, o.pumps, o.rate, o.duration)
	w, err := newWorld(ctx, o)
	if err != nil {
		return verdict{}, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	began := time.Now()
	act := w.fire
	if o.scenario != nil {
		w.found.Case = o.scenario.name
		act = func(ctx context.Context) error { return o.scenario.run(ctx, w) }
	}
	if err := act(ctx); err != nil {
		return verdict{}, err
	}
	w.found.Seconds = time.Since(began).Round(100 * time.Millisecond).Seconds()
	w.heal()
	o.log("%s healed: %d records and %d poisoned ones pushed; stopping the pumps and draining the rest",
		w.clock(), w.gen.debts.records, w.gen.debts.poisons)
	w.drain(ctx)
	if ctx.Err() != nil {
		return verdict{}, context.Cause(ctx)
	}
	if err := w.judge(ctx); err != nil {
		return verdict{}, err
	}
	if o.scenario != nil {
		w.demandHits()
	}
	v = w.verdict()
	o.log("%s", v)
	return v, nil
}

// fire runs the generator and the schedule of faults for the duration.
func (w *world) fire(ctx context.Context) error {
	return w.during(ctx, w.opts.duration, func(ctx context.Context) error {
		return w.play(ctx, plan(w.opts.seed, w.opts.duration, w.opts.pace, w.faults()))
	})
}

// during runs f while the gateway pushes at the soak's rate, for so long at most.
func (w *world) during(ctx context.Context, most time.Duration, f func(context.Context) error) error {
	work, stop := context.WithTimeout(ctx, most)
	defer stop()
	generated, measured := make(chan error, 1), make(chan gauge, 1)
	go func() { measured <- w.measure(work) }()
	go func() {
		if w.opts.shape.quiet {
			generated <- nil
			return
		}
		generated <- w.gen.run(work, w.opts.rate)
	}()
	err := f(work)
	stop()
	w.found.Gauge = <-measured
	return errors.Join(err, <-generated, ctx.Err())
}

// rest is what pumps get to settle what they have before they are counted.
const rest = 2 * time.Second

// drain ends the pumps in good order, and lets single runs drain what is left.
func (w *world) drain(ctx context.Context) {
	time.Sleep(rest)
	w.countRoutines(ctx)
	for _, p := range w.pumps {
		p.terminate(w)
	}
	w.drainOnce(ctx, w.pumps[0])
	if w.opts.shape.Bus { // what the edge drained lies in the topic
		w.drainOnce(ctx, w.pumps[len(w.pumps)-1])
	}
	if w.opts.shape.Spool == "dir" || w.opts.shape.Local {
		// What lies on one pump's disk is for that pump; the first one looks again at what they left.
		for _, p := range append(slices.Clone(w.pumps[1:]), w.pumps[0]) {
			if ctx.Err() == nil {
				w.drainOnce(ctx, p)
			}
		}
	}
	if err := w.sweep(ctx); err != nil {
		w.violated("sweep the spools: %v", err)
	}
}

// sweepTime is what a pump gets to remove what crashes left.
const sweepTime = 15 * time.Second

// sweep lets every pump have every list once more, with a record in it, while batches lie in spools: crashes left some
// that nothing names any more, and who gets more of a list removes those of its spools.
func (w *world) sweep(ctx context.Context) error {
	turns := [][]*pump{w.pumps} // with local sinks a list stays with its pump
	if !w.opts.shape.Local {
		turns = nil
		for _, p := range w.pumps {
			turns = append(turns, []*pump{p})
		}
	}
	for _, some := range turns {
		if w.spooled(ctx) == 0 {
			return nil
		}
		for _, p := range some {
			if err := p.start(); err != nil {
				return err
			}
		}
		err := w.gen.one(ctx)
		if err == nil {
			err = w.settled(ctx)
		}
		if err != nil {
			return err
		}
		for end := time.Now().Add(w.patience(sweepTime)); w.spooled(ctx) > 0 && time.Now().Before(end); {
			time.Sleep(pushEvery)
		}
		for _, p := range some {
			p.terminate(w)
		}
	}
	return nil
}

// version of the suite: figures of another one are not comparable. It goes up with kinds of faults and habits of the load.
const version = 2

// verdict is what came of a soak: its figures and every way in which the promise was broken.
type verdict struct {
	Version    int              `json:"suite"`
	Case       string           `json:"case,omitempty"` // empty: a schedule drawn from the seed
	Shape      shape            `json:"shape"`
	Only       string           `json:"only,omitempty"` // faults that it was limited to
	Race       bool             `json:"race,omitempty"` // built with the race detector
	Seed       uint64           `json:"seed"`
	Pumps      int              `json:"pumps"`
	Rate       int              `json:"rate"`       // records a second
	Seconds    float64          `json:"seconds"`    // of load and faults
	Records    int              `json:"records"`    // pushed, repeated payloads included
	Repeated   int              `json:"repeated"`   // of them equal to another to the byte
	Poisoned   int              `json:"poisoned"`   // payloads that do not decode, or of absurd years
	Uptimes    int              `json:"uptimes"`    // uptime records, not among records
	Refused    int              `json:"refused"`    // records that a store was made to refuse, and that are dead letters
	Spooled    int64            `json:"spooled"`    // batches that were seen in spools at once, at most
	Faults     map[string]int   `json:"faults"`     // by kind
	Met        map[string]int64 `json:"met"`        // what they met, by kind
	Injected   int              `json:"injected"`   // sum of the faults
	Hits       int64            `json:"hits"`       // sum of what they met
	Gauge      gauge            `json:"gauge"`      // of the processes
	Losses     int              `json:"losses"`     // effects that are missing in a store
	Doubles    int              `json:"doubles"`    // effects that a store has more than once, or that nobody owes
	Violations []string         `json:"violations"` // all of them, in words
}

func newVerdict() verdict {
	return verdict{Version: version, Faults: map[string]int{}, Met: map[string]int64{}, Violations: []string{}}
}

func (w *world) verdict() verdict {
	v := w.found
	v.Seed, v.Pumps, v.Rate, v.Shape, v.Race = w.opts.seed, w.opts.pumps, w.opts.rate, w.opts.shape, w.opts.race
	v.Records, v.Repeated, v.Poisoned = w.gen.debts.records, w.gen.debts.repeated, w.gen.debts.poisons
	v.Uptimes = len(w.gen.debts.uptimes)
	if w.opts.only != nil {
		v.Only = w.opts.only.String()
	}
	for _, n := range v.Faults {
		v.Injected += n
	}
	for _, n := range v.Met {
		v.Hits += n
	}
	return v
}

// violated notes a broken promise.
func (w *world) violated(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.found.Violations = append(w.found.Violations, text)
	w.opts.log("%s VIOLATION: %s", w.clock(), text)
}

func (v verdict) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, %d pumps, %gs: %d records (%d repeated), %d poisoned, %d uptimes, %d refused, %d faults, %d hits\n",
		v.Seed, v.Pumps, v.Seconds, v.Records, v.Repeated, v.Poisoned, v.Uptimes, v.Refused, v.Injected, v.Hits)
	for _, k := range sortedKeys(v.Faults) {
		fmt.Fprintf(&b, "  %4d  met %6d  %s\n", v.Faults[k], v.Met[k], k)
	}
	fmt.Fprintf(&b, "memory %d MiB at most, %d early, %d late; %d goroutines; at most %d batches in spools\n", v.Gauge.PeakRSS>>20, v.Gauge.EarlyRSS>>20,
		v.Gauge.LateRSS>>20, v.Gauge.Routines, v.Spooled)
	fmt.Fprintf(&b, "losses %d, doubles %d, violations %d: ", v.Losses, v.Doubles, len(v.Violations))
	if len(v.Violations) == 0 {
		b.WriteString("THE PROMISE HELD")
	} else {
		b.WriteString("THE PROMISE WAS BROKEN\n  " + strings.Join(v.Violations, "\n  "))
	}
	return b.String()
}
