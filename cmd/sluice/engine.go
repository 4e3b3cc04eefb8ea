package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"sluice/internal/config"
	"sluice/internal/pipeline"
	"sluice/internal/statedir"
	"sluice/sources/redislist"
)

// engine is the parts of a running process: state directory, letter box, sources and the pipeline with its sinks.
type engine struct {
	cfg      *config.Config
	log      *slog.Logger
	state    *statedir.Dir
	box      letterBox
	spools   []pipeline.Spool
	endSpool func() // closes spools
	sources  []source
	specs    []pipeline.SinkSpec
	pipe     *pipeline.Pipeline
	started  time.Time

	mu      sync.Mutex
	alarms  []string
	watched watched
}

// engineOptions differ between the daemon, a single run and the demo.
type engineOptions struct {
	once   bool
	stdout io.Writer // of stdout sinks
}

// newEngine makes all parts; nothing connects yet. The caller must close it.
func newEngine(ctx context.Context, cfg *config.Config, log *slog.Logger, opt engineOptions) (_ *engine, err error) {
	e := &engine{cfg: cfg, log: log, started: time.Now()}
	defer func() {
		if err != nil {
			e.close()
		}
	}()
	if e.state, err = statedir.Open(cfg.State.Dir); err != nil {
		return nil, stateError(err)
	}
	if e.box, err = openLetterBox(ctx, cfg); err != nil {
		return nil, err
	}
	if e.spools, e.endSpool, err = openSpools(ctx, cfg, e.state); err != nil {
		return nil, err
	}
	if e.specs, err = sinkSpecs(cfg, sinkDeps{state: e.state, stdout: opt.stdout, log: log}); err != nil {
		return nil, err
	}
	debug.SetMemoryLimit(cfg.MemoryLimit())
	if e.pipe, err = pipeline.New(pipeline.Options{
		Sinks: e.specs, Record: cfg.RecordShape(), Memory: cfg.BufferLimit(),
		Batch:    pipeline.Batching{Records: cfg.Pipeline.Batch.Records, Bytes: int64(cfg.Pipeline.Batch.Bytes)},
		Resident: func(n int64) { debug.SetMemoryLimit(cfg.MemoryLimit() - n) },
		Deadline: settleTime(cfg.Pipeline.ShutdownTimeout.D()), Letters: e.box, Spools: e.spools, Once: opt.once, Log: log,
	}); err != nil {
		return nil, err
	}
	e.sources, err = newSources(cfg, redislist.Deps{
		Token: e.state.Token, Home: e.state.Home, Log: log, BatchRecords: cfg.Pipeline.Batch.Records,
		WentBack: e.wentBack, Sinks: sortedKeys(cfg.Sinks), Alone: opt.once,
	}, e.alarm)
	return e, err
}

// sayUptime tells of uptime records that no sink takes: they are left to the gateway.
func (e *engine) sayUptime() {
	for _, s := range e.specs {
		if s.Sink.Takes(pipeline.Uptime) {
			return
		}
	}
	for _, name := range sortedKeys(e.cfg.Sources) {
		if c, ok := e.cfg.Sources[name].Settings.(redislist.Config); ok && c.Uptime {
			e.log.Info("uptime records are left where they are: no sink takes them (mongo-raw does)", "source", name)
		}
	}
}

// wentBack raises the alarm that a Redis history went back. The source logs it. What is recorded in Redis alarms from there
// until an operator clears it.
func (e *engine) wentBack(w redislist.WentBack) {
	if w.Recorded {
		return
	}
	since := "an unknown time"
	if !w.From.IsZero() {
		since = w.From.UTC().Format(time.RFC3339)
	}
	e.alarm(fmt.Sprintf("history of a list went back: %s: records since %s may come again or be gone", w.List, since))
}

// alarm shows what needs an operator, once.
func (e *engine) alarm(text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !slices.Contains(e.alarms, text) {
		e.alarms = append(e.alarms, text)
	}
}

// settleTime is how much of the time for a shutdown is for what is in flight. The rest is for what follows: sinks are
// closed, leases given back, and what remains is counted.
func settleTime(all time.Duration) time.Duration { return all - min(all/3, 3*time.Second) }

// run works until ctx is done, or an operator is needed, and then shuts down in order.
func (e *engine) run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	sourcesCtx, endSources := context.WithCancel(context.Background())
	defer endSources()

	errs := make([]error, len(e.sources)+1)
	var sources, helpers sync.WaitGroup
	for i, s := range e.sources {
		sources.Go(func() {
			if errs[i] = s.Run(sourcesCtx, e.pipe); errs[i] != nil {
				errs[i] = fmt.Errorf("source %s: %w", s.Name(), errs[i])
				stop() // it needs an operator
			}
		})
	}
	e.sayUptime()
	helpers.Go(func() { e.giveBack(ctx) })
	helpers.Go(func() { e.watch(ctx) })
	unhook := context.AfterFunc(ctx, e.stopClaiming)
	errs[len(e.sources)] = e.pipe.Run(ctx)
	stop()
	unhook()
	e.stopClaiming()
	endSources()
	sources.Wait()
	helpers.Wait()
	err := errors.Join(errs...)
	if err != nil {
		e.shield()
	}
	return err
}

// shieldTime bounds what a process that cannot go on does for the lists it leaves.
const shieldTime = 5 * time.Second

// shield makes the gateways' lists safe for a while: an operator is needed, and that takes longer than their TTL.
func (e *engine) shield() {
	ctx, cancel := context.WithTimeout(context.Background(), shieldTime)
	defer cancel()
	for _, s := range ofRedis(e.sources) {
		if err := s.Shield(ctx); err != nil {
			e.log.Error("lists could not be shielded from their TTL", "source", s.Name(), "err", err)
		}
	}
}

func (e *engine) stopClaiming() {
	for _, s := range e.sources {
		s.StopClaiming()
	}
}

// giveBackEvery is how often streams are looked over for claims that this process cannot settle.
const giveBackEvery = 2 * time.Second

// giveBack ends the leases of lists whose claims owe sinks that this process lacks: another pump may have them.
func (e *engine) giveBack(ctx context.Context) {
	tick := time.NewTicker(giveBackEvery)
	defer tick.Stop()
	said := map[string]bool{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for st, missing := range e.pipe.Lacking() {
			id := st.ID()
			if !said[id.Lineage] {
				said[id.Lineage] = true
				e.log.Warn("claims owe sinks that this process does not have; they wait for a pump that has them, or for sluice release",
					"source", id.Source, "list", id.List, "sinks", strings.Join(missing, ","))
			}
			for _, s := range ofRedis(e.sources) {
				if s.Name() == id.Source {
					s.GiveBack(st)
				}
			}
		}
	}
}

// close frees what newEngine made.
func (e *engine) close() {
	if e.box != nil {
		_ = e.box.Close() // every letter is synced when it is stored
	}
	if e.endSpool != nil {
		e.endSpool()
	}
	if e.state != nil {
		_ = e.state.Close()
	}
}
