package archive

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"

	format "sluice/internal/archive"
)

// taskRow is a row with what was done to it before it was archived.
type taskRow struct {
	format.Row
	manifest *format.Manifest
}

// errEnough ends the reading of an object of which no more is wanted.
var errEnough = errors.New("no more is wanted")

// rows are those that a task is to deliver, each lineage's in order. It ends after its first error.
func (f *follower) rows(ctx context.Context, t *task) iter.Seq2[taskRow, error] {
	if t.ordered() {
		return f.oneByOne(ctx, t, t.objects, t.takes)
	}
	return func(yield func(taskRow, error) bool) {
		for _, lineage := range slices.Sorted(maps.Keys(t.to)) { // objects are read again for each: rare, and right
			var objects []*format.Manifest
			for _, m := range t.objects {
				if slices.ContainsFunc(m.Positions, func(r format.Range) bool { return r.Lineage == lineage && t.wants(r) }) {
					objects = append(objects, m)
				}
			}
			ours := func(r *format.Row) bool { return r.Stream.Lineage == lineage && t.takes(r) }
			for row, err := range f.merged(ctx, t, objects, ours) {
				if !yield(row, err) || err != nil {
					return
				}
			}
		}
	}
}

// oneByOne reads object after object.
func (f *follower) oneByOne(ctx context.Context, _ *task, objects []*format.Manifest, takes func(*format.Row) bool) iter.Seq2[taskRow, error] {
	return func(yield func(taskRow, error) bool) {
		a := Archive{Store: f.store, Prefix: f.src.cfg.Prefix}
		for _, m := range objects {
			err := a.WholeRows(ctx, m, func(r *format.Row) error {
				if takes(r) && !yield(taskRow{*r, m}, nil) {
					return errEnough
				}
				return nil
			})
			if errors.Is(err, errEnough) {
				return
			}
			if err != nil {
				yield(taskRow{}, err)
				return
			}
		}
	}
}

// merged reads objects whose rows may lie between each other's.
func (f *follower) merged(ctx context.Context, t *task, objects []*format.Manifest, takes func(*format.Row) bool) iter.Seq2[taskRow, error] {
	return func(yield func(taskRow, error) bool) {
		type head struct {
			row  taskRow
			next func() (taskRow, error, bool)
		}
		var heads []head
		advance := func(i int) error {
			row, err, ok := heads[i].next()
			if err != nil {
				return err
			}
			if !ok {
				heads = slices.Delete(heads, i, i+1)
				return nil
			}
			heads[i].row = row
			return nil
		}
		for _, m := range objects {
			next, stop := iter.Pull2(f.oneByOne(ctx, t, []*format.Manifest{m}, takes))
			defer stop()
			heads = append(heads, head{next: next})
			if err := advance(len(heads) - 1); err != nil {
				yield(taskRow{}, err)
				return
			}
		}
		for len(heads) > 0 {
			least := 0
			for i := range heads {
				if heads[i].row.Position.Compare(heads[least].row.Position) < 0 {
					least = i
				}
			}
			if !yield(heads[least].row, nil) {
				return
			}
			if err := advance(least); err != nil {
				yield(taskRow{}, err)
				return
			}
		}
	}
}

// label names a list as a followed archive has it.
func label(region, list string) string { return strings.TrimPrefix(region+"/"+list, "/") }
