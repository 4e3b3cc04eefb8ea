package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	archivesource "sluice/sources/archive"
)

// replayOptions are the flags of replay.
type replayOptions struct {
	selecting
	sinks   []string
	dryRun  bool
	rate    string
	resume  bool
	timeout time.Duration
}

func replayCommand(e *environment) *cobra.Command {
	var o replayOptions
	c := &cobra.Command{
		Use:   "replay --from T --to T",
		Short: "Brings records of the archive into sinks again, any number of times with the same result",
		Long: `Reads the records of a time from the archive and delivers them to the named sinks, or to every other sink than the
archive. Records that a sink has are not doubled: mongo-raw and opensearch know them by their ID. In mongo-aggregate the
documents of which the time has a part are rebuilt, each replaced as a whole, also while a pump writes to them; so --api and --status
cannot be used for it. Another archive (s3-csv, csv) gets whole objects, by hours. In sqlite hours are rebuilt, of all organisations,
while no pump holds the file. Without --sink, a sink that --org, --api or --status do not fit is left out, which is said.

Every object is verified before its first record is delivered. One that is damaged is named, the rest goes on, and the
exit code is 1. A replay that was interrupted or killed goes on with --resume and the same other flags.`,
		Example: `  sluice replay --from 2026-11-01 --to 2026-11-02 --dry-run
  sluice replay --from 2026-11-01 --to 2026-11-02 --sink search --rate 2000/s
  sluice replay --from 2026-11-23T09:00Z --to 2026-11-23T10:00Z --sink dashboard
  sluice replay --from 2026-11-01 --to 2026-12-01 --org acme --resume`,
		Args: noArgs,
	}
	o.times(c)
	o.filters(c)
	f := c.Flags()
	f.StringSliceVar(&o.sinks, "sink", nil, "a sink to deliver to; may be repeated (default: every other sink than the archive)")
	f.BoolVar(&o.dryRun, "dry-run", false, "only tell how many records would be delivered, and how long that takes at least")
	f.StringVar(&o.rate, "rate", "", "at most so many records a second, like 500/s (default: as fast as the sinks take them)")
	f.BoolVar(&o.resume, "resume", false, "go on where an interrupted replay with the same flags was")
	f.DurationVar(&o.timeout, "timeout", 5*time.Minute, "how long to wait for a sink that is down, or for an archive that lags behind")
	out := outputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error { return e.replay(c.Context(), &o, out) }
	return c
}

// replayRate reads a rate like 500/s.
func replayRate(s string) (float64, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseFloat(strings.TrimSuffix(s, "/s"), 64)
	if err != nil || !(n > 0) || n > 1e9 {
		return 0, usageError{fmt.Errorf("--rate %q is not a rate: write it like 500/s", s)}
	}
	return n, nil
}

// replayRequest is what the flags ask for.
type replayRequest struct {
	archivesource.Selection
	rate float64
	o    *replayOptions
}

func (o *replayOptions) request() (r replayRequest, err error) {
	r.o = o
	if o.from == "" || o.to == "" {
		return r, usageError{errors.New("give the time to replay with --from and --to, like --from 2026-11-23 --to 2026-11-24")}
	}
	if r.Selection, err = o.selection(); err != nil {
		return r, err
	}
	r.rate, err = replayRate(o.rate)
	return r, err
}

func (e *environment) replay(ctx context.Context, o *replayOptions, out *output) error {
	req, err := o.request()
	if err != nil {
		return err
	}
	cfg, log, err := e.load(ctx)
	if err != nil {
		return err
	}
	name, err := archiveSink(cfg, o.archive)
	if err != nil {
		return err
	}
	plan, err := planReplay(cfg, log, name, &req, e.stdout)
	if err != nil {
		return err
	}
	a, err := e.openArchive(ctx, cfg, name)
	if err != nil {
		return err
	}
	defer a.close()
	if o.dryRun {
		return e.dryRun(ctx, a, &req, plan, out)
	}
	p := newProgress("replaying", e.stderr, log)
	r := &replayer{cfg: cfg, log: log, archive: a, request: &req, plan: plan, progress: p}
	err = r.run(ctx)
	p.end()
	if r.result == nil {
		return err
	}
	to := e.stdout
	if plan.prints {
		to = e.stderr // standard output has the records
	}
	if printErr := out.print(to, r.result, r.result.text); printErr != nil {
		return errors.Join(err, printErr)
	}
	if err != nil {
		return err
	}
	return r.result.failed()
}

// dryResult is what a replay would do.
type dryResult struct {
	Archive string    `json:"archive"`
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	Records int64     `json:"records"`
	Objects int64     `json:"objects"`
	Sinks   []string  `json:"sinks"`
	Seconds float64   `json:"least_seconds,omitempty"` // to read them, by a sample, and at the given rate; sinks may be slower
	Corrupt faults    `json:"corrupt"`
}

func (e *environment) dryRun(ctx context.Context, a *openArchive, req *replayRequest, plan *replayPlan, out *output) error {
	d := dryResult{Archive: a.name, From: req.From, To: req.To, Sinks: plan.names}
	var err error
	d.Records, d.Objects, err = a.Count(ctx, &req.Selection, func(u *archivesource.Unreadable) { d.Corrupt.add(u.Object, u.Err) })
	if err != nil {
		return err
	}
	if d.Records > 0 {
		if d.Seconds, err = a.ReadingTime(ctx, &req.Selection, d.Records); err != nil {
			return err
		}
	}
	if req.rate > 0 {
		d.Seconds = max(d.Seconds, float64(d.Records)/req.rate)
	}
	if err := out.print(e.stdout, &d, d.text); err != nil {
		return err
	}
	return d.Corrupt.failed()
}

func (d *dryResult) text(w io.Writer) error {
	fmt.Fprintf(w, "%d records in %d objects of archive %s would go to %s", d.Records, d.Objects, d.Archive, strings.Join(d.Sinks, ", "))
	if d.Seconds > 0 {
		fmt.Fprintf(w, ", in no less than %s; how long the sinks take is not known", time.Duration(math.Ceil(d.Seconds))*time.Second)
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	return d.Corrupt.text(w)
}
