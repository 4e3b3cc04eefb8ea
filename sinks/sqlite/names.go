package sqlite

import (
	"context"
	"database/sql"
	"fmt"
)

// otherName is what newcomers count under once a dimension is full.
const otherName = "other"

// dimHour is one hour of a dimension.
type dimHour struct {
	hour int64
	dim  int
}

// orgName is a value of a dimension.
type orgName struct{ org, name string }

// nameLimit bounds the number of values that a dimension has in an hour. It mirrors what is stored; drop makes it read
// the store again.
type nameLimit struct {
	max  int
	seen map[dimHour]map[orgName]struct{}
}

// maxHours bounds the hours kept in memory: a live stream touches one or two, a backlog a few more.
const maxHours = 48

func newNameLimit(n int) *nameLimit {
	return &nameLimit{max: n, seen: map[dimHour]map[orgName]struct{}{}}
}

func (n *nameLimit) drop() { clear(n.seen) }

// apply renames the cells whose dimension is full for their hour.
func (n *nameLimit) apply(ctx context.Context, tx *sql.Tx, f *folded) error {
	var moved []cell
	for k := range f.cells {
		if k.dim == dimTotal || k.dim == dimCode {
			continue // as many as there are status codes
		}
		fits, err := n.fits(ctx, tx, k)
		if err != nil {
			return err
		}
		if !fits {
			moved = append(moved, k)
		}
	}
	for _, k := range moved {
		to := k
		to.org, to.name = "", otherName
		if f.cells[to] == nil {
			f.cells[to] = &counters{}
		}
		f.cells[to].add(f.cells[k])
		delete(f.cells, k)
	}
	return nil
}

// fits tells whether a cell's value is among those of its hour, taking it in while there is room.
func (n *nameLimit) fits(ctx context.Context, tx *sql.Tx, k cell) (bool, error) {
	h := dimHour{floor(k.bucket, int64(hourWidth.Seconds())), k.dim}
	set := n.seen[h]
	if set == nil {
		var err error
		if set, err = stored(ctx, tx, h); err != nil {
			return false, err
		}
		if len(n.seen) >= maxHours*dimCode {
			n.drop()
		}
		n.seen[h] = set
	}
	v := orgName{k.org, k.name}
	if _, ok := set[v]; ok {
		return true, nil
	}
	if len(set) >= n.max {
		return false, nil
	}
	set[v] = struct{}{}
	return true, nil
}

// stored reads the values that a dimension has in an hour.
func stored(ctx context.Context, tx *sql.Tx, h dimHour) (map[orgName]struct{}, error) {
	rows, err := tx.QueryContext(ctx, "SELECT org, name FROM counters WHERE width = 3600 AND dimension = ? AND bucket = ?",
		h.dim, h.hour)
	if err != nil {
		return nil, fmt.Errorf("read the names of an hour: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err tells
	set := map[orgName]struct{}{}
	for rows.Next() {
		var v orgName
		if err := rows.Scan(&v.org, &v.name); err != nil {
			return nil, fmt.Errorf("read the names of an hour: %w", err)
		}
		set[v] = struct{}{}
	}
	return set, rows.Err()
}
