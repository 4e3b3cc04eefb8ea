package archived

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sluice/internal/archive"
	"sluice/internal/crash"
	"sluice/retention/plan"
)

// untidy notes what of an hour could be joined, and what is left of what was.
func (s *Store) untidy(inv *plan.Inventory, target string, h *archive.Hour) {
	small := plan.Hour{Target: target, At: h.Time}
	for _, group := range h.Merges(s.target) {
		small.Into++
		small.Objects += len(group)
		for _, m := range group {
			small.Records += m.Records
			small.Bytes += m.Bytes
		}
	}
	if small.Objects > 0 {
		inv.Small = append(inv.Small, small)
	}
	for _, l := range h.Leftovers() {
		replaced(inv, target, h.Time, l.Since, l.Size)
	}
}

// replaced notes an object that another one stands for since a moment.
func replaced(inv *plan.Inventory, target string, at, since time.Time, size int64) {
	n := len(inv.Replaced) - 1
	if n < 0 || inv.Replaced[n].Target != target || !inv.Replaced[n].At.Equal(at) || !inv.Replaced[n].Since.Equal(since) {
		inv.Replaced = append(inv.Replaced, plan.Leftovers{Target: target, At: at, Since: since})
		n++
	}
	inv.Replaced[n].Objects++
	inv.Replaced[n].Bytes += size
}

// compact joins the small objects of an action's hours.
func (s *Store) compact(ctx context.Context, a *plan.Action, region string, done func(int64)) error {
	w := archive.Rewriter{Store: s.store, Prefix: s.prefix, Dir: s.dir}
	var bad []error
	for t := a.From; t.Before(a.To); t = t.Add(time.Hour) {
		err := w.Compact(ctx, region, t, a.Size, func(m *archive.Manifest) { done(m.Records) })
		var damaged *archive.Damaged
		if errors.As(err, &damaged) {
			bad = append(bad, err)
			continue
		}
		if err != nil {
			return fmt.Errorf("hour %s: %w", t.Format("2006-01-02T15Z"), err)
		}
	}
	return errors.Join(bad...)
}

// sweep deletes what was replaced, once what stands for it was read to its end.
func (s *Store) sweep(ctx context.Context, a *plan.Action, region string, done func(int64)) error {
	tick := time.NewTicker(time.Second / time.Duration(s.rate))
	defer tick.Stop()
	for t := a.From; t.Before(a.To); t = t.Add(time.Hour) {
		h, err := archive.ReadHour(ctx, s.store, s.prefix, region, t)
		if err != nil {
			return err
		}
		if err := s.table().Sweep(ctx, region, t, a.Before); err != nil {
			return err
		}
		sound := map[string]bool{}
		for _, l := range h.Leftovers() {
			if l.Since.After(a.Before) {
				continue
			}
			if !sound[l.By.Key] {
				if err := archive.Verify(ctx, s.store, l.By); err != nil {
					return fmt.Errorf("nothing that it replaced is deleted: %w", err)
				}
				sound[l.By.Key] = true
			}
			crash.Before("retention/replaced")
			err := s.store.Delete(ctx, l.Key)
			crash.After("retention/replaced")
			if err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-tick.C:
			}
		}
		done(0)
	}
	return nil
}
