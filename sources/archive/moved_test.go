package archive

import (
	"errors"
	"testing"
	"time"

	format "sluice/internal/archive"
)

// join joins the archive's hours and deletes what was joined.
func join(t *testing.T, a Archive) {
	t.Helper()
	w := format.Rewriter{Store: a.Store, Dir: t.TempDir()}
	for h, err := range a.Hours(t.Context(), time.Time{}, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Compact(t.Context(), h.Region, h.Time, 64<<20, func(*format.Manifest) {}); err != nil {
			t.Fatal(err)
		}
		after, err := format.ReadHour(t.Context(), a.Store, a.Prefix, h.Region, h.Time)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range after.Leftovers() {
			if err := a.Store.Delete(t.Context(), l.Key); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestReplayAcrossJoining: what was listed and is then joined and deleted is read from what stands for it, once; and a
// replay that goes on after its hour was joined leaves nothing out.
func TestReplayAcrossJoining(t *testing.T) {
	rows := rowsOf(10_000, 500)
	for _, at := range []int{1, 4, 6} {
		a, _ := archived(t, rows)
		f := &fake{}
		places, stop := 0, errors.New("killed")
		noFault := func(u *Unreadable) { t.Error(u) }
		err := Run(t.Context(), optionsFor(a, f, func(Place, int64) error {
			if places++; places == at {
				join(t, a)
			}
			return nil
		}, noFault), Place{})
		if err != nil {
			t.Fatal(err)
		}
		if len(f.has) != len(rows) {
			t.Errorf("joined after %d objects: %d records of %d", at, len(f.has), len(rows))
		}

		a, _ = archived(t, rows)
		f, places = &fake{}, 0
		var last Place
		err = Run(t.Context(), optionsFor(a, f, func(p Place, _ int64) error {
			last = p
			if places++; places == at {
				return stop
			}
			return nil
		}, noFault), Place{})
		if !errors.Is(err, stop) {
			t.Fatal(err)
		}
		join(t, a)
		if err := Run(t.Context(), optionsFor(a, f, func(Place, int64) error { return nil }, noFault), last); err != nil {
			t.Fatal(err)
		}
		if len(f.has) != len(rows) {
			t.Errorf("resumed after %d objects: %d records of %d", at, len(f.has), len(rows))
		}
	}
}
