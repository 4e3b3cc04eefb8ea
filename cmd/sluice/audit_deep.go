package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/config"
	"sluice/internal/deepaudit"
	"sluice/internal/pipeline"
	"sluice/internal/record"
	archivesource "sluice/sources/archive"
)

// deepOptions are the flags of audit --deep.
type deepOptions struct {
	selecting
	deep    bool
	sinks   []string
	rate    string
	timeout time.Duration
}

// deepPatience is how long an audit waits in all for an archive that is behind: longer than an object gathers.
const deepPatience = 3 * time.Minute

func (o *deepOptions) flags(c *cobra.Command) {
	o.times(c)
	f := c.Flags()
	f.BoolVar(&o.deep, "deep", false, "recount the stores against the archive")
	f.StringSliceVar(&o.sinks, "sink", nil, "with --deep: a sink to look into; may be repeated (default: all)")
	f.StringVar(&o.rate, "rate", "", "with --deep: read at most so many records a second, like 20000/s")
	f.DurationVar(&o.timeout, "timeout", deepPatience, "with --deep: how long to wait in all for an archive that is behind the stores")
}

// check refuses flags that mean nothing without --deep.
func (o *deepOptions) check(c *cobra.Command) error {
	if o.deep {
		return nil
	}
	for _, name := range []string{"archive", "from", "to", "sink", "rate", "timeout"} {
		if c.Flags().Changed(name) {
			return usageError{fmt.Errorf("--%s is for audit --deep", name)}
		}
	}
	return nil
}

// deepResult is what audit --deep prints.
type deepResult struct {
	*deepaudit.Report
	Balanced bool     `json:"balanced"` // the ledger
	Strange  []string `json:"strange,omitempty"`
}

func (e *environment) auditDeep(ctx context.Context, r role, o *deepOptions, out *output) error {
	sel, err := o.selection()
	if err != nil {
		return err
	}
	rate, err := replayRate(o.rate)
	if err != nil {
		return err
	}
	cfg, log, err := e.load(ctx)
	if err != nil {
		return err
	}
	if cfg, err = r.part(cfg); err != nil {
		return err
	}
	sources, err := onlookingSources(cfg, log)
	if err != nil {
		return err
	}
	letters, err := identities(ctx, cfg, log)
	if err != nil {
		return err
	}
	ledger := &deepLedger{sources: sources, sinks: sortedKeys(cfg.Sinks), following: followingSinks(cfg)}
	books, err := ledger.books(ctx)
	if err != nil {
		return err
	}
	p := newProgress("auditing", e.stderr, log)
	defer p.end()
	d := &deepStores{cfg: cfg, log: log, letters: letters, now: time.Now(), patience: o.timeout}
	defer d.close()
	opt := deepaudit.Options{From: sel.From, To: sel.To, Ledger: ledger, Letters: letters, Rate: rate, Patience: o.timeout, Passes: passes,
		Moved: func(n int64, hour time.Time) {
			if p.due() {
				p.at(uint64(n), 0, hour.Format(time.RFC3339))
			}
		}}
	if err := e.deepArchive(ctx, cfg, o.archive, d, &opt); err != nil {
		return err
	}
	if err := d.follow(ctx, sources, &opt); err != nil {
		return err
	}
	if err := d.open(ctx, o.sinks, &opt); err != nil {
		return err
	}
	report, err := deepaudit.Run(ctx, opt)
	if err != nil {
		return err
	}
	res := &deepResult{Report: report, Balanced: books.Balanced, Strange: books.Strange}
	if err := out.print(e.stdout, res, res.text); err != nil {
		return err
	}
	if !res.InOrder || !res.Balanced {
		return silentError{}
	}
	return nil
}

// deepArchive opens the archive that is compared with; without any, stores are compared among each other.
func (e *environment) deepArchive(ctx context.Context, cfg *config.Config, name string, d *deepStores, opt *deepaudit.Options) error {
	if name == "" && countArchives(cfg) == 0 {
		return nil
	}
	a, err := e.openArchive(ctx, cfg, name)
	if err != nil {
		return err
	}
	d.closers = append(d.closers, a.close)
	d.archive, d.own = a, a.Archive
	opt.Archive, opt.ArchiveName, opt.Filters = a.Archive, a.name, cfg.Sinks[a.name].Filters.Pipeline()
	if keep := cfg.Retention.Archive.Keep.D(); keep > 0 {
		opt.Expired = d.now.Add(-keep)
	}
	return nil
}

// passes holds what a store has of a record against filters.
func passes(f *pipeline.Filters, h *deepaudit.Held) bool {
	return archivesource.NewFilter(f).Passes(&record.Record{OrgID: h.Org, APIID: h.API, ResponseCode: h.Code})
}

// maxShown is how many findings of a store the text names; JSON has more.
const maxShown = 20

func (d *deepResult) text(w io.Writer) error {
	against := "each other"
	if d.Archive != "" {
		against = fmt.Sprintf("archive %s: %d records in %d hours", d.Archive, d.Records, d.Hours)
	}
	fmt.Fprintf(w, "recounted against %s\n", against)
	for _, name := range sortedKeys(d.Stores) {
		d.storeText(w, name, d.Stores[name])
	}
	for _, n := range d.Notes {
		fmt.Fprintln(w, "note:", n)
	}
	for _, s := range d.Strange {
		fmt.Fprintln(w, "strange:", s)
	}
	verdict := "nothing differs"
	switch {
	case !d.InOrder:
		verdict = "SOMETHING DIFFERS"
	case !d.Balanced:
		verdict = "nothing differs, but THE LEDGER DOES NOT BALANCE"
	}
	_, err := fmt.Fprintln(w, verdict)
	return err
}

func (d *deepResult) storeText(w io.Writer, name string, s *deepaudit.StoreReport) {
	fmt.Fprintf(w, "%s (%s): %d compared", name, s.Type, s.Compared)
	for _, kind := range sortedKeys(s.Counts) {
		fmt.Fprintf(w, ", %d %s", s.Counts[kind], kind)
	}
	fmt.Fprintln(w)
	for i, f := range s.Findings {
		if i == maxShown {
			fmt.Fprintf(w, "  and %d more; --output json names up to a thousand of each kind\n", len(s.Findings)-i)
			break
		}
		fmt.Fprintf(w, "  %s", f.Kind)
		if !f.Hour.IsZero() {
			fmt.Fprintf(w, " in %s", f.Hour.Format(time.RFC3339))
		}
		for _, part := range []string{f.Record, f.Where, f.List, f.Position} {
			if part != "" {
				fmt.Fprintf(w, " %s", printable(part))
			}
		}
		fmt.Fprintf(w, ": %s\n", printable(f.Reason))
	}
	for _, n := range s.Notes {
		fmt.Fprintln(w, "  note:", printable(n))
	}
}

// identities reads what tells dead letters apart, and not their bytes.
func identities(ctx context.Context, cfg *config.Config, log *slog.Logger) (out []pipeline.Letter, err error) {
	read, closes, err := readsLetters(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	defer closes()
	err = read(ctx, func(l *pipeline.Letter) error {
		out = append(out, pipeline.Letter{ID: l.ID, Sink: l.Sink, Lineage: l.Lineage, Position: l.Position})
		return nil
	})
	return out, err
}
