// Package archived is retention in the archive: days that are past their rule, whether what other stores let go is safe in
// it, and the lease for deployments without MongoDB.
package archived

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"sluice/internal/archive"
	"sluice/internal/crash"
	"sluice/internal/units"
	"sluice/retention/plan"
)

// Store is the archive of one sink. It is for one goroutine.
type Store struct {
	name    string
	prefix  string
	store   archive.Store
	partial bool // the sink leaves records out
	free    func() int64
	rate    int // objects a second

	classes bool   // it lies in S3
	applies bool   // what is found decides what is deleted, so that no index is trusted
	dir     string // for temporary files
	target  int64  // bytes of rows in a joined object
	parquet bool   // hours are to have Parquet files
	covered plan.Covered
}

const defaultRate = 200

// Applies says that the plan is to be done, and not only shown.
func (s *Store) Applies() { s.applies = true }

// Classes says that objects can lie in cheaper classes of storage.
func (s *Store) Classes() { s.classes = true }

// Joining says where temporary files lie while objects are joined, and how many bytes of rows these aim at.
func (s *Store) Joining(dir string, target int64) { s.dir, s.target = dir, target }

// Parquet says that hours that are over are to have a Parquet file.
func (s *Store) Parquet() { s.parquet = true }

// New makes a store. partial says that the sink's filters leave records out; free is what the store can still take in
// bytes, or -1.
func New(name, prefix string, s archive.Store, partial bool, free func() int64) *Store {
	return &Store{name: name, prefix: prefix, store: s, partial: partial, free: free, rate: defaultRate}
}

// Inventory lists the archive by day, and notes what it holds by hour. It reads every manifest; of days that are indexed
// from there, if the plan is only shown.
func (s *Store) Inventory(ctx context.Context, _ time.Time) (plan.Inventory, error) {
	inv := plan.Inventory{Store: s.name, Kind: plan.Archive, Free: s.free(), Ahead: "on its file system", Classes: s.classes}
	s.covered = plan.Covered{Store: s.name, Hours: map[time.Time]int64{}, Partial: s.partial}
	days := map[string]*plan.Item{}
	orphans, broken := 0, 0
	tables := newTables(s.parquet)
	read := archive.NewIndexed(s.store, s.prefix, s.applies)
	for h, err := range archive.Hours(ctx, read, s.prefix, time.Time{}, time.Time{}) {
		if err != nil {
			s.covered.Err = err.Error()
			return inv, err
		}
		target := partition(h.Region, h.Time)
		it := days[target]
		if it == nil {
			from := h.Time.Truncate(units.Day)
			it = &plan.Item{Target: target, AnyOrg: true, From: from, To: from.Add(units.Day)}
			days[target] = it
		}
		for _, o := range h.Objects {
			it.Bytes += o.Size
		}
		for _, m := range h.Manifests {
			it.Records += m.Records
			s.covered.Hours[h.Time] += m.Records
		}
		s.untidy(&inv, target, &h)
		tables.hour(target, &h)
		orphans += len(h.Orphans)
		broken += len(h.Broken)
	}
	if err := s.tables(ctx, &inv, tables, days); err != nil {
		return inv, err
	}
	for _, target := range sortedKeys(days) {
		it := days[target]
		inv.Items = append(inv.Items, *it)
		if region, err := regionOf(target); err == nil {
			inv.Unindexed = append(inv.Unindexed, plan.Unindexed{Target: target, To: it.To, Missing: read.Missed(region, it.From)})
		}
	}
	if broken > 0 {
		inv.Notes = append(inv.Notes, fmt.Sprintf("%d manifests cannot be read; what they describe does not count, and keeps what other stores have of it", broken))
	}
	if orphans > broken {
		inv.Notes = append(inv.Notes, fmt.Sprintf("%d objects have no manifest: on their way, or left by a crash; they do not count", orphans-broken))
	}
	return inv, nil
}

// Partial tells whether the sink leaves records out.
func (s *Store) Partial() bool { return s.partial }

// Close has nothing to do: the store is its maker's.
func (s *Store) Close(context.Context) {}

// Covered is what the last inventory found, for the comparison with other stores.
func (s *Store) Covered() *plan.Covered { return &s.covered }

// partition names a day of a region as the archive's directories do.
func partition(region string, t time.Time) string {
	return strings.TrimSuffix(dayDir("", region, t), "/")
}

// dayDir is the directory of a region's day.
func dayDir(prefix, region string, t time.Time) string {
	hour := archive.Partition(prefix, region, t) // ends with hour=HH/
	return hour[:strings.LastIndex(strings.TrimSuffix(hour, "/"), "/")+1]
}

// Do does an action; to do it again changes nothing. Of a day that is deleted manifests go first, so that no reader finds
// one whose object is gone: an object without a manifest is not there.
func (s *Store) Do(ctx context.Context, a *plan.Action, done func(int64)) error {
	region, err := regionOf(a.Target)
	if err != nil {
		return err
	}
	switch a.Verb {
	case plan.DeletePartition:
		return s.deleteDay(ctx, a, done)
	case plan.Compact:
		return s.compact(ctx, a, region, done)
	case plan.Index:
		return archive.WriteIndex(ctx, s.store, s.prefix, region, a.From)
	case plan.WriteParquet, plan.DeleteParquet:
		return s.columns(ctx, a, region, done)
	case plan.DeleteReplaced:
		return s.sweep(ctx, a, region, done)
	}
	return fmt.Errorf("%s is not for the archive", a.Verb)
}

// regionOf is the region of a day of the archive.
func regionOf(target string) (string, error) {
	region, day, ok := strings.Cut(target, "/dt=")
	label, isRegion := strings.CutPrefix(region, "region=")
	if _, err := time.Parse(time.DateOnly, day); !ok || err != nil || !isRegion || strings.Contains(label, "/") {
		return "", fmt.Errorf("%s is no day of the archive", target)
	}
	return archive.ParseLabel(label), nil
}

func (s *Store) deleteDay(ctx context.Context, a *plan.Action, done func(int64)) error {
	if err := s.deleteTables(ctx, a); err != nil { // first, so that none outlives its day
		return err
	}
	var keys []string
	for info, err := range s.store.List(ctx, s.prefix+a.Target+"/") {
		if err != nil {
			return fmt.Errorf("delete %s: %w", a.Target, err)
		}
		keys = append(keys, info.Key)
	}
	slices.SortStableFunc(keys, func(a, b string) int { return rank(a) - rank(b) })
	tick := time.NewTicker(time.Second / time.Duration(s.rate))
	defer tick.Stop()
	for _, key := range keys {
		crash.Before("retention/partition")
		err := s.store.Delete(ctx, key)
		crash.After("retention/partition")
		if err != nil {
			return fmt.Errorf("delete %s: %w", a.Target, err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	if region, err := regionOf(a.Target); err == nil {
		if err := archive.DropIndex(ctx, s.store, s.prefix, region, a.From); err != nil {
			return fmt.Errorf("delete %s: %w", a.Target, err)
		}
	}
	done(a.Records)
	return nil
}

func rank(key string) int {
	if strings.HasSuffix(key, ".manifest.json") {
		return 0
	}
	return 1
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
