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
)

// retainOptions are the flags of retain.
type retainOptions struct {
	apply, watch, yes bool
	every             time.Duration
	rate              int
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
--yes is given; without one it asks nothing. Exits 1 if a store could not be looked into, an action failed, or another
job holds the lease.`,
		Example: `  sluice retain                        the plan
  sluice retain --apply                the plan, then do it
  sluice retain --apply --watch        every hour, until it is told to stop
  sluice retain --output json`,
		Args: noArgs,
	}
	c.Flags().BoolVar(&o.apply, "apply", false, "do what the plan says")
	c.Flags().BoolVar(&o.watch, "watch", false, "go on: again after every interval")
	c.Flags().BoolVar(&o.yes, "yes", false, "with --apply on a terminal: do not ask")
	c.Flags().DurationVar(&o.every, "every", time.Hour, "with --watch: the interval")
	c.Flags().IntVar(&o.rate, "rate", 0, "most documents a second that are deleted in a store (default: 5000 in MongoDB, 10000 in OpenSearch)")
	out := outputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		switch {
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
		if o.watch {
			return r.watch(c.Context())
		}
		return r.once(c.Context())
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
	return problems(p)
}

func problems(p *plan.Plan) error {
	if len(p.Problems) > 0 {
		return errProblems
	}
	return nil
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
	report := &retainReport{Plan: stores.plan(ctx)}
	if yes, err := r.confirmed(report); err != nil || !yes {
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
	report.Applied, failed = job.Run(ctx, report.Plan)
	bar.end()
	if failed != nil {
		report.Error = failed.Error()
	}
	return errors.Join(r.print(report), failed, problems(report.Plan))
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
