package report

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"sluice/internal/units"
	"sluice/retention/apply"
	"sluice/retention/plan"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var now = time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)

func planAt(at time.Time, bytes int64) *plan.Plan {
	inv := plan.Inventory{Store: "search", Kind: plan.Search, Free: -1}
	for n := range 10 {
		day := at.Truncate(units.Day).AddDate(0, 0, -n-1)
		inv.Items = append(inv.Items, plan.Item{Target: day.Format(time.DateOnly), Whole: true, From: day, To: day.Add(units.Day), Records: 1, Bytes: bytes / 10})
	}
	return plan.Make(plan.Input{Now: at, Inventories: []plan.Inventory{inv}, Rules: plan.Rules{Keep: map[plan.Kind]time.Duration{plan.Search: 8 * units.Day}}})
}

// TestSizesGoOnFromRunToRun: a year of hourly runs leaves a bounded history, and the plot has what was measured.
func TestSizesGoOnFromRunToRun(t *testing.T) {
	var last *Report
	for h := -400 * 24; h <= 0; h++ {
		last = Make(planAt(now.Add(time.Duration(h)*time.Hour), 1000+int64(h)/100*10), true, nil, nil, last)
	}
	s := last.Stores[0]
	if n := len(s.Measured); n < 360+40 || n > 366+49 {
		t.Errorf("%d samples are kept", n)
	}
	for i := 1; i < len(s.Measured); i++ {
		if !s.Measured[i-1].Time.Before(s.Measured[i].Time) {
			t.Fatal("samples are not in order")
		}
	}
	if n := len(s.Curve); n != behind+ahead+1 {
		t.Fatalf("%d points", n)
	}
	for i, d := range s.Curve {
		if (d.Size != nil) != (i <= behind) || (d.Uncut != nil) != (i >= behind) || (d.Ruled != nil) != (i >= behind) {
			t.Errorf("point %d of %s: %+v", i, d.Time, d)
		}
	}
	today := s.Curve[behind]
	if *today.Size != s.Bytes || *today.Uncut != s.Bytes || *today.Ruled != s.Bytes-s.Cut || s.Cut == 0 || last.Frees != s.Cut {
		t.Errorf("today %d, uncut %d, ruled %d, cut %d of %d", *today.Size, *today.Uncut, *today.Ruled, s.Cut, s.Bytes)
	}
}

// TestTheFirstReportHasAPlot, of how today's content came together.
func TestTheFirstReportHasAPlot(t *testing.T) {
	r := Make(planAt(now, 1000), false, nil, nil, nil)
	c := r.Stores[0].Curve
	if *c[behind-11].Size != 0 || *c[behind-10].Size != 100 || *c[behind-1].Size != 1000 {
		t.Errorf("%d %d %d", *c[behind-11].Size, *c[behind-10].Size, *c[behind-1].Size)
	}
	if r.Applies || r.Due != 2 || r.Done != 0 {
		t.Errorf("%+v", r)
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.json")
	f := File{Path: path}
	if r, err := f.Read(); r != nil || err != nil {
		t.Errorf("without a file: %v, %v", r, err)
	}
	p := planAt(now, 1000)
	for i, failed := range []error{nil, errors.New("refused")} {
		want := Make(p, true, []apply.Outcome{{}, {Err: "x"}}, failed, nil)
		if want.Done != 1 || (want.Error != "") != (failed != nil) {
			t.Errorf("%+v", want)
		}
		want.Notes = append(want.Notes, string(rune('a'+i)))
		if err := Write(path, want); err != nil {
			t.Fatal(err)
		}
		at := now.Add(time.Duration(i) * time.Second)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			got, err := f.Read()
			if err != nil || got.Notes[0] != want.Notes[0] || got.Error != want.Error {
				t.Fatalf("%+v, %v", got, err)
			}
			for i := range want.Stores {
				want.Stores[i].Built = nil
			}
			if diff := cmp.Diff(want.Stores, got.Stores); diff != "" {
				t.Error(diff)
			}
		}
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := f.Read(); r != nil || err == nil {
		t.Errorf("a file that is cut off: %v, %v", r, err)
	}
}
