package spooled

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/internal/archive/dirstore"
	"sluice/internal/units"
	"sluice/retention/plan"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestOnlyWhatIsOwedToNobodyGoes, and only when it is old.
func TestOnlyWhatIsOwedToNobodyGoes(t *testing.T) {
	root := t.TempDir()
	files, err := dirstore.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	put := func(key string, daysAgo int) {
		t.Helper()
		if _, _, err := files.PutIfAbsent(t.Context(), key, strings.NewReader("x"), 1, ""); err != nil {
			t.Fatal(err)
		}
		at := now.AddDate(0, 0, -daysAgo)
		if err := os.Chtimes(filepath.Join(root, key), at, at); err != nil {
			t.Fatal(err)
		}
	}
	put("s/done/raw/1.batch", 30)
	put("s/done/raw/2.batch", 9)
	put("s/done/raw/3.batch", 1)
	put("s/done/raw/note.txt", 30)
	put("s/owes/raw/1.batch", 30)
	put("s/done/search/1.batch", 30)
	owed := map[string]string{"owes/raw": "sink raw is still owed them", "done/search": "nobody knows the lineage"}
	s := New("spool", files, "s/", func(_ context.Context, lineage, sink string) string { return owed[lineage+"/"+sink] }, func() int64 { return -1 })
	rules := plan.Rules{Floor: units.Day, Keep: map[plan.Kind]time.Duration{plan.Spool: 7 * units.Day}, Holds: []plan.Hold{}}
	inv, err := s.Inventory(t.Context(), now)
	if err != nil {
		t.Fatal(err)
	}
	// what waits in Redis, and whether an archive can be read, say nothing about a spool
	p := plan.Make(plan.Input{Now: now, Rules: rules, Inventories: []plan.Inventory{inv}, Claims: plan.Claims{Err: "refused"}, Archive: &plan.Covered{Err: "refused"}})
	var rows []string
	for _, a := range p.Actions {
		rows = append(rows, string(a.Verb)+" "+a.Target+" "+strings.Join(a.HeldBy, "; "))
	}
	want := []string{"delete spooled batches done/raw ", "delete spooled batches done/search nobody knows the lineage",
		"delete spooled batches owes/raw sink raw is still owed them"}
	if slices.Sort(rows); !slices.Equal(rows, want) {
		t.Fatalf("plan: %q", rows)
	}
	for range 2 {
		for _, a := range p.Due() {
			if err := s.Do(t.Context(), &a, func(int64) {}); err != nil {
				t.Fatal(err)
			}
		}
	}
	var left []string
	for info, err := range files.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, info.Key)
	}
	if want := []string{"s/done/raw/3.batch", "s/done/raw/note.txt", "s/done/search/1.batch", "s/owes/raw/1.batch"}; !slices.Equal(left, want) {
		t.Errorf("left: %q", left)
	}
	owed["done/raw"] = "spooled again"
	due := p.Due()[0]
	if err := s.Do(t.Context(), &due, func(int64) {}); err == nil {
		t.Error("what is owed since the plan was made is deleted")
	}
	rules.Holds = []plan.Hold{{Org: "x", Reason: "court"}}
	inv.Items[0].Pinned = ""
	if due := plan.Make(plan.Input{Now: now, Rules: rules, Inventories: []plan.Inventory{inv}}).Due(); len(due) != 0 {
		t.Errorf("whose records are in a batch is not known, so that any hold keeps it: %+v", due)
	}
}
