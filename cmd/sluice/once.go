package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"sluice/internal/config"
)

// onceEvery is how often a single run looks whether anything is left, askAtLeast how often it asks the sources while its
// sinks settle records, and askBusy while a sink has a batch in hand: their answer takes a connection and a look at every
// list.
const (
	onceEvery  = 100 * time.Millisecond
	askAtLeast = time.Second
	askBusy    = 5 * time.Second
)

// errRemains says that a single run gave up before everything was delivered.
var errRemains = errors.New("not everything was delivered; the rest is kept in Redis")

// runOnce drains what is there, and fails when something remains after the timeout.
func (e *environment) runOnce(ctx context.Context, cfg *config.Config, log *slog.Logger, timeout time.Duration) error {
	eng, err := newEngine(ctx, cfg, log, engineOptions{once: true, stdout: e.stdout})
	if err != nil {
		return err
	}
	defer eng.close()
	return eng.drainOnce(ctx, timeout, newProgress("draining", e.stderr, log))
}

func (e *engine) drainOnce(ctx context.Context, timeout time.Duration, p *progress) error {
	work, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- e.run(work) }()
	left, err := e.untilIdle(ctx, timeout, ended, p)
	p.end()
	if errors.Is(err, errEnded) {
		return left.err
	}
	stop()
	if runErr := <-ended; runErr != nil {
		return runErr
	}
	if len(left.others) > 0 {
		e.log.Info("lists of a pump that is alive were left alone", "lists", strings.Join(left.others, ", "))
	}
	e.sayWhatRemains()
	return err
}

// remaining is why a single run ended.
type remaining struct {
	others []string // lists that belong to live pumps
	err    error    // of the engine, when it ended by itself
}

// errEnded says that the engine ended before the work was done.
var errEnded = errors.New("the engine ended")

// untilIdle returns when nothing is left to drain, the timeout is over, ctx is done, or the engine ended by itself.
func (e *engine) untilIdle(ctx context.Context, timeout time.Duration, ended <-chan error, p *progress) (remaining, error) {
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	tick := time.NewTicker(onceEvery)
	defer tick.Stop()
	settled, asked, wait := uint64(0), time.Now(), onceEvery
	for {
		select {
		case err := <-ended:
			return remaining{err: err}, errEnded
		case <-ctx.Done():
			return remaining{}, fmt.Errorf("interrupted: %w", errRemains)
		case <-deadline.C:
			return remaining{}, fmt.Errorf("after %s: %w%s", timeout, errRemains, e.whatIsSick())
		case <-tick.C:
		}
		before := settled
		settled = e.settled()
		if settled != before {
			wait = onceEvery
		}
		// While it grows there is little need to ask Redis, and while a slow store lets it rest the less the longer.
		since := time.Since(asked)
		due := settled == before && since >= wait || since >= askAtLeast
		if due && (since >= askBusy || !e.pipe.Busy()) {
			asked, wait = time.Now(), min(2*wait, askAtLeast)
			if idle, others := e.idle(ctx); idle && e.pipe.Resting() {
				return remaining{others: others}, nil
			}
		}
		if p.due() {
			e.showDrain(ctx, p)
		}
	}
}

// settled is how many records the sinks have settled in this run, each counted by itself.
func (e *engine) settled() (n uint64) {
	for _, s := range e.pipe.SinkStatuses() {
		n += s.Counts.Total()
	}
	return n
}

// idle tells whether no source has anything left that is this process's to drain.
func (e *engine) idle(ctx context.Context) (bool, []string) {
	var others []string
	for _, s := range e.sources {
		ok, live, err := s.Idle(ctx)
		if err != nil || !ok {
			return false, nil
		}
		others = append(others, live...)
	}
	return true, others
}

// whatIsSick names the sources and sinks that did not work, with their last errors.
func (e *engine) whatIsSick() string {
	var sick []string
	for _, s := range e.sources {
		if st := s.Status(); !st.Connected {
			sick = append(sick, fmt.Sprintf("source %s (not connected: %s)", st.Name, st.Error))
		}
	}
	for _, s := range e.pipe.SinkStatuses() {
		switch {
		case s.State == "ok":
		case s.LastError == "":
			sick = append(sick, fmt.Sprintf("sink %s (%s: no answer yet)", s.Name, s.State))
		default:
			sick = append(sick, fmt.Sprintf("sink %s (%s: %s)", s.Name, s.State, s.LastError))
		}
	}
	if len(sick) == 0 {
		return ""
	}
	return "; not well: " + strings.Join(sick, "; ")
}
