package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
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
	only     *regexp.Regexp // names of the faults to inject; nil: all of them
	binary   string         // the built program
	dir      string         // for everything the soak and its pumps write
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
	if err := w.fire(ctx); err != nil {
		return verdict{}, err
	}
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
	v = w.verdict()
	o.log("%s", v)
	return v, nil
}

// fire runs the generator and the schedule of faults for the duration.
func (w *world) fire(ctx context.Context) error {
	work, stop := context.WithTimeout(ctx, w.opts.duration)
	defer stop()
	generated := make(chan error, 1)
	go func() { generated <- w.gen.run(work, w.opts.rate) }()
	err := w.play(work, plan(w.opts.seed, w.opts.duration, w.opts.pace, w.faults()))
	stop()
	return errors.Join(err, <-generated, ctx.Err())
}

// drain ends the pumps in good order, and runs one over what is left.
func (w *world) drain(ctx context.Context) {
	for _, p := range w.pumps {
		p.terminate(w)
	}
	w.drainOnce(ctx)
}

// verdict is what came of a soak: its figures and every way in which the promise was broken.
type verdict struct {
	Seed       uint64         `json:"seed"`
	Pumps      int            `json:"pumps"`
	Seconds    float64        `json:"seconds"`
	Records    int            `json:"records"`    // pushed, repeated payloads included
	Repeated   int            `json:"repeated"`   // of them equal to another to the byte
	Poisoned   int            `json:"poisoned"`   // payloads that cannot be decoded
	Faults     map[string]int `json:"faults"`     // by kind
	Injected   int            `json:"injected"`   // their sum
	Hits       int64          `json:"hits"`       // connections reset or made deaf, requests refused or denied
	Losses     int            `json:"losses"`     // effects that are missing in a store
	Doubles    int            `json:"doubles"`    // effects that a store has more than once, or that nobody owes
	Violations []string       `json:"violations"` // all of them, in words
}

func (w *world) verdict() verdict {
	v := w.found
	v.Seed, v.Pumps, v.Seconds = w.opts.seed, w.opts.pumps, w.opts.duration.Seconds()
	v.Records, v.Repeated, v.Poisoned = w.gen.debts.records, w.gen.debts.repeated, w.gen.debts.poisons
	for _, n := range v.Faults {
		v.Injected += n
	}
	v.Hits = w.hits()
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
	fmt.Fprintf(&b, "seed %d, %d pumps, %gs: %d records (%d repeated), %d poisoned, %d faults, %d hits on connections and requests\n",
		v.Seed, v.Pumps, v.Seconds, v.Records, v.Repeated, v.Poisoned, v.Injected, v.Hits)
	for _, k := range sortedKeys(v.Faults) {
		fmt.Fprintf(&b, "  %4d  %s\n", v.Faults[k], k)
	}
	fmt.Fprintf(&b, "losses %d, doubles %d, violations %d: ", v.Losses, v.Doubles, len(v.Violations))
	if len(v.Violations) == 0 {
		b.WriteString("THE PROMISE HELD")
	} else {
		b.WriteString("THE PROMISE WAS BROKEN\n  " + strings.Join(v.Violations, "\n  "))
	}
	return b.String()
}
