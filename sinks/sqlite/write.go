package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"sluice/internal/crash"
	"sluice/internal/pipeline"
)

// statements are the writer's, prepared once.
type statements struct {
	position, advance, count, label, insert *sql.Stmt
}

func prepare(ctx context.Context, db *sql.DB) (s statements, err error) {
	for _, p := range []struct {
		to    **sql.Stmt
		query string
	}{
		{&s.position, "SELECT position FROM positions WHERE lineage = ?"},
		{&s.advance, `INSERT INTO positions VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET
			source = excluded.source, list = excluded.list, position = excluded.position`},
		{&s.count, `INSERT INTO counters VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
			hits = hits + excluded.hits, errors = errors + excluded.errors, success = success + excluded.success,
			latency_sum = latency_sum + excluded.latency_sum, latency_max = max(latency_max, excluded.latency_max),
			upstream_sum = upstream_sum + excluded.upstream_sum, request_bytes = request_bytes + excluded.request_bytes,
			bytes_in = bytes_in + excluded.bytes_in, bytes_out = bytes_out + excluded.bytes_out,
			opened = opened + excluded.opened, closed = closed + excluded.closed`},
		{&s.label, "INSERT INTO labels VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET label = excluded.label"},
		{&s.insert, `INSERT INTO recent VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
			?, ?, ?, ?, ?)`},
	} {
		if *p.to, err = db.PrepareContext(ctx, p.query); err != nil {
			return s, errors.Join(fmt.Errorf("prepare a statement: %w", err), s.close())
		}
	}
	return s, nil
}

func (s *statements) close() error {
	var errs []error
	for _, st := range []**sql.Stmt{&s.position, &s.advance, &s.count, &s.label, &s.insert} {
		if *st != nil {
			errs = append(errs, (*st).Close())
			*st = nil
		}
	}
	return errors.Join(errs...)
}

// Write folds the items beyond the stored position into the aggregates and keeps them among the recent records, and
// stores the batch's end as the new position, in one transaction. Items below it took effect earlier and are skipped:
// they are this batch's effect, not duplicates.
func (s *Sink) Write(ctx context.Context, b *pipeline.Batch) (pipeline.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db == nil {
		return pipeline.Result{}, errors.New("the file is not open")
	}
	if err := s.write(ctx, b); err != nil {
		s.names.drop() // it may hold names that were rolled back
		return pipeline.Result{}, classify(fmt.Errorf("write to %s: %w", s.conf.Path, err))
	}
	return pipeline.Result{}, nil
}

func (s *Sink) write(ctx context.Context, b *pipeline.Batch) error {
	sh, err := s.shapeOf(b)
	if err != nil {
		return err
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // no effect after a commit
	stored, err := s.stored(ctx, tx, b.Stream.Lineage)
	if err != nil {
		return err
	}
	end := b.End().String()
	if end <= stored {
		return nil
	}
	items := beyond(b, stored)
	if len(items) > 0 {
		if err := s.count(ctx, tx, items); err != nil {
			return err
		}
		if err := s.keep(ctx, tx, b, items, sh); err != nil {
			return err
		}
	}
	if err := s.tidy(ctx, tx, b.ClaimTime); err != nil {
		return err
	}
	if _, err := tx.StmtContext(ctx, s.stmts.advance).ExecContext(ctx, b.Stream.Lineage, b.Stream.Source, b.Stream.List,
		end); err != nil {
		return fmt.Errorf("store the position: %w", err)
	}
	crash.Before("sqlite/commit")
	err = tx.Commit()
	crash.After("sqlite/commit")
	return err
}

// shapeOf is the shape recorded with the batch's claim.
func (s *Sink) shapeOf(b *pipeline.Batch) (shape, error) {
	sh := shape{Bodies: s.conf.Bodies}
	if len(b.Shape.JSON) == 0 {
		return sh, nil
	}
	if err := json.Unmarshal(b.Shape.JSON, &sh); err != nil {
		return sh, fmt.Errorf("read the shape recorded with the claim: %w", err)
	}
	return sh, nil
}

// stored is the position of a lineage, as text that sorts; empty when it has none.
func (s *Sink) stored(ctx context.Context, tx *sql.Tx, lineage string) (pos string, err error) {
	err = tx.StmtContext(ctx, s.stmts.position).QueryRowContext(ctx, lineage).Scan(&pos)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("read the position: %w", err)
	}
	return pos, nil
}

