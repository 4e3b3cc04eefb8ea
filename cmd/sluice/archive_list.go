package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	format "sluice/internal/archive"
	archivesource "sluice/sources/archive"
)

// hourLine is what lies in one region and hour.
type hourLine struct {
	Region   string    `json:"region"`
	Hour     time.Time `json:"hour"`
	Objects  int       `json:"objects"`
	Records  int64     `json:"records"`
	Bytes    int64     `json:"bytes"`  // of rows, uncompressed
	Stored   int64     `json:"stored"` // of objects, as they lie
	Replaced int       `json:"replaced,omitempty"`
	Orphans  int       `json:"orphans,omitempty"` // objects without a manifest
}

// gap is a stretch of hours without an object between two that have some.
type gap struct {
	Region string    `json:"region"`
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
}

// listing is the result of archive ls.
type listing struct {
	Archive string     `json:"archive"`
	Hours   []hourLine `json:"hours"`
	Gaps    []gap      `json:"gaps"`
	Corrupt faults     `json:"corrupt"`
}

func archiveList(e *environment) *cobra.Command {
	var sel selecting
	c := &cobra.Command{Use: "ls", Short: "What is there, by hour: objects, records, bytes", Args: noArgs,
		Long: `One line for each region and hour, from the manifests; no object is read. Stretches without an object are named as
gaps: no traffic, or an archive that lacks something.`,
		Example: "  sluice archive ls\n  sluice archive ls --from 2026-11-23 --to 2026-11-24 --output json"}
	sel.times(c)
	out := outputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return e.withArchive(c.Context(), &sel, func(a *openArchive, s *archivesource.Selection, _ *progress) error {
			l, err := listHours(c.Context(), a, s)
			if err != nil {
				return err
			}
			if err := out.print(e.stdout, l, l.text); err != nil {
				return err
			}
			return l.Corrupt.failed()
		})
	}
	return c
}

// withArchive reads the configuration, opens the archive and calls do.
func (e *environment) withArchive(ctx context.Context, sel *selecting, do func(*openArchive, *archivesource.Selection, *progress) error) error {
	s, err := sel.selection()
	if err != nil {
		return err
	}
	cfg, log, err := e.load(ctx)
	if err != nil {
		return err
	}
	a, err := e.openArchive(ctx, cfg, sel.archive)
	if err != nil {
		return err
	}
	defer a.close()
	p := newProgress("archive", e.stderr, log)
	defer p.end()
	return do(a, &s, p)
}

func listHours(ctx context.Context, a *openArchive, s *archivesource.Selection) (*listing, error) {
	l := &listing{Archive: a.name, Hours: []hourLine{}, Gaps: []gap{}}
	last := map[string]time.Time{}
	for h, err := range a.Hours(ctx, s.From, s.To) {
		if err != nil {
			return nil, err
		}
		for _, b := range h.Broken {
			l.Corrupt.add(b.Key, b.Err)
		}
		if before, ok := last[h.Region]; ok && h.Time.Sub(before) > time.Hour {
			l.Gaps = append(l.Gaps, gap{h.Region, before.Add(time.Hour), h.Time})
		}
		last[h.Region] = h.Time
		l.Hours = append(l.Hours, lineOf(&h))
	}
	return l, nil
}

func lineOf(h *format.Hour) hourLine {
	line := hourLine{Region: h.Region, Hour: h.Time, Objects: len(h.Manifests), Replaced: len(h.Replaced), Orphans: len(h.Orphans)}
	stored := map[string]int64{}
	for _, o := range h.Objects {
		stored[o.Key] = o.Size
	}
	for _, m := range h.Manifests {
		line.Records += m.Records
		line.Bytes += m.Bytes
		line.Stored += stored[m.Key]
	}
	return line
}

func (l *listing) text(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "REGION\tHOUR\tOBJECTS\tRECORDS\tBYTES\tSTORED")
	var sum hourLine
	for i := range l.Hours {
		h := &l.Hours[i]
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%d\n", h.Region, h.Hour.Format("2006-01-02T15Z"), h.Objects, h.Records, h.Bytes, h.Stored)
		sum.Objects += h.Objects
		sum.Records += h.Records
		sum.Bytes += h.Bytes
		sum.Stored += h.Stored
	}
	fmt.Fprintf(t, "total\t%d hours\t%d\t%d\t%d\t%d\n", len(l.Hours), sum.Objects, sum.Records, sum.Bytes, sum.Stored)
	if err := t.Flush(); err != nil {
		return err
	}
	for _, g := range l.Gaps {
		fmt.Fprintf(w, "gap: region %s has nothing from %s to %s\n", g.Region, g.From.Format(time.RFC3339), g.To.Format(time.RFC3339))
	}
	return l.Corrupt.text(w)
}

// text names what could not be read.
func (f *faults) text(w io.Writer) error {
	for _, c := range f.Named {
		if _, err := fmt.Fprintf(w, "corrupt: %s: %s\n", c.Object, printable(c.Error)); err != nil {
			return err
		}
	}
	if n := f.Count - len(f.Named); n > 0 {
		_, err := fmt.Fprintf(w, "and %d more\n", n)
		return err
	}
	return nil
}
