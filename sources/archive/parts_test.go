package archive

import (
	"slices"
	"testing"
	"time"

	format "sluice/internal/archive"
	"sluice/internal/archive/dirstore"
)

// TestArchivesAreReadTogether: hours of several archives come in the order of time, each row from where it lies, and what was joined
// since it was listed as well.
func TestArchivesAreReadTogether(t *testing.T) {
	var stores []format.Store
	var regions []*region
	for n, name := range []string{"own", "eu", "us"} {
		s, err := dirstore.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		r := newRegion(t, s, name, 1, uint64(n+1))
		for range 3 {
			r.archive(100)
		}
		stores, regions = append(stores, s), append(regions, r)
	}
	other := newRegion(t, stores[2], "left-out", 1, 9)
	other.archive(50)
	a := Archive{Store: stores[0], More: []Part{{Archive: Archive{Store: stores[1]}, Since: at}, {Archive: Archive{Store: stores[2]}, Regions: []string{"us"}}}}
	want := map[string]int{}
	for n, r := range regions {
		for i := range r.all {
			if n != 1 || !r.all[i].Record.TimeStamp.Before(at) {
				want[r.name]++
			}
		}
	}
	got := map[string]int{}
	var hours []time.Time
	var all []*format.Manifest
	for h, err := range a.Hours(t.Context(), time.Time{}, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		hours = append(hours, h.Time)
		all = append(all, h.Manifests...)
	}
	regions[1].compact()
	for _, m := range all {
		if err := a.WholeRows(t.Context(), m, func(*format.Row) error { got[m.Region]++; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.IsSortedFunc(hours, time.Time.Compare) || len(slices.Compact(hours)) < 3 {
		t.Errorf("hours: %s", hours)
	}
	for name, n := range want {
		if got[name] != n || len(got) != len(want) {
			t.Errorf("%d rows of %s, want %d; %v", got[name], name, n, got)
		}
	}
}
