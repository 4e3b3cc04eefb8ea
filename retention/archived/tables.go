package archived

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sluice/internal/archive"
	"sluice/internal/archive/columnar"
	"sluice/retention/plan"
)

// tables gathers what the hours of an archive have, for the comparison with their Parquet files.
type tables struct {
	wanted bool
	order  []hourKey
	hours  map[hourKey]*hourState
}

type hourKey struct {
	target string
	at     time.Time
}

// hourState is what an hour's file is to be made from.
type hourState struct {
	digest  string
	records int64
	unknown bool // a manifest cannot be read
	seen    bool // there are Parquet files
}

func newTables(wanted bool) *tables { return &tables{wanted: wanted, hours: map[hourKey]*hourState{}} }

func (t *tables) hour(target string, h *archive.Hour) {
	st := &hourState{digest: columnar.Digest(h), unknown: len(h.Broken) > 0}
	for _, m := range h.Manifests {
		st.records += m.Records
	}
	k := hourKey{target, h.Time}
	t.hours[k] = st
	t.order = append(t.order, k)
}

// tables compares Parquet files with the hours that were found before, and counts their bytes as those of their days.
func (s *Store) tables(ctx context.Context, inv *plan.Inventory, t *tables, days map[string]*plan.Item) error {
	for h, err := range columnar.Hours(ctx, s.store, s.prefix) {
		if err != nil {
			return err
		}
		k := hourKey{partition(h.Region, h.Time), h.Time}
		if it := days[k.target]; it != nil {
			it.Bytes += h.Bytes()
		}
		st := t.hours[k]
		if st == nil {
			inv.Parquet = append(inv.Parquet, plan.Parquet{Target: k.target, At: h.Time, Bytes: h.Bytes(), Gone: true})
			continue
		}
		st.seen = true
		switch {
		case st.unknown:
		case !h.Current(st.digest):
			inv.Parquet = append(inv.Parquet, plan.Parquet{Target: k.target, At: h.Time, Bytes: h.Bytes(), Records: st.records, Gone: st.records == 0})
		default:
			for _, l := range h.Leftovers() {
				replaced(inv, k.target, h.Time, l.Since, l.Size)
			}
		}
	}
	for _, k := range t.order {
		if st := t.hours[k]; t.wanted && !st.seen && !st.unknown && st.records > 0 {
			inv.Parquet = append(inv.Parquet, plan.Parquet{Target: k.target, At: k.at, Records: st.records})
		}
	}
	slices.SortStableFunc(inv.Replaced, func(a, b plan.Leftovers) int {
		return cmp.Or(cmp.Compare(a.Target, b.Target), a.At.Compare(b.At))
	})
	slices.SortFunc(inv.Parquet, func(a, b plan.Parquet) int { return cmp.Or(cmp.Compare(a.Target, b.Target), a.At.Compare(b.At)) })
	return nil
}

func (s *Store) table() *columnar.Table {
	return &columnar.Table{Store: s.store, Prefix: s.prefix, Dir: s.dir}
}

// columns brings the Parquet files of an action's hours in step with the archive, or deletes them. An hour that cannot be
// read does not keep the others.
func (s *Store) columns(ctx context.Context, a *plan.Action, region string, done func(int64)) error {
	var bad []error
	for t := a.From; t.Before(a.To); t = t.Add(time.Hour) {
		var err error
		if a.Verb == plan.WriteParquet {
			err = s.table().Write(ctx, region, t, done)
		} else {
			err = s.dropUnlessCurrent(ctx, region, t)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			bad = append(bad, fmt.Errorf("hour %s: %w", t.Format("2006-01-02T15Z"), err))
		}
	}
	return errors.Join(bad...)
}

// dropUnlessCurrent deletes the files of an hour that are not what the archive has: hours between those of an action may be in step.
func (s *Store) dropUnlessCurrent(ctx context.Context, region string, at time.Time) error {
	h, err := columnar.ReadHour(ctx, s.store, s.prefix, region, at)
	if err != nil {
		return err
	}
	a, err := archive.ReadHour(ctx, s.store, s.prefix, region, at)
	if err != nil {
		return err
	}
	if len(a.Broken) > 0 || len(a.Manifests) > 0 && h.Current(columnar.Digest(&a)) {
		return nil
	}
	return s.table().Drop(ctx, region, at)
}

// deleteTables deletes the Parquet files of a day.
func (s *Store) deleteTables(ctx context.Context, a *plan.Action) error {
	region, err := regionOf(a.Target)
	if err != nil {
		return err
	}
	if err := s.table().DropDay(ctx, region, a.From); err != nil {
		return fmt.Errorf("delete %s: %w", a.Target, err)
	}
	return nil
}
