package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	format "sluice/internal/archive"
	"sluice/internal/archive/dirstore"
	"sluice/internal/archive/s3store"
	"sluice/internal/config"
	"sluice/sinks/csv"
	"sluice/sinks/s3csv"
	archivesource "sluice/sources/archive"
)

func archiveCommand(e *environment) *cobra.Command {
	c := &cobra.Command{
		Use:   "archive",
		Short: "What the CSV archive holds, and whether it is sound",
		Long: `Reads the archive that an s3-csv or csv sink writes; only erase and import change anything. Times are those of the records, --from
is in, --to is out.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(archiveList(e), archiveVerify(e), archiveCat(e), archiveStats(e), archiveDDL(e), archiveErase(e), archiveImport(e))
	return c
}

// selecting are the flags that choose an archive and records of it.
type selecting struct {
	archive            string
	from, to           string
	orgs, apis, status []string
}

// times adds the flags for the archive and the time.
func (s *selecting) times(c *cobra.Command) {
	c.Flags().StringVar(&s.archive, "archive", "", "name of the sink whose archive is read (default: the only s3-csv or csv sink)")
	c.Flags().StringVar(&s.from, "from", "", "first time, like 2026-11-23T09:00:00Z or 2026-11-23 (UTC)")
	c.Flags().StringVar(&s.to, "to", "", "first time that is not meant any more")
}

// filters adds the flags for what beside the time chooses records.
func (s *selecting) filters(c *cobra.Command) {
	c.Flags().StringSliceVar(&s.orgs, "org", nil, "only records of this organisation; may be repeated")
	c.Flags().StringSliceVar(&s.apis, "api", nil, "only records of this API; may be repeated")
	c.Flags().StringSliceVar(&s.status, "status", nil, "only records with this response code, or class of codes like 5xx; may be repeated")
}

// selection reads the flags.
func (s *selecting) selection() (archivesource.Selection, error) {
	sel := archivesource.Selection{Orgs: s.orgs, APIs: s.apis}
	for _, f := range []struct {
		flag, value string
		to          *time.Time
	}{{"--from", s.from, &sel.From}, {"--to", s.to, &sel.To}} {
		if f.value == "" {
			continue
		}
		t, err := parseTime(f.value)
		if err != nil {
			return sel, usageError{fmt.Errorf("%s %w", f.flag, err)}
		}
		*f.to = t
	}
	if !sel.From.IsZero() && !sel.To.IsZero() && !sel.From.Before(sel.To) {
		return sel, usageError{fmt.Errorf("--from %s is not before --to %s", s.from, s.to)}
	}
	for _, text := range s.status {
		codes, err := archivesource.ParseCodes(text)
		if err != nil {
			return sel, usageError{fmt.Errorf("--status: %w", err)}
		}
		sel.Codes = append(sel.Codes, codes)
	}
	return sel, nil
}

// timeLayouts are how a time may be written, those without a zone in UTC.
var timeLayouts = [...]string{time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02T15", time.DateOnly}

func parseTime(s string) (time.Time, error) {
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a time: write it like 2026-11-23T09:00:00Z or 2026-11-23", s)
}

// openArchive is the archive of one sink, ready to be read.
type openArchive struct {
	archivesource.Archive // through the archive's indexes
	raw                   archivesource.Archive
	name                  string
	close                 func()
}

// openArchive finds and opens the archive of the named sink, or of the only one that writes one.
func (e *environment) openArchive(ctx context.Context, cfg *config.Config, name string) (*openArchive, error) {
	name, err := archiveSink(cfg, name)
	if err != nil {
		return nil, err
	}
	a := &openArchive{name: name, close: func() {}}
	switch c := cfg.Sinks[name].Settings.(type) {
	case s3csv.Config:
		store, err := s3store.New(ctx, c.Store())
		if err != nil {
			return nil, fmt.Errorf("archive %s: %w", name, err)
		}
		if err := store.Check(ctx, c.Prefix); err != nil {
			store.Close()
			return nil, fmt.Errorf("archive %s: %w", name, err)
		}
		a.Store, a.Prefix, a.close = store, c.Prefix, store.Close
	case csv.Config:
		if _, err := os.Stat(c.Dir); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("archive %s: there is no directory %s", name, c.Dir)
		}
		store, err := dirstore.Open(c.Dir)
		if err != nil {
			return nil, fmt.Errorf("archive %s: %w", name, err)
		}
		a.Store = store
	}
	a.raw = a.Archive
	a.Store = format.NewIndexed(a.raw.Store, a.Prefix, false)
	return a, nil
}

// archiveSink is the name of the sink whose archive is meant.
func archiveSink(cfg *config.Config, name string) (string, error) {
	var names []string
	for _, n := range sortedKeys(cfg.Sinks) {
		switch cfg.Sinks[n].Settings.(type) {
		case s3csv.Config, csv.Config:
			names = append(names, n)
		}
	}
	switch {
	case len(names) == 0:
		return "", usageError{errors.New("no sink writes an archive: configure one of type s3-csv or csv")}
	case name != "" && !slices.Contains(names, name):
		return "", usageError{fmt.Errorf("--archive %s: that is no sink of type s3-csv or csv; there is %s", name, strings.Join(names, ", "))}
	case name == "" && len(names) > 1:
		return "", usageError{fmt.Errorf("there are several archives: name one with --archive (%s)", strings.Join(names, ", "))}
	case name == "":
		return names[0], nil
	}
	return name, nil
}

// faults gathers what of an archive cannot be read. It may grow with the archive, so that only the first are named.
type faults struct {
	Count int     `json:"count"`
	Named []fault `json:"named"`
}

type fault struct {
	Object string `json:"object"`
	Error  string `json:"error"`
}

// maxFaults is how many are named in a result.
const maxFaults = 1000

func (f *faults) add(object string, err error) {
	f.Count++
	if len(f.Named) < maxFaults {
		f.Named = append(f.Named, fault{object, err.Error()})
	}
}

// failed ends a command whose output has named the faults.
func (f *faults) failed() error {
	if f.Count > 0 {
		return silentError{}
	}
	return nil
}
