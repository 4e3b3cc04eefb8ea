package main

import (
	"bufio"
	"context"
	"errors"

	"github.com/spf13/cobra"

	format "sluice/internal/archive"
	archivesource "sluice/sources/archive"
)

func archiveCat(e *environment) *cobra.Command {
	var sel selecting
	var limit int64
	c := &cobra.Command{Use: "cat", Short: "Rows as CSV (text) or JSON lines", Args: noArgs,
		Long: `Prints the chosen rows in the order of their hours, as CSV with a header row, or with --output json as one JSON
object a line. A damaged object is named on standard error; what comes before its damage is printed, the rest goes on, and
the exit code is 1.`,
		Example: "  sluice archive cat --from 2026-11-23T09:00Z --to 2026-11-23T10:00Z --org acme --output json\n  sluice archive cat --status 5xx --limit 20"}
	sel.times(c)
	sel.filters(c)
	c.Flags().Int64Var(&limit, "limit", 0, "end after so many rows (default: all)")
	out := outputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return e.withArchive(c.Context(), &sel, func(a *openArchive, s *archivesource.Selection, _ *progress) error {
			p := &printer{w: bufio.NewWriterSize(e.stdout, 64<<10), json: *out == "json", left: limit, limited: limit > 0}
			var bad faults
			err := p.all(c.Context(), a, s, &bad)
			if err = errors.Join(err, p.w.Flush()); err != nil {
				return err
			}
			return errors.Join(bad.text(e.stderr), bad.failed())
		})
	}
	return c
}

// printer prints rows.
type printer struct {
	w       *bufio.Writer
	json    bool
	enc     format.Encoder
	buf     []byte
	left    int64
	limited bool
}

// errEnough ends the printing.
var errEnough = errors.New("enough rows")

func (p *printer) all(ctx context.Context, a *openArchive, s *archivesource.Selection, bad *faults) error {
	if !p.json {
		if _, err := p.w.Write(format.AppendHeader(nil)); err != nil {
			return err
		}
	}
	for h, err := range a.Hours(ctx, s.From, s.To) {
		if err != nil {
			return err
		}
		for _, b := range h.Broken {
			bad.add(b.Key, b.Err)
		}
		for _, m := range h.Manifests {
			if !m.Touches(s.From, s.To) {
				continue
			}
			err := a.Rows(ctx, m, func(r *format.Row) error { return p.row(s, r) })
			var u *archivesource.Unreadable
			switch {
			case errors.Is(err, errEnough):
				return nil
			case errors.As(err, &u):
				bad.add(u.Object, u.Err)
			case err != nil:
				return err
			}
		}
	}
	return nil
}

func (p *printer) row(s *archivesource.Selection, r *format.Row) error {
	if !s.Takes(r.Record) {
		return nil
	}
	if p.json {
		p.buf = p.enc.AppendJSON(p.buf[:0], r)
	} else {
		p.buf = p.enc.AppendRow(p.buf[:0], r)
	}
	if _, err := p.w.Write(p.buf); err != nil {
		return err
	}
	if p.left--; p.limited && p.left <= 0 {
		return errEnough
	}
	return nil
}
