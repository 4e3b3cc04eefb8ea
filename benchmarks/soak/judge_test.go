package main

import (
	"maps"
	"slices"
	"testing"

	"sluice/aggregate/recount"
	"sluice/internal/record"
)

// pushed is a world in which records were pushed, one of them twice, and nothing else is there.
func pushed(t *testing.T) (*world, payload) {
	t.Helper()
	w := &world{opts: settings{log: t.Logf}, gen: newGenerator(nil, 1)}
	var twice payload
	for range 20 {
		p := w.gen.record(record.Msgpack)
		w.gen.debts.add(p)
		if p.rec.ResponseCode > 0 {
			twice = p
		}
	}
	w.gen.debts.add(twice)
	return w, twice
}

// delivered is a store that has everything.
func delivered(w *world) (archived, map[record.ID][]uint64) {
	a, found := archived{}, map[record.ID][]uint64{}
	for id, d := range w.gen.debts.byID {
		a[id] = true
		found[id] = []uint64{d.raw}
	}
	return a, found
}

func TestTheJudgeFindsWhatWasPlanted(t *testing.T) {
	sums := func(d *debt) uint64 { return d.raw }
	for name, tt := range map[string]struct {
		plant           func(id record.ID, a archived, found map[record.ID][]uint64)
		losses, doubles int
		violations      int
	}{
		"nothing":           {func(record.ID, archived, map[record.ID][]uint64) {}, 0, 0, 0},
		"loss":              {func(id record.ID, _ archived, f map[record.ID][]uint64) { delete(f, id) }, 1, 0, 1},
		"loss in both":      {func(id record.ID, a archived, f map[record.ID][]uint64) { delete(f, id); delete(a, id) }, 1, 0, 1},
		"double":            {func(id record.ID, _ archived, f map[record.ID][]uint64) { f[id] = append(f[id], f[id][0]) }, 0, 1, 1},
		"stranger":          {func(_ record.ID, _ archived, f map[record.ID][]uint64) { f[record.ID{1}] = []uint64{1} }, 0, 1, 1},
		"altered":           {func(id record.ID, _ archived, f map[record.ID][]uint64) { f[id] = []uint64{1} }, 0, 0, 1},
		"one ID for equals": {nil, 0, 0, 0},
	} {
		w, twice := pushed(t)
		a, found := delivered(w)
		d := w.gen.debts.byID[record.MakeID(twice.rec.TimeStamp, record.HashPayload(twice.data))]
		if len(d.ids) != 2 || d.ids[0] == d.ids[1] {
			t.Fatalf("a record that was pushed twice can have the IDs %v", d.ids)
		}
		if tt.plant == nil { // in another span equal payloads have one ID
			delete(a, d.ids[1])
			delete(found, d.ids[1])
		} else {
			tt.plant(d.ids[0], a, found)
		}
		w.judgeIDs("store", a, everywhere, sums, found)
		if w.found.Losses != tt.losses || w.found.Doubles != tt.doubles || len(w.found.Violations) != tt.violations {
			t.Errorf("%s: %+v", name, w.found)
		}
	}
}

func TestDocumentsAreComparedCounterByCounter(t *testing.T) {
	w, _ := pushed(t)
	want := w.recount()
	for _, key := range slices.Sorted(maps.Keys(want)) {
		got := w.recount()[key]
		got["_id"], got["sluice"] = "x", recount.Tree{"rev": int64(3)}
		if d := difference(want[key], got); d != "" {
			t.Errorf("bookkeeping counts as a difference: %s", d)
		}
		total := got["total"].(recount.Tree)
		total["hits"] = total["hits"].(int64) + 1
		if difference(want[key], got) == "" {
			t.Error("a hit too much is not found")
		}
		var tl tally
		if over(&tl, want[key], got, ""); tl.twice != 1 || tl.missing != 0 {
			t.Errorf("a hit too much is sorted as %+v", tl)
		}
	}
}
