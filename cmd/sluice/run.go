package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/config"
	"sluice/internal/pipeline"
)

func runCommand(e *environment) *cobra.Command {
	var once bool
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "run",
		Short: "The daemon: drains Redis into the sinks until it is told to stop",
		Long: `Drains the gateways' lists into every sink. SIGTERM and SIGINT end it in order: nothing new is begun, what is
in flight settles within pipeline.shutdown_timeout, what is not delivered is kept in Redis and said.`,
		Example: `  sluice run --config /etc/sluice/sluice.yaml
  sluice run --role edge               Redis into Kafka
  sluice run --role worker             Kafka into the sinks
  sluice run --once                    drain what is there, also what a dead pump had claimed, then end
  sluice run --once --timeout 30s      give up on a sink that is down after half a minute`,
		Args: noArgs,
	}
	c.Flags().BoolVar(&once, "once", false, "drain what is there, settle every sink, then end")
	c.Flags().DurationVar(&timeout, "timeout", 5*time.Minute, "with --once: how long to wait for a sink that is down")
	part := roleFlag(c, "all: everything in one process; edge: Redis into Kafka; worker: Kafka into the other sinks")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if c.Flags().Changed("timeout") && !once {
			return usageError{fmt.Errorf("--timeout goes with --once")}
		}
		cfg, log, err := e.load(c.Context())
		if err != nil {
			return err
		}
		if cfg, err = role(*part).part(cfg); err != nil {
			return err
		}
		if once {
			return e.runOnce(c.Context(), cfg, log, timeout)
		}
		return e.runDaemon(c.Context(), cfg, log)
	}
	return c
}

func (e *environment) runDaemon(ctx context.Context, cfg *config.Config, log *slog.Logger) error {
	eng, err := newEngine(ctx, cfg, log, engineOptions{stdout: e.stdout})
	if err != nil {
		return err
	}
	defer eng.close()
	stopConsole, err := eng.serveConsole(ctx)
	if err != nil {
		return err
	}
	defer stopConsole()
	b := thisBuild()
	log.Info("sluice starts", "version", b.Version, "pid", os.Getpid(), "config", cfg.File(), "region", cfg.Region)
	if err := eng.run(ctx); err != nil {
		return err
	}
	eng.sayWhatRemains()
	return nil
}

// sayWhatRemains ends a run with what is left in Redis, by sink. The figures are the ledger's: of all pumps, since ever.
func (e *engine) sayWhatRemains() {
	ctx, cancel := context.WithTimeout(context.Background(), auditTime)
	defer cancel()
	a, err := readAudit(ctx, e.sources)
	if err != nil {
		e.log.Warn("stopped; what remains is in Redis and cannot be counted now", "err", err)
		return
	}
	attrs := []any{"taken", a.Taken}
	if dead := a.column(func(c pipeline.Counts) uint64 { return c.DeadLetters }); dead != "" {
		attrs = append(attrs, "dead_letters", dead)
	}
	left := a.column(func(c pipeline.Counts) uint64 { return c.Pending })
	if left == "" {
		e.log.Info("stopped; everything that was taken is settled", attrs...)
		return
	}
	e.log.Warn("stopped; what is not delivered is kept in Redis", append(attrs, "pending", left)...)
}

// column is what a column of the ledger has, as "raw 3, search 1"; sinks with nothing in it are left out.
func (a *audit) column(of func(pipeline.Counts) uint64) string {
	var parts []string
	for _, name := range sortedKeys(a.Sinks) {
		if n := of(a.Sinks[name].Counts); n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", name, n))
		}
	}
	return strings.Join(parts, ", ")
}
