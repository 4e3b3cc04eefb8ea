package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"

	"sluice/internal/archive"
	"sluice/internal/pipeline"
	"sluice/internal/record"
)

// Reading is the file, opened to be compared. It changes nothing and may be used beside the pump that writes.
type Reading struct{ db *sql.DB }

// OpenReading opens the file of a sink. The caller closes it.
func OpenReading(c Config) (*Reading, error) {
	if _, err := os.Stat(c.Path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no file %s on this machine", c.Path)
	}
	db, err := sql.Open("sqlite", dsn(c.Path, "mode=ro&_pragma=busy_timeout(2000)&_pragma=cache_size(-4000)"))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", c.Path, err)
	}
	return &Reading{db}, nil
}

// Close closes the file.
func (r *Reading) Close() error { return r.db.Close() }

// Hours are the hours between two times of which there are counters, in no order. Zero times are no bounds.
func (r *Reading) Hours(ctx context.Context, from, to time.Time) (out []time.Time, err error) {
	rows, err := r.db.QueryContext(ctx, "SELECT DISTINCT bucket FROM counters WHERE width = 3600 AND dimension = ?", dimTotal)
	if err != nil {
		return nil, fmt.Errorf("list hours: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err tells
	for rows.Next() {
		var at int64
		if err := rows.Scan(&at); err != nil {
			return nil, fmt.Errorf("list hours: %w", err)
		}
		t := time.Unix(at, 0).UTC()
		if (from.IsZero() || t.Add(hourWidth).After(from)) && (to.IsZero() || t.Before(to)) {
			out = append(out, t)
		}
	}
	return out, rows.Err()
}

// Snapshot is what an archive has of an hour.
type Snapshot interface {
	Rows(ctx context.Context, do func(*archive.Row, archive.Copies) error) error
	End(lineage string) (pipeline.Position, bool)
	Covers(lineage string, upTo pipeline.Position) bool
	Counted(lineage string) (pipeline.Position, bool)
}

// Difference is a counter that is not what the archive adds up to.
type Difference struct {
	Counter   string
	Has, Want int64
}

// Compared is what an hour is against the archive.
type Compared struct {
	Behind      string // set: the archive has not got all that is counted, nothing else is told
	Differences []Difference
	Has, Want   int64 // requests in all
	Copies      int64 // records that were claimed again, and count twice here
}

// Compare holds an hour's counters against what the rows below the stored positions add up to. skip tells which rows
// never reached the sink, and rightly. It waits for the archive with the given patience.
func (r *Reading) Compare(ctx context.Context, hour time.Time, patience time.Duration, skip func(*archive.Row) bool,
	look func(context.Context) (Snapshot, error)) (Compared, error) {
	positions, has, err := r.hour(ctx, hour)
	if err != nil {
		return Compared{}, fmt.Errorf("read the counters of %s: %w", hour.Format(time.RFC3339), err)
	}
	snap, behind, err := await(ctx, positions, patience, look)
	if err != nil || behind != "" {
		return Compared{Behind: behind}, err
	}
	want, twice := map[cell]*counters{}, map[cell]*counters{}
	var distinct archive.Distinct
	var out Compared
	err = snap.Rows(ctx, func(row *archive.Row, c archive.Copies) error {
		if row.Position.String() >= positions[row.Stream.Lineage] || skip(row) {
			return nil
		}
		addHour(twice, hour, row.Record)
		if distinct.First(row, c) {
			addHour(want, hour, row.Record)
		} else {
			out.Copies++
		}
		return nil
	})
	if err != nil {
		return out, err
	}
	if out.Copies > 0 && len(differences(has, twice)) == 0 {
		return out, nil // counted as they came, until the hour is rebuilt
	}
	out.Differences = differences(has, want)
	out.Has, out.Want = requestsOf(has), requestsOf(want)
	return out, nil
}

func requestsOf(m map[cell]*counters) (n int64) {
	for k, c := range m {
		if k.dim == dimTotal {
			n += int64(c.hits)
		}
	}
	return n
}

// await lists the archive until it has what the positions say is counted. Of a lineage that neither the hour nor a
// registry knows it has nothing to say.
func await(ctx context.Context, positions map[string]string, patience time.Duration, look func(context.Context) (Snapshot, error)) (Snapshot, string, error) {
	for until := time.Now().Add(patience); ; {
		snap, err := look(ctx)
		if err != nil {
			return nil, "", err
		}
		behind := ""
		for lineage, text := range positions {
			at, err := pipeline.ParsePosition(text)
			if err != nil {
				return nil, "", fmt.Errorf("the stored position: %w", err)
			}
			_, here := snap.End(lineage)
			_, known := snap.Counted(lineage)
			if (here || known) && !snap.Covers(lineage, at) {
				behind = fmt.Sprintf("the archive has list %s not up to %s yet, which is counted already", lineage, text)
			}
		}
		if behind == "" || time.Now().After(until) {
			return snap, behind, nil
		}
		timer := time.NewTimer(300 * time.Millisecond)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, "", context.Cause(ctx)
		}
	}
}

// hour reads the positions and an hour's counters at one moment.
func (r *Reading) hour(ctx context.Context, hour time.Time) (positions map[string]string, cells map[cell]*counters, err error) {
	tx, err := r.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = tx.Rollback() }() // nothing to undo
	if positions, err = readPositions(ctx, tx); err != nil {
		return nil, nil, err
	}
	rows, err := tx.QueryContext(ctx, `SELECT dimension, org, name, hits, errors, success, latency_sum, latency_max, upstream_sum,
		request_bytes, bytes_in, bytes_out, opened, closed FROM counters WHERE width = 3600 AND bucket = ? AND dimension IN (?, ?, ?, ?, ?)`,
		hour.Unix(), dimTotal, dimOrg, dimAPI, dimCountry, dimCode)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = rows.Close() }() // Err tells
	cells = map[cell]*counters{}
	for rows.Next() {
		k, c := cell{width: 3600, bucket: hour.Unix()}, &counters{}
		if err := rows.Scan(&k.dim, &k.org, &k.name, &c.hits, &c.errors, &c.success, &c.latencySum, &c.latencyMax, &c.upstreamSum,
			&c.requestBytes, &c.bytesIn, &c.bytesOut, &c.opened, &c.closed); err != nil {
			return nil, nil, err
		}
		cells[k] = c
	}
	return positions, cells, rows.Err()
}

