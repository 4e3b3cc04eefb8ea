// Command columns tells what a query of Athena reads of an archive in a directory, from its CSV objects and from its Parquet files:
// docs/performance.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"

	"sluice/internal/archive"
	"sluice/internal/archive/columnar"
	"sluice/internal/archive/dirstore"
)

// queries are columns that are read together.
var queries = []struct{ what, columns string }{
	{"requests by API and status", "api_id response_code"},
	{"latency by API and path", "api_id path request_time_ms"},
	{"errors by key, over time", "timestamp api_key response_code"},
	{"one record's bodies", "record_id raw_request raw_response"},
}

func main() {
	dir := flag.String("dir", "", "directory of the archive")
	flag.Parse()
	if err := show(context.Background(), *dir); err != nil {
		fmt.Fprintln(os.Stderr, "columns:", err)
		os.Exit(1)
	}
}

func show(ctx context.Context, dir string) error {
	if dir == "" {
		return errors.New("give -dir")
	}
	s, err := dirstore.Open(dir)
	if err != nil {
		return err
	}
	var csv, rows, records int64
	for h, err := range archive.Hours(ctx, s, "", time.Time{}, time.Time{}) {
		if err != nil {
			return err
		}
		for _, m := range h.Manifests {
			i, err := s.Head(ctx, m.Key)
			if err != nil {
				return err
			}
			csv += i.Size
			rows += m.Bytes
			records += m.Records
		}
	}
	var files, size, footers int64
	columns := map[string]int64{}
	for h, err := range columnar.Hours(ctx, s, "") {
		if err != nil {
			return err
		}
		if len(h.Files) == 0 {
			continue
		}
		newest := h.Files[len(h.Files)-1]
		footer, err := chunks(filepath.Join(dir, filepath.FromSlash(newest.Key)), newest.Size, columns)
		if err != nil {
			return err
		}
		files++
		size += newest.Size
		footers += footer
	}
	if files == 0 || csv == 0 {
		return errors.New("there are no Parquet files, or no objects: run sluice retain --apply with retention.archive.parquet")
	}
	fmt.Printf("%d records; rows %d bytes, objects %d; %d Parquet files %d bytes, %.2f of the objects\n", records, rows, csv, files, size, float64(size)/float64(csv))
	for _, q := range queries {
		read := footers
		for _, c := range strings.Fields(q.columns) {
			read += columns[c]
		}
		fmt.Printf("%-28s %10d bytes, 1/%.0f of the objects (%s)\n", q.what, read, float64(csv)/float64(read), q.columns)
	}
	names := make([]string, 0, len(columns))
	for c := range columns {
		names = append(names, c)
	}
	slices.SortFunc(names, func(a, b string) int { return int(columns[b] - columns[a]) })
	for _, c := range names[:8] {
		fmt.Printf("  %-20s %10d\n", c, columns[c])
	}
	return nil
}

// chunks adds up the bytes of a file's columns, and returns what is no column: the footer and indexes.
func chunks(name string, size int64, columns map[string]int64) (int64, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }() // it was only read from
	p, err := parquet.OpenFile(f, size)
	if err != nil {
		return 0, err
	}
	rest := size
	for _, g := range p.Metadata().RowGroups {
		for _, c := range g.Columns {
			columns[c.MetaData.PathInSchema[0]] += c.MetaData.TotalCompressedSize
			rest -= c.MetaData.TotalCompressedSize
		}
	}
	return rest, nil
}
