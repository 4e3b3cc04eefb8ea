package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"sluice/internal/config"
	"sluice/retention/apply"
	"sluice/retention/plan"
	"sluice/retention/report"
)

// retainOptions are the flags of retain.
type retainOptions struct {
	apply, watch, yes bool
	every             time.Duration
	rate              int
	failOnWarning     bool
	listen            string
}

func retainCommand(e *environment) *cobra.Command {
	var o retainOptions
	c := &cobra.Command{
		Use:   "retain [--apply] [--watch]",
		Short: "What should go from the stores by the rules, why, and what holds it back; --apply does it",
		Long: `Looks into every store and prints a plan: what it would delete, shrink or roll up, why, how much that frees, what
holds it back, and when each store would be full. Nothing is changed without --apply.

With --apply exactly that plan is done, under a lease, so that two jobs never run at once. What other stores let go is
read and verified in the archive before. A job that was killed is simply run again. On a terminal it asks first, unless
--yes is given; without one it asks nothing. Exits 1 if a store could not be looked into, an action failed, another job
holds the lease, or, with --fail-on-warning, a store will be full within retention.warn_within.

What --apply and --watch find is left in the state directory for the console and the metrics of a pump that uses it; --listen
serves both from here.`,
		Example: `  sluice retain                        the plan
  sluice retain --apply                the plan, then do it
  sluice retain --apply --watch        every hour, until it is told to stop
  sluice retain --apply --watch --listen 127.0.0.1:8182
  sluice retain --output json`,
		Args: noArgs,
	}
	c.Flags().BoolVar(&o.apply, "apply", false, "do what the plan says")
	c.Flags().BoolVar(&o.watch, "watch", false, "go on: again after every interval")
	c.Flags().BoolVar(&o.yes, "yes", false, "with --apply on a terminal: do not ask")
	c.Flags().DurationVar(&o.every, "every", time.Hour, "with --watch: the interval")
	c.Flags().IntVar(&o.rate, "rate", 0, "most documents a second that are deleted in a store (default: 5000 in MongoDB, 10000 in OpenSearch)")
	c.Flags().BoolVar(&o.failOnWarning, "fail-on-warning", false, "exit 1 if a store will be full within retention.warn_within")
	c.Flags().StringVar(&o.listen, "listen", "", "with --watch: serve /retention, /metrics, /live and /ready on this address; off an interface of this machine it asks for admin.token")
	out := outputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		switch {
		case o.listen != "" && !o.watch:
			return usageError{errors.New("--listen goes with --watch")}
		case c.Flags().Changed("every") && !o.watch:
			return usageError{errors.New("--every goes with --watch")}
		case o.every < time.Minute:
			return usageError{errors.New("--every: give at least 1m")}
		case o.rate < 0:
			return usageError{errors.New("--rate: give a number of documents a second")}
		}
		cfg, log, err := e.load(c.Context())
		if err != nil {
			return err
		}
		r := &retainer{env: e, cfg: cfg, log: log, o: o, out: out}
		if !o.watch {
			return r.once(c.Context())
		}
		stop, err := r.serve(c.Context())
		if err != nil {
			return err
		}
		defer stop()
		return r.watch(c.Context())
	}
	return c
}

// retainer is one retain command.
type retainer struct {
	env *environment
	cfg *config.Config
	log *slog.Logger
	o   retainOptions
	out *output
}

// retainReport is what is printed.
type retainReport struct {
	*plan.Plan
	Applied []apply.Outcome `json:"applied,omitempty"`
	Error   string          `json:"error,omitempty"`
}

// errProblems ends a command whose plan says what could not be looked into.
var errProblems = errors.New("the plan is not complete: see its problems")