func readPositions(ctx context.Context, tx *sql.Tx) (map[string]string, error) {
	rows, err := tx.QueryContext(ctx, "SELECT lineage, position FROM positions")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err tells
	out := map[string]string{}
	for rows.Next() {
		var lineage, at string
		if err := rows.Scan(&lineage, &at); err != nil {
			return nil, err
		}
		out[lineage] = at
	}
	return out, rows.Err()
}

// addHour counts a record in the cells of its hour that are compared: keys and endpoints, which callers choose, are not
// among them, so that memory is bounded.
func addHour(m map[cell]*counters, hour time.Time, r *record.Record) {
	one, org := countersOf(r), clean(r.OrgID)
	count := func(dim int, org, name string) {
		k := cell{3600, hour.Unix(), dim, org, name}
		if m[k] == nil {
			m[k] = &counters{}
		}
		m[k].add(&one)
	}
	count(dimTotal, "", "")
	count(dimOrg, org, "")
	count(dimAPI, org, clean(r.APIID))
	if one.hits > 0 {
		count(dimCountry, org, clean(r.Geo.Country.ISOCode))
		count(dimCode, org, strconv.Itoa(int(r.ResponseCode)))
	}
}

var dimNames = map[int]string{dimTotal: "total", dimOrg: "organisation", dimAPI: "api", dimCountry: "country", dimCode: "code"}

// differences names the counters that differ. A dimension that was full, so that newcomers count under other, is left out.
func differences(has, want map[cell]*counters) (out []Difference) {
	full := map[int]bool{}
	for _, m := range []map[cell]*counters{has, want} {
		for k := range m {
			full[k.dim] = full[k.dim] || k.org == "" && k.name == otherName
		}
	}
	seen := map[cell]bool{}
	for _, m := range []map[cell]*counters{has, want} {
		for k := range m {
			if seen[k] || full[k.dim] {
				continue
			}
			seen[k] = true
			out = append(out, cellDiff(k, orNone(has[k]), orNone(want[k]))...)
		}
	}
	return out
}

func orNone(c *counters) *counters {
	if c == nil {
		return &counters{}
	}
	return c
}

func cellDiff(k cell, a, b *counters) (out []Difference) {
	name := dimNames[k.dim]
	for _, part := range []string{k.org, k.name} {
		if part != "" {
			name += " " + part
		}
	}
	for _, f := range []struct {
		name string
		a, b int64
	}{{"hits", int64(a.hits), int64(b.hits)}, {"errors", int64(a.errors), int64(b.errors)}, {"success", int64(a.success), int64(b.success)},
		{"latency_sum", a.latencySum, b.latencySum}, {"latency_max", a.latencyMax, b.latencyMax}, {"upstream_sum", a.upstreamSum, b.upstreamSum},
		{"request_bytes", a.requestBytes, b.requestBytes}, {"bytes_in", a.bytesIn, b.bytesIn}, {"bytes_out", a.bytesOut, b.bytesOut},
		{"opened", a.opened, b.opened}, {"closed", a.closed, b.closed}} {
		if f.a != f.b {
			out = append(out, Difference{name + ": " + f.name, f.a, f.b})
		}
	}
	return out
}
