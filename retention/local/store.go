package local

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"sluice/internal/crash"
	"sluice/internal/units"
	"sluice/retention/plan"
)

// part is what a file holds of one kind, as a plan names it; see sinks/sqlite for what the columns mean.
type part struct {
	name  string
	table string
	where string // of the table, beside the time
	day   string // start of a row's UTC day in Unix seconds
	hits  string // records that rows stand for
	time  string // column of the time
	unit  time.Duration
	all   bool // whose records they are is not known
}

// parts of a file. Totals are of all organisations together, and go by the longest rule.
var parts = []part{
	{name: "totals", table: "counters", where: "width IN (10, 60, 3600) AND dimension = 0", day: "bucket - bucket % 86400", hits: "sum(CASE width WHEN 3600 THEN hits ELSE 0 END)",
		time: "bucket", unit: time.Second, all: true},
	{name: "counters", table: "counters", where: "width IN (10, 60, 3600) AND dimension IN (1, 2, 3, 4, 5, 6)", day: "bucket - bucket % 86400",
		hits: "sum(CASE WHEN width = 3600 AND dimension = 1 THEN hits ELSE 0 END)", time: "bucket", unit: time.Second},
	{name: "recent", table: "recent", where: "1", day: "(time_ms - time_ms % 86400000) / 1000", hits: "count(*)", time: "time_ms", unit: time.Millisecond},
}

// Store is the counters and recent records of one file, by age. It works beside a running pump, and is for one goroutine.
type Store struct {
	name string
	path string
	db   *sql.DB // nil: there is no file yet
	free func() int64
}

// NewStore opens the file of a sink, if it is there. free is what its file system can still take in bytes, or -1. The caller
// closes the store.
func NewStore(name, path string, free func() int64) (*Store, error) {
	s := &Store{name: name, path: path, free: free}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?_pragma=busy_timeout(10000)&_txlock=immediate")
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	s.db = db
	return s, nil
}

// Close closes the file.
func (s *Store) Close(context.Context) {
	if s.db != nil {
		_ = s.db.Close() // nothing is on its way: each action is committed
	}
}

// Inventory counts rows by organisation and UTC day. An hour's counters are that hour's; finer ones go with them.
func (s *Store) Inventory(ctx context.Context, _ time.Time) (plan.Inventory, error) {
	inv := plan.Inventory{Store: s.name, Kind: plan.SQLite, Free: s.free(), Ahead: "on the file system of " + s.path}
	if s.db == nil {
		return inv, nil
	}
	var rows int64
	for i := range parts {
		found, err := s.days(ctx, &parts[i])
		if err != nil {
			return inv, fmt.Errorf("count the %s of %s: %w", parts[i].name, s.path, err)
		}
		for i := range found {
			rows += found[i].Records
		}
		inv.Items = append(inv.Items, found...)
	}
	used, err := s.used(ctx)
	if err != nil {
		return inv, err
	}
	for i := range inv.Items { // rows are of much the same size
		inv.Items[i].Bytes = int64(float64(used) * float64(inv.Items[i].Records) / float64(rows))
	}
	return inv, nil
}

func (s *Store) days(ctx context.Context, p *part) (out []plan.Item, err error) {
	rows, err := s.db.QueryContext(ctx, fmt.Sprintf("SELECT org, %s AS day, count(*), %s FROM %s WHERE %s GROUP BY org, day ORDER BY org, day",
		p.day, p.hits, p.table, p.where))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var day int64
		it := plan.Item{Target: p.name, Group: p.name, AnyOrg: p.all}
		if err := rows.Scan(&it.Org, &day, &it.Records, &it.Stands); err != nil {
			return nil, err
		}
		it.Stands = max(1, it.Stands) // a day of TCP reports alone has no hits
		it.From = time.Unix(day, 0).UTC()
		it.To = it.From.Add(units.Day)
		out = append(out, it)
	}
	return out, rows.Err()
}

// used is the bytes of the file that hold something. The file itself never shrinks: what is free in it is used again.
func (s *Store) used(ctx context.Context) (int64, error) {
	var pages, free, size int64
	for query, into := range map[string]*int64{"PRAGMA page_count": &pages, "PRAGMA freelist_count": &free, "PRAGMA page_size": &size} {
		if err := s.db.QueryRowContext(ctx, query).Scan(into); err != nil {
			return 0, fmt.Errorf("ask for the size of %s: %w", s.path, err)
		}
	}
	return (pages - free) * size, nil
}

// Do does an action, a day in a transaction, so that a pump beside it waits for moments; to do it again changes nothing.
func (s *Store) Do(ctx context.Context, a *plan.Action, done func(int64)) error {
	i := slices.IndexFunc(parts, func(p part) bool { return p.name == a.Target })
	if a.Verb != plan.DeleteDocuments || i < 0 || s.db == nil {
		return fmt.Errorf("%s of %s is not for %s", a.Verb, a.Target, s.path)
	}
	for day := a.From; day.Before(a.To); day = day.Add(units.Day) {
		n, err := s.delete(ctx, &parts[i], a, day)
		if err != nil {
			return fmt.Errorf("delete %s of %s: %w", a.Target, day.Format(time.DateOnly), err)
		}
		done(n)
	}
	return nil
}

func (s *Store) delete(ctx context.Context, p *part, a *plan.Action, day time.Time) (int64, error) {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback() }() // no effect after a commit
	query := fmt.Sprintf("DELETE FROM %s WHERE %s AND %s >= ? AND %s < ?", p.table, p.where, p.time, p.time)
	args := []any{day.UnixNano() / int64(p.unit), day.Add(units.Day).UnixNano() / int64(p.unit)}
	if len(a.Orgs) > 0 {
		query += " AND org IN (?" + strings.Repeat(", ?", len(a.Orgs)-1) + ")"
		for _, o := range a.Orgs {
			args = append(args, o)
		}
	}
	res, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	n, err := res.RowsAffected()
	if err != nil {
		return 0, err
	}
	if p.table == "counters" && !day.Add(units.Day).Before(a.To) { // with the last day, what nothing is counted under any more
		if _, err := tx.ExecContext(ctx, "DELETE FROM labels WHERE (dimension, org, name) NOT IN (SELECT dimension, org, name FROM counters)"); err != nil {
			return 0, fmt.Errorf("delete labels: %w", err)
		}
	}
	crash.Before("retention/sqlite")
	err = tx.Commit()
	crash.After("retention/sqlite")
	return n, err
}