// watch goes on until it is told to stop; a round that failed is said, and the next one tries again.
func (r *retainer) watch(ctx context.Context) error {
	tick := time.NewTicker(r.o.every)
	defer tick.Stop()
	for {
		if err := r.once(ctx); err != nil && ctx.Err() == nil {
			r.log.Error("retention failed; it is tried again", "in", r.o.every, "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (r *retainer) once(ctx context.Context) error {
	if r.o.apply {
		return r.applyOnce(ctx)
	}
	stores := r.openStores(ctx)
	defer stores.close(ctx)
	p := stores.plan(ctx)
	if err := r.print(&retainReport{Plan: p}); err != nil {
		return err
	}
	if r.o.watch {
		if err := r.noteLocked(p); err != nil {
			r.log.Warn("the console and the metrics do not get this plan", "err", err)
		}
	}
	return r.judge(p)
}

// errWarned ends a command that was told to fail when a store will soon be full.
var errWarned = errors.New("a store will soon be full: see the plan's warnings")

// judge says what is wrong with a plan that was printed.
func (r *retainer) judge(p *plan.Plan) error {
	for _, w := range p.Warnings {
		r.log.Warn("a store will soon be full", "why", w)
	}
	if err := problems(p); err != nil {
		return err
	}
	if r.o.failOnWarning && len(p.Warnings) > 0 {
		return errWarned
	}
	return nil
}

func problems(p *plan.Plan) error {
	if len(p.Problems) > 0 {
		return errProblems
	}
	return nil
}

// noteLocked leaves a report of a plan that nobody does. It needs the directory of jobs for a moment; one that runs
// leaves a report of its own.
func (r *retainer) noteLocked(p *plan.Plan) error {
	dir, err := apply.OpenDir(r.stateDir())
	if err != nil {
		return err
	}
	return errors.Join(r.note(p, nil, nil), dir.Close())
}

// note leaves a report for the console and the metrics. One that cannot be read is begun anew.
func (r *retainer) note(p *plan.Plan, applied []apply.Outcome, failed error) error {
	path := report.Path(r.cfg.State.Dir)
	before, err := report.Read(path)
	if err != nil {
		r.log.Warn("the last report of retention is given up", "err", err)
	}
	return report.Write(path, report.Make(p, r.o.apply, applied, failed, before))
}

// applyOnce makes a plan under the lease and does it.
func (r *retainer) applyOnce(ctx context.Context) error {
	return r.locked(ctx, r.do)
}

// locked runs what changes stores, under the lock of the state directory and the leases of all stores.
func (r *retainer) locked(ctx context.Context, do func(ctx context.Context, dir *apply.Dir, run string, stores *retainStores) error) (err error) {
	dir, err := apply.OpenDir(r.stateDir())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	if err := dir.Scratch("merge"); err != nil {
		return err
	}
	run := time.Now().UTC().Format("20060102T150405Z-") + rand.Text()[:8]
	stores := r.openStores(ctx)
	defer stores.close(ctx)
	leases, err := stores.leases(ctx, leaseOwner(run))
	for _, l := range leases {
		defer l.Close(ctx)
	}
	if err != nil {
		return fmt.Errorf("nothing was done: %w", err)
	}
	return apply.Hold(ctx, leases, func(ctx context.Context) error { return do(ctx, dir, run, stores) })
}

// stateDir is where retention keeps its own things.
func (r *retainer) stateDir() string { return filepath.Join(r.cfg.State.Dir, "retain") }

// leaseOwner tells who holds a lease.
func leaseOwner(run string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s pid %d run %s", host, os.Getpid(), run)
}

func (r *retainer) do(ctx context.Context, dir *apply.Dir, run string, stores *retainStores) (err error) {
	journal, err := dir.Journal(run)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, journal.Close()) }()
	verified, err := dir.Verified()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, verified.Close()) }()
	out := &retainReport{Plan: stores.plan(ctx)}
	if yes, err := r.confirmed(out); err != nil || !yes {
		return err
	}
	bar := newProgress("retaining", r.env.stderr, r.log)
	job := apply.Job{Stores: stores.byName, Archive: stores.verifier(), Journal: journal, Verified: verified,
		Progress: func(done, total int64, what string) {
			if bar.due() {
				bar.at(uint64(min(done, total)), uint64(total), what)
			}
		}}
	var failed error
	out.Applied, failed = job.Run(ctx, out.Plan)
	bar.end()
	if failed != nil {
		out.Error = failed.Error()
	}
	return errors.Join(r.print(out), failed, r.note(out.Plan, out.Applied, failed), r.judge(out.Plan))
}

// confirmed asks on a terminal; elsewhere there is nobody to ask.
func (r *retainer) confirmed(report *retainReport) (bool, error) {
	due := report.Due()
	if r.o.yes || len(due) == 0 || !term.IsTerminal(int(os.Stdin.Fd())) {
		return true, nil
	}
	if err := writePlan(r.env.stderr, report); err != nil {
		return false, err
	}
	fmt.Fprintf(r.env.stderr, "\nDo these %d actions? [y/N] ", len(due))
	answer, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil {
		return false, fmt.Errorf("read the answer: %w", err)
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		fmt.Fprintln(r.env.stderr, "nothing was done")
		return false, nil
	}
	return true, nil
}
