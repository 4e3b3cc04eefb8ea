// Package local is retention in the SQLite file of a sink. It works beside a running pump: SQLite itself keeps the two apart.
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

	_ "modernc.org/sqlite" // the driver

	"sluice/internal/crash"
	"sluice/retention/erase"
	"sluice/retention/plan"
)

// Eraser takes somebody's records, and what was counted by key, out of a file. It is for one goroutine.
type Eraser struct {
	name   string
	db     *sql.DB
	Person *erase.Person
}

// dimKey is the dimension of counters and labels that has keys; see sinks/sqlite.
const dimKey = 3

// Open opens the file of a sink; nil if it is not there. The caller closes it.
func Open(name, path string, p *erase.Person) (*Eraser, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	// secure_delete overwrites what is deleted, so that it is not left in free pages
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?_pragma=busy_timeout(10000)&_pragma=secure_delete(ON)&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return &Eraser{name: name, db: db, Person: p}, nil
}

// Close closes the file.
func (e *Eraser) Close() error { return e.db.Close() }

// where is the condition for the person's recent records.
func (e *Eraser) where() (string, []any) {
	p := e.Person
	cond, args := []string{"api_key <> ?"}, []any{erase.Nobody}
	in := func(column string, values []string) {
		if len(values) == 0 {
			return
		}
		cond = append(cond, column+" IN (?"+strings.Repeat(", ?", len(values)-1)+")")
		for _, v := range values {
			args = append(args, v)
		}
	}
	in("api_key", p.Keys)
	in("api_id", p.APIs)
	if p.Org != "" {
		in("org", []string{p.Org})
	}
	if !p.From.IsZero() {
		cond, args = append(cond, "time_ms >= ?"), append(args, p.From.UnixMilli())
	}
	if !p.To.IsZero() {
		cond, args = append(cond, "time_ms < ?"), append(args, p.To.UnixMilli())
	}
	return strings.Join(cond, " AND "), args
}

// Plan counts the person's recent records.
func (e *Eraser) Plan(ctx context.Context) ([]plan.Action, error) {
	cond, args := e.where()
	a := plan.Action{Verb: e.Person.Verb(), Store: e.name, Target: "recent", Reason: e.Person.String()}
	if err := e.db.QueryRowContext(ctx, "SELECT count(*) FROM recent WHERE "+cond, args...).Scan(&a.Records); err != nil {
		return nil, fmt.Errorf("count records: %w", err)
	}
	if a.Records == 0 {
		return nil, nil
	}
	var err error
	a.HeldBy, err = e.held(ctx, e.db)
	return []plan.Action{a}, err
}

// under is the condition for what a hold covers.
func under(h *plan.Hold) (string, []any) {
	cond, args := "1", []any(nil)
	if h.Org != "*" {
		cond, args = cond+" AND org = ?", append(args, h.Org)
	}
	if !h.From.IsZero() {
		cond, args = cond+" AND time_ms >= ?", append(args, h.From.UnixMilli())
	}
	if !h.To.IsZero() {
		cond, args = cond+" AND time_ms < ?", append(args, h.To.UnixMilli())
	}
	return cond, args
}

// querier is the file, or a transaction in it.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// held tells which holds cover some of the person's recent records.
func (e *Eraser) held(ctx context.Context, in querier) (out []string, err error) {
	cond, args := e.where()
	for i := range e.Person.Holds {
		h := &e.Person.Holds[i]
		c, more := under(h)
		var n int64
		if err := in.QueryRowContext(ctx, "SELECT count(*) FROM recent WHERE "+cond+" AND "+c, append(slices.Clone(args), more...)...).Scan(&n); err != nil {
			return nil, fmt.Errorf("count records: %w", err)
		}
		if n > 0 {
			out = append(out, h.String())
		}
	}
	return out, nil
}

// Do does an action of a plan, in one transaction; to do it again changes nothing. When records on hold came since the plan
// was made, nothing is done. Counters and labels of the keys go when
// keys alone are meant; what they add to totals stays.
func (e *Eraser) Do(ctx context.Context, a *plan.Action, done func(int64)) error {
	tx, err := e.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("%s records: %w", a.Verb, err)
	}
	defer func() { _ = tx.Rollback() }() // no effect after a commit
	held, err := e.held(ctx, tx)
	if err == nil {
		err = erase.NewHeldError(held)
	}
	if err != nil {
		return err
	}
	cond, args := e.where()
	statement := "DELETE FROM recent WHERE " + cond
	if a.Verb == plan.Anonymise {
		statement = `UPDATE recent SET api_key = ?, alias = '', oauth_id = '', ip_address = '', user_agent = '', tags = '[]', raw_request = '',
			raw_response = '' WHERE ` + cond
		args = append([]any{erase.Nobody}, args...)
	}
	res, err := tx.ExecContext(ctx, statement, args...)
	if err != nil {
		return fmt.Errorf("%s records: %w", a.Verb, err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return fmt.Errorf("%s records: %w", a.Verb, err)
	}
	if p := e.Person; len(p.APIs) == 0 && p.From.IsZero() && p.To.IsZero() {
		for _, key := range p.Keys {
			for _, table := range []string{"counters", "labels"} {
				if _, err := tx.ExecContext(ctx, "DELETE FROM "+table+" WHERE dimension = ? AND name = ? AND (org = ? OR ? = '')", dimKey, key, p.Org, p.Org); err != nil {
					return fmt.Errorf("delete %s of a key: %w", table, err)
				}
			}
		}
	}
	crash.Before("erase/sqlite")
	err = tx.Commit()
	crash.After("erase/sqlite")
	if err != nil {
		return fmt.Errorf("%s records: %w", a.Verb, err)
	}
	// else the old pages stay in the log beside the file
	crash.Before("erase/sqlite-log")
	_, err = e.db.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	crash.After("erase/sqlite-log")
	if err != nil {
		return fmt.Errorf("%s records: %w", a.Verb, err)
	}
	done(n)
	return nil
}
