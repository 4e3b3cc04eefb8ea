// Package spooled is retention of spools: batches that no registry owes to a sink any more. What is owed is never deleted by
// age, since that would lose records.
package spooled

import (
	"context"
	"fmt"
	"strings"
	"time"

	"sluice/internal/archive"
	"sluice/internal/crash"
	"sluice/internal/units"
	"sluice/retention/plan"
)

// Owed tells why the batches of a lineage and sink must stay; empty: nobody waits for them any more.
type Owed func(ctx context.Context, lineage, sink string) string

// Store is one spool. It is for one goroutine.
type Store struct {
	name   string
	store  archive.Store
	prefix string
	owed   Owed
	free   func() int64
}

// New looks below the prefix that spool.New was given. free is what the store can still take in bytes, or -1.
func New(name string, s archive.Store, prefix string, owed Owed, free func() int64) *Store {
	return &Store{name, s, prefix, owed, free}
}

// Close has nothing to do: the store is its maker's.
func (s *Store) Close(context.Context) {}

// OnItsWay is how long a batch may lie there before the registry names it.
const OnItsWay = time.Hour

// Inventory lists batches by lineage, sink and the UTC day they were spooled on. Their records are not counted: that takes
// reading them.
func (s *Store) Inventory(ctx context.Context, now time.Time) (plan.Inventory, error) {
	inv := plan.Inventory{Store: s.name, Kind: plan.Spool, Free: s.free(), Ahead: "on the spool's file system"}
	type day struct {
		target string
		at     time.Time
	}
	have := map[day]int{}
	why := map[string]string{} // by target, why they must stay
	for info, err := range s.store.List(ctx, s.prefix) {
		if err != nil {
			return inv, fmt.Errorf("list the spool: %w", err)
		}
		target, ok := s.target(info.Key)
		if !ok {
			continue
		}
		d := day{target, info.Modified.UTC().Truncate(units.Day)}
		i, seen := have[d]
		if !seen {
			i = len(inv.Items)
			have[d] = i
			if _, asked := why[target]; !asked {
				lineage, sink, _ := strings.Cut(target, "/")
				why[target] = s.owed(ctx, lineage, sink)
			}
			it := plan.Item{Target: target, AnyOrg: true, From: d.at, To: d.at.Add(units.Day), Pinned: why[target]}
			if it.Pinned == "" && it.To.After(now.Add(-OnItsWay)) {
				it.Pinned = "a batch of that day may be on its way into the registry"
			}
			inv.Items = append(inv.Items, it)
		}
		inv.Items[i].Records++
		inv.Items[i].Bytes += info.Size
	}
	return inv, nil
}

// target is lineage and sink of a batch's key.
func (s *Store) target(key string) (string, bool) {
	parts := strings.Split(strings.TrimPrefix(key, s.prefix), "/")
	if len(parts) != 3 || !strings.HasSuffix(parts[2], ".batch") {
		return "", false // not ours
	}
	return parts[0] + "/" + parts[1], true
}

// Do deletes the batches of an action; to do it again changes nothing. Whether they are owed is asked once more.
func (s *Store) Do(ctx context.Context, a *plan.Action, done func(int64)) error {
	lineage, sink, ok := strings.Cut(a.Target, "/")
	if a.Verb != plan.DeleteBatches || !ok || strings.Contains(sink, "/") {
		return fmt.Errorf("%s of %s is not for a spool", a.Verb, a.Target)
	}
	if why := s.owed(ctx, lineage, sink); why != "" {
		return fmt.Errorf("%s: %s", a.Target, why)
	}
	var keys []string
	for info, err := range s.store.List(ctx, s.prefix+a.Target+"/") {
		if err != nil {
			return fmt.Errorf("list the spool: %w", err)
		}
		if _, ours := s.target(info.Key); ours && !info.Modified.Before(a.From) && info.Modified.Before(a.To) {
			keys = append(keys, info.Key)
		}
	}
	for _, key := range keys {
		crash.Before("retention/spool")
		err := s.store.Delete(ctx, key)
		crash.After("retention/spool")
		if err != nil {
			return err
		}
		done(1)
	}
	return nil
}
