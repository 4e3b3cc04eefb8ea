package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"sluice/internal/archive"
	"sluice/internal/crash"
	"sluice/internal/pipeline"
	"sluice/internal/record"
)

// Rebuild is what an hour is rebuilt from.
type Rebuild struct {
	Wants func(*record.Record) bool // nil: all
	// Look lists the archive anew, and Owed tells, by lineage, from where on the sink is still to get records. That is asked last.
	Look func(context.Context) (Snapshot, error)
	Owed func(context.Context) (map[string]pipeline.Position, error)
	// Patience is how long it waits for an archive that lags behind what is counted.
	Patience time.Duration
}

// Rebuilt is what became of an hour.
type Rebuilt struct {
	Left    string // why it stays as it was; empty: it was rebuilt
	Records int64  // that count now
	Copies  int64  // records that were claimed again and count once
}

// rebuildItems is how many records are folded at once.
const rebuildItems = 5000

// RebuildHour replaces an hour's counters with what the archive's rows add up to, in one transaction: all rows but those that
// the sink is still to get from a list, which count when they come. So it may be done any number of times. The file must be open, so
// that no pump writes to it. The latest records stay as they are.
func (s *Sink) RebuildHour(ctx context.Context, hour time.Time, r Rebuild) (Rebuilt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out, err := s.rebuildHour(ctx, hour, &r)
	s.names.drop() // it may hold names that were deleted or rolled back
	if err != nil {
		return out, fmt.Errorf("rebuild %s of %s: %w", hour.Format(time.RFC3339), s.conf.Path, err)
	}
	return out, nil
}

func (s *Sink) rebuildHour(ctx context.Context, hour time.Time, r *Rebuild) (out Rebuilt, err error) {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return out, err
	}
	defer func() { _ = tx.Rollback() }() // no effect after a commit
	positions, err := readPositions(ctx, tx)
	if err != nil {
		return out, err
	}
	snap, behind, err := await(ctx, positions, r.Patience, r.Look)
	if err != nil || behind != "" {
		return Rebuilt{Left: behind}, err
	}
	owed, err := r.Owed(ctx)
	if err != nil {
		return out, err
	}
	before, err := requests(ctx, tx, hour)
	if err != nil {
		return out, err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM counters WHERE bucket >= ? AND bucket < ?", hour.Unix(), hour.Add(hourWidth).Unix()); err != nil {
		return out, fmt.Errorf("delete the counters: %w", err)
	}
	s.names.drop()
	h := &rebuilding{Sink: s, tx: tx, r: r, positions: positions, owed: owed, seen: map[string]pipeline.StreamID{}}
	if err := h.fold(ctx, snap); err != nil {
		return out, err
	}
	after, err := requests(ctx, tx, hour)
	if err != nil {
		return out, err
	}
	if after+h.copies < before {
		return Rebuilt{Left: fmt.Sprintf("the archive adds up to %d requests and %d are counted: it has not had its lists from their beginning", after, before)}, nil
	}
	if err := h.finish(ctx, snap); err != nil {
		return out, err
	}
	crash.Before("sqlite/rebuild")
	err = tx.Commit()
	crash.After("sqlite/rebuild")
	return Rebuilt{Records: h.records, Copies: h.copies}, err
}

// requests is how many requests an hour counts.
func requests(ctx context.Context, tx *sql.Tx, hour time.Time) (n int64, err error) {
	err = tx.QueryRowContext(ctx, "SELECT coalesce(sum(hits), 0) FROM counters WHERE width = 3600 AND dimension = ? AND bucket = ?", dimTotal, hour.Unix()).Scan(&n)
	return n, err
}

// rebuilding is an hour under way.
type rebuilding struct {
	*Sink
	tx        *sql.Tx
	r         *Rebuild
	positions map[string]string
	owed      map[string]pipeline.Position
	seen      map[string]pipeline.StreamID // lineages that have rows
	distinct  archive.Distinct
	items     []pipeline.Item
	records   int64
	copies    int64
}

// comes tells whether a row is still to come from its list: it is not counted, and owed.
func (h *rebuilding) comes(row *archive.Row) bool {
	from, ok := h.owed[row.Stream.Lineage]
	return ok && row.Position.Compare(from) >= 0 && row.Position.String() >= h.positions[row.Stream.Lineage]
}

func (h *rebuilding) fold(ctx context.Context, snap Snapshot) error {
	err := snap.Rows(ctx, func(row *archive.Row, c archive.Copies) error {
		if h.comes(row) || h.r.Wants != nil && !h.r.Wants(row.Record) {
			return nil
		}
		if _, ok := h.seen[row.Stream.Lineage]; !ok {
			lineage := strings.Clone(row.Stream.Lineage)
			h.seen[lineage] = pipeline.StreamID{Source: strings.Clone(row.Stream.Source), List: strings.Clone(row.Stream.List), Lineage: lineage}
		}
		if !h.distinct.First(row, c) {
			if row.Record.ResponseCode != -1 {
				h.copies++
			}
			return nil
		}
		h.records++
		h.items = append(h.items, pipeline.Item{ID: row.ID, Record: row.Record})
		if len(h.items) < rebuildItems {
			return nil
		}
		return h.flush(ctx)
	})
	if err != nil {
		return err
	}
	return h.flush(ctx)
}

func (h *rebuilding) flush(ctx context.Context) error {
	err := h.count(ctx, h.tx, h.items)
	h.items = h.items[:0]
	return err
}

// finish says up to where lists are counted now, but never beyond what is still to come, and deletes minutes that are past their
// time.
func (h *rebuilding) finish(ctx context.Context, snap Snapshot) error {
	for lineage, stream := range h.seen {
		end, ok := snap.End(lineage)
		if from, owes := h.owed[lineage]; owes && from.Compare(end) < 0 {
			end = from
		}
		if !ok || end.String() <= h.positions[lineage] || archive.IsImport(lineage) {
			continue
		}
		if _, err := h.tx.StmtContext(ctx, h.stmts.advance).ExecContext(ctx, lineage, stream.Source, stream.List, end.String()); err != nil {
			return fmt.Errorf("store the position: %w", err)
		}
	}
	_, err := h.tx.ExecContext(ctx, "DELETE FROM counters WHERE width IN (10, 60) AND dimension BETWEEN ? AND ? AND bucket < ?",
		dimTotal, dimCode, time.Now().Add(-h.conf.KeepMinutes.D()).Unix())
	if err != nil {
		return fmt.Errorf("delete old minutes: %w", err)
	}
	return nil
}
