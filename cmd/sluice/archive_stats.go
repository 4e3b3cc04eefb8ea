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

// regionStats is what an archive has of one region.
type regionStats struct {
	Region   string    `json:"region"`
	Hours    int       `json:"hours"`
	Objects  int       `json:"objects"`
	Records  int64     `json:"records"`
	Bytes    int64     `json:"bytes"`  // of rows, uncompressed
	Stored   int64     `json:"stored"` // of objects, as they lie
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	Lists    int       `json:"lists"`    // lineages
	Partial  int       `json:"partial"`  // objects that lack something: filters, masks, dropped bodies, what documents do not say
	Replaced int       `json:"replaced"` // objects that count no more
	Orphans  int       `json:"orphans"`  // objects without a manifest

	lineages map[string]bool
}

// archiveStatistics is the result of archive stats.
type archiveStatistics struct {
	Archive string         `json:"archive"`
	Regions []*regionStats `json:"regions"`
	Corrupt faults         `json:"corrupt"`
}

func archiveStats(e *environment) *cobra.Command {
	var sel selecting
	c := &cobra.Command{Use: "stats", Short: "Records, sizes, compression and span, by region", Args: noArgs,
		Example: "  sluice archive stats\n  sluice archive stats --from 2026-11-01 --output json"}
	sel.times(c)
	out := outputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return e.withArchive(c.Context(), &sel, func(a *openArchive, s *archivesource.Selection, _ *progress) error {
			st, err := statistics(c.Context(), a, s)
			if err != nil {
				return err
			}
			if err := out.print(e.stdout, st, st.text); err != nil {
				return err
			}
			return st.Corrupt.failed()
		})
	}
	return c
}

func statistics(ctx context.Context, a *openArchive, s *archivesource.Selection) (*archiveStatistics, error) {
	st := &archiveStatistics{Archive: a.name, Regions: []*regionStats{}}
	byName := map[string]*regionStats{}
	for h, err := range a.Hours(ctx, s.From, s.To) {
		if err != nil {
			return nil, err
		}
		for _, b := range h.Broken {
			st.Corrupt.add(b.Key, b.Err)
		}
		r := byName[h.Region]
		if r == nil {
			r = &regionStats{Region: h.Region, lineages: map[string]bool{}}
			byName[h.Region] = r
			st.Regions = append(st.Regions, r)
		}
		r.add(&h)
	}
	return st, nil
}

func (r *regionStats) add(h *format.Hour) {
	line := lineOf(h)
	r.Hours++
	r.Objects += line.Objects
	r.Records += line.Records
	r.Bytes += line.Bytes
	r.Stored += line.Stored
	r.Replaced += line.Replaced
	r.Orphans += line.Orphans
	for _, m := range h.Manifests {
		if r.First.IsZero() || m.First.Before(r.First) {
			r.First = m.First
		}
		if m.Last.After(r.Last) {
			r.Last = m.Last
		}
		if !m.Complete() {
			r.Partial++
		}
		for _, p := range m.Positions {
			r.lineages[p.Lineage] = true
		}
	}
	r.Lists = len(r.lineages)
}

func (st *archiveStatistics) text(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "REGION\tHOURS\tOBJECTS\tRECORDS\tBYTES\tSTORED\tRATIO\tLISTS\tFIRST\tLAST")
	for _, r := range st.Regions {
		ratio := "-"
		if r.Stored > 0 {
			ratio = fmt.Sprintf("%.1f", float64(r.Bytes)/float64(r.Stored))
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%s\t%d\t%s\t%s\n", r.Region, r.Hours, r.Objects, r.Records, r.Bytes, r.Stored, ratio,
			r.Lists, r.First.Format(time.RFC3339), r.Last.Format(time.RFC3339))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, r := range st.Regions {
		if r.Partial+r.Replaced+r.Orphans > 0 {
			fmt.Fprintf(w, "region %s: %d objects are filtered, masked, without bodies or imported; %d are replaced; %d have no manifest\n",
				r.Region, r.Partial, r.Replaced, r.Orphans)
		}
	}
	return st.Corrupt.text(w)
}
