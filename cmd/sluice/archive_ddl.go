package main

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	format "sluice/internal/archive"
	"sluice/internal/archive/columnar"
	"sluice/internal/config"
	"sluice/schemas"
	"sluice/sinks/csv"
	"sluice/sinks/s3csv"
)

func archiveDDL(e *environment) *cobra.Command {
	var sel selecting
	var parquet bool
	a := schemas.Athena{}
	c := &cobra.Command{Use: "ddl", Short: "Table and view for Amazon Athena, as SQL", Args: noArgs,
		Long: `Prints the statements that make the archive a table in Amazon Athena (AWS Glue), with partition projection, and a view
that counts a record once. The regions and the first day are those that the archive has, beside the configured region.
With --parquet they are those of the Parquet files that retain keeps with retention.archive.parquet.`,
		Example: "  sluice archive ddl\n  sluice archive ddl --parquet\n  sluice archive ddl --table analytics.sluice_raw --view analytics.sluice"}
	c.Flags().StringVar(&sel.archive, "archive", "", "name of the sink whose archive is meant (default: the only s3-csv or csv sink)")
	c.Flags().StringVar(&a.Table, "table", "", "name of the table (default: sluice_archive, or sluice_parquet)")
	c.Flags().StringVar(&a.View, "view", "", "name of the view (default: sluice_records, or sluice_columns)")
	c.Flags().BoolVar(&parquet, "parquet", false, "of the Parquet files of hours that are over")
	c.RunE = func(c *cobra.Command, _ []string) error {
		table, view := "sluice_archive", "sluice_records"
		if parquet {
			table, view = "sluice_parquet", "sluice_columns"
		}
		a.Table, a.View = cmp.Or(a.Table, table), cmp.Or(a.View, view)
		for _, name := range []string{a.Table, a.View} {
			if !tableName.MatchString(name) {
				return usageError{fmt.Errorf("%q is not a name that Athena takes: write it like sluice_archive or analytics.sluice_archive", name)}
			}
		}
		cfg, _, err := e.load(c.Context())
		if err != nil {
			return err
		}
		open, err := e.openArchive(c.Context(), cfg, sel.archive)
		if err != nil {
			return err
		}
		defer open.close()
		if err := describeArchive(c.Context(), &a, cfg, open); err != nil {
			return err
		}
		text := a.DDL()
		if parquet {
			a.Location = columnar.Prefix(a.Location)
			text = a.ParquetDDL()
		}
		_, err = fmt.Fprint(e.stdout, text)
		return err
	}
	return c
}

var tableName = regexp.MustCompile(`^([a-z_][a-z0-9_]*\.)?[a-z_][a-z0-9_]*$`)

// describeArchive finds where an archive lies, its regions and its first day.
func describeArchive(ctx context.Context, a *schemas.Athena, cfg *config.Config, open *openArchive) error {
	switch c := cfg.Sinks[open.name].Settings.(type) {
	case s3csv.Config:
		a.Location = "s3://" + c.Bucket + "/" + c.Prefix
	case csv.Config:
		abs, err := filepath.Abs(c.Dir)
		if err != nil {
			return err
		}
		a.Location = "file://" + abs + "/"
	}
	days, err := format.Days(ctx, open.Store, open.Prefix, time.Time{}, time.Time{})
	if err != nil {
		return err
	}
	a.From = time.Now()
	a.Regions = []string{label(cfg.Region)}
	for i, d := range days {
		if i == 0 {
			a.From = d.Time
		}
		for _, r := range d.Regions {
			a.Regions = append(a.Regions, label(r))
		}
	}
	slices.Sort(a.Regions)
	a.Regions = slices.Compact(a.Regions)
	return nil
}

// label is a region as the archive's directories have it.
func label(region string) string {
	dir, _, _ := strings.Cut(format.Partition("", region, time.Time{}), "/")
	return strings.TrimPrefix(dir, "region=")
}
