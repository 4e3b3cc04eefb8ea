package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/rueidis"
	"github.com/spf13/cobra"

	"sluice/internal/config"
	"sluice/internal/traffic"
	"sluice/internal/units"
	"sluice/sinks/csv"
	"sluice/sinks/sqlite"
	"sluice/sources/redislist"
)

// demoOptions are the flags of demo.
type demoOptions struct {
	once    bool
	records int
	listen  string
	dir     string
}

func demoCommand(e *environment) *cobra.Command {
	var o demoOptions
	c := &cobra.Command{
		Use:   "demo",
		Short: "The whole pipeline on this machine, fed with made-up traffic",
		Long: `Runs gateways' traffic of a made-up company through the whole pipeline, on embedded parts: an in-process Redis, a
SQLite file for aggregates and recent records, the archive in a directory. The console shows it as it flows. Some of the
records cannot be decoded, on purpose: they become dead letters.`,
		Example: `  sluice demo                          then open http://127.0.0.1:8181
  sluice demo --once --records 50000   run that many through, print the ledger, end`,
		Args: noArgs,
	}
	f := c.Flags()
	f.BoolVar(&o.once, "once", false, "run the records through, print the ledger, end")
	f.IntVar(&o.records, "records", 20_000, "with --once: how many records; else how many there are at the start")
	f.StringVar(&o.listen, "listen", "127.0.0.1:8181", "address of the console")
	f.StringVar(&o.dir, "dir", "", "directory for what is stored (default: a temporary one, removed at the end)")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if o.records < 1 {
			return usageError{errors.New("--records must be at least 1")}
		}
		return e.demo(c.Context(), o)
	}
	return c
}

func (e *environment) demo(ctx context.Context, o demoOptions) error {
	if o.dir == "" {
		dir, err := os.MkdirTemp("", "sluice-demo-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		o.dir = dir
	}
	log := newLog(e.stderr, config.Log{Level: "warn", Format: "text"})
	redis := miniredis.NewMiniRedis()
	if err := redis.Start(); err != nil {
		return fmt.Errorf("start the in-process Redis: %w", err)
	}
	defer redis.Close()
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{redis.Addr()}, DisableCache: true, ForceSingleClient: true})
	if err != nil {
		return fmt.Errorf("connect to the in-process Redis: %w", err)
	}
	defer client.Close()
	eng, err := newEngine(ctx, demoConfig(redis.Addr(), o), log, engineOptions{once: o.once})
	if err != nil {
		return err
	}
	defer eng.close()
	now := time.Now()
	past := now.Add(-time.Duration(o.records) * time.Second / demoRate) // so that the charts go on as they begin
	gen := traffic.New(1, traffic.Options{Start: past, Rate: demoRate})
	push := traffic.NewPusher(client, gen, traffic.PushOptions{Multiple: true, Poison: 0.0005})
	if err := push.Push(ctx, gen.Spread(past, now, o.records)); err != nil {
		return err
	}
	if o.once {
		return e.demoOnce(ctx, eng, log, push.Pushed())
	}
	return e.demoLive(ctx, eng, o, push)
}

// demoRate is the made-up traffic in records a second, on an average hour.
const demoRate = 120

// demoConfig is a configuration as a file would give it.
func demoConfig(redis string, o demoOptions) *config.Config {
	cfg := config.Defaults()
	cfg.Region = "demo"
	src := redislist.Defaults()
	src.Addrs, src.Embedded, src.Uptime = []string{redis}, true, false
	cfg.Sources = map[string]config.Source{"gateways": {Type: "redis", Settings: src}}
	local, files := sqlite.Defaults(), csv.Defaults()
	local.Path = filepath.Join(o.dir, "sluice.db")
	files.Dir = filepath.Join(o.dir, "archive")
	files.Object.MaxAge = units.Duration(10 * time.Second)
	common := config.Sink{
		Timeout: units.Duration(30 * time.Second),
		Retry:   config.Retry{Min: units.Duration(200 * time.Millisecond), Max: units.Duration(30 * time.Second)},
	}
	cfg.Sinks = map[string]config.Sink{}
	for name, s := range map[string]struct {
		kind     string
		settings any
	}{"local": {"sqlite", local}, "archive": {"csv", files}} {
		k := common
		k.Type, k.Settings = s.kind, s.settings
		cfg.Sinks[name] = k
	}
	cfg.State.Dir = filepath.Join(o.dir, "state")
	cfg.Admin.Listen = o.listen
	return cfg
}

func (e *environment) demoOnce(ctx context.Context, eng *engine, log *slog.Logger, pushed traffic.Pushed) error {
	fmt.Fprintf(e.stdout, "pushed %d records of made-up traffic and %d that cannot be decoded, %.1f MB\n",
		pushed.Records, pushed.Poison, float64(pushed.Bytes)/1e6)
	began := time.Now()
	if err := eng.drainOnce(ctx, 5*time.Minute, newProgress("draining", e.stderr, log)); err != nil {
		return err
	}
	took := time.Since(began)
	a, err := readAudit(ctx, eng.sources)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "drained in %s\n\n", took.Round(time.Millisecond))
	if err := a.text(e.stdout); err != nil {
		return err
	}
	if want := pushed.Records + pushed.Poison; !a.Balanced || a.Taken != want {
		log.Error("the ledger does not balance", "pushed", want, "taken", a.Taken)
		return silentError{}
	}
	return nil
}

// demoLive goes on with fresh traffic until it is interrupted.
func (e *environment) demoLive(ctx context.Context, eng *engine, o demoOptions, push *traffic.Pusher) error {
	l, err := eng.listen(ctx)
	if err != nil { // without its console there is nothing to see
		return usageError{fmt.Errorf("--listen: %w; choose another address, for example 127.0.0.1:0", err)}
	}
	defer eng.serveOn(l)()
	fmt.Fprintf(e.stdout, "console:  http://%s\nstored:   %s\nCtrl-C ends the demo.\n", l.Addr(), o.dir)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var feeder sync.WaitGroup
	var fed error
	feeder.Go(func() {
		if fed = push.Run(ctx); fed != nil {
			stop()
		}
	})
	err = eng.run(ctx)
	stop()
	feeder.Wait()
	return errors.Join(err, fed)
}