// beyond gives the items at and above the stored position.
func beyond(b *pipeline.Batch, stored string) []pipeline.Item {
	for i := range b.Items {
		if at := (pipeline.Position{Claim: b.Claim, Index: b.Items[i].Index}); at.String() >= stored {
			return b.Items[i:]
		}
	}
	return nil
}

// count merges the items' counters in memory, so that the file is touched once a cell.
func (s *Sink) count(ctx context.Context, tx *sql.Tx, items []pipeline.Item) error {
	f := newFolded()
	for i := range items {
		f.add(items[i].Record)
	}
	if err := s.names.apply(ctx, tx, f); err != nil {
		return err
	}
	stmt := tx.StmtContext(ctx, s.stmts.count)
	for k, c := range f.cells {
		if _, err := stmt.ExecContext(ctx, k.width, k.bucket, k.dim, k.org, k.name, int64(c.hits), int64(c.errors),
			int64(c.success), c.latencySum, c.latencyMax, c.upstreamSum, c.requestBytes, c.bytesIn, c.bytesOut,
			c.opened, c.closed); err != nil {
			return fmt.Errorf("add to the counters: %w", err)
		}
	}
	stmt = tx.StmtContext(ctx, s.stmts.label)
	for l, text := range f.labels {
		if _, err := stmt.ExecContext(ctx, l.dim, l.org, l.name, text); err != nil {
			return fmt.Errorf("store a label: %w", err)
		}
	}
	return nil
}

// keep stores the items among the recent records and deletes the oldest of those.
func (s *Sink) keep(ctx context.Context, tx *sql.Tx, b *pipeline.Batch, items []pipeline.Item, sh shape) error {
	if s.conf.Recent == 0 {
		return nil
	}
	items = items[max(0, len(items)-s.conf.Recent):]
	stmt := tx.StmtContext(ctx, s.stmts.insert)
	for i := range items {
		args, err := row(b, &items[i], sh)
		if err != nil {
			return err
		}
		if _, err := stmt.ExecContext(ctx, args...); err != nil {
			return fmt.Errorf("keep a record: %w", err)
		}
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM recent WHERE seq <= (SELECT max(seq) FROM recent) - ?",
		s.conf.Recent); err != nil {
		return fmt.Errorf("delete the oldest records: %w", err)
	}
	return nil
}

// row gives the columns of a recent record behind seq.
func row(b *pipeline.Batch, it *pipeline.Item, sh shape) ([]any, error) {
	r := it.Record
	tags := make([]string, len(r.Tags))
	for i, t := range r.Tags {
		tags[i] = text(t)
	}
	tagsJSON, err := json.Marshal(tags)
	if err != nil {
		return nil, fmt.Errorf("encode tags: %w", err)
	}
	request, response := "", ""
	if sh.Bodies {
		request, response = text(r.RawRequest), text(r.RawResponse)
	}
	return []any{
		b.Stream.Lineage, pipeline.Position{Claim: b.Claim, Index: it.Index}.String(), it.ID.String(),
		r.TimeStamp.UnixMilli(), text(r.OrgID), text(r.APIID), text(r.APIName), text(r.APIVersion), text(r.APIKey),
		text(r.Alias), text(r.OauthID), text(r.Method), text(r.Host), text(r.Path), text(r.RawPath), r.ResponseCode,
		r.Latency.Total, r.Latency.Upstream, r.ContentLength, text(r.IPAddress), text(r.Geo.Country.ISOCode),
		text(r.UserAgent), string(tagsJSON), request, response,
	}, nil
}

// tidy deletes fine and minute buckets that are past their time, once an hour of claim time. Hours stay.
func (s *Sink) tidy(ctx context.Context, tx *sql.Tx, now time.Time) error {
	hour := floor(now.Unix(), int64(hourWidth.Seconds()))
	if hour <= s.hour {
		return nil
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM counters WHERE width IN (10, 60) AND dimension BETWEEN ? AND ? AND
		bucket < ?`, dimTotal, dimCode, now.Add(-s.conf.KeepMinutes.D()).Unix()); err != nil {
		return fmt.Errorf("delete old minutes: %w", err)
	}
	s.hour = hour
	return nil
}
