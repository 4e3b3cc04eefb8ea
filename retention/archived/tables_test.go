package archived

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/internal/archive"
	"sluice/internal/archive/columnar"
	"sluice/internal/units"
	"sluice/retention/plan"
)

// parquetFiles are the Parquet files that are there.
func (d *tidier) parquetFiles() (out []string) {
	d.t.Helper()
	for i, err := range d.files.List(d.t.Context(), columnar.Prefix(prefix)) {
		if err != nil {
			d.t.Fatal(err)
		}
		out = append(out, strings.TrimPrefix(i.Key, columnar.Prefix(prefix)))
	}
	return out
}

// apply does all that is due, in the order of the plan.
func (d *tidier) apply() (verbs []plan.Verb) {
	d.t.Helper()
	for _, a := range d.due(plan.Claims{}) {
		d.do(a)
		verbs = append(verbs, a.Verb)
	}
	return verbs
}

func (d *tidier) wants(what string, got []plan.Verb, want ...plan.Verb) {
	d.t.Helper()
	if len(got) != len(want) {
		d.t.Fatalf("%s: %q, want %q", what, got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			d.t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
}

// TestHoursGetParquet: joined and written in one run, again when records come late; swept, deleted with its day, and left alone
// while hours are open.
func TestHoursGetParquet(t *testing.T) {
	d := newTidier(t)
	d.rules.Parquet = true
	d.s.Parquet()
	day := time.Now().UTC().Truncate(units.Day).AddDate(0, 0, -3)
	for i := range uint32(6) {
		rows(t, d.root, d.files, day.Add(time.Duration(i%2)*time.Hour), i*10, 10, 50*time.Hour)
	}
	rows(t, d.root, d.files, time.Now().UTC().Truncate(time.Hour), 100, 10, time.Minute)

	for _, a := range d.due(plan.Claims{Oldest: day.Add(time.Hour)}) {
		if !a.Held() {
			t.Errorf("beside an old claim: %+v", a)
		}
	}
	as := d.due(plan.Claims{Oldest: time.Now()})
	if len(as) != 2 || as[1].Verb != plan.WriteParquet || as[1].Records != 60 || as[1].To.Sub(as[1].From) != 2*time.Hour {
		t.Fatalf("plan: %+v", as)
	}
	d.wants("first", d.apply(), plan.Compact, plan.WriteParquet)
	first := "region=eu/dt=" + day.Format(time.DateOnly) + "/hour=00/"
	if got := d.parquetFiles(); len(got) != 4 || got[0] != first+"00000001.parquet" || !strings.HasPrefix(got[1], first+"_00000001-") {
		t.Errorf("files: %q", got)
	}
	d.wants("at once", d.apply())
	rows(t, d.root, d.files, day.Add(time.Hour), 1000, 10, 50*time.Hour)
	d.wants("late records", d.apply(), plan.Compact, plan.WriteParquet)
	d.age(2 * time.Hour)
	d.wants("an hour later", d.apply(), plan.DeleteReplaced)
	if n, _ := d.records(); len(d.parquetFiles()) != 4 || n != 80 {
		t.Errorf("%d records, files: %q", n, d.parquetFiles())
	}
	d.wants("nothing is left", d.apply())
	inv, err := d.s.Inventory(t.Context(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var stored int64
	for i, err := range d.files.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(i.Key, day.Format(time.DateOnly)) && !strings.HasSuffix(i.Key, ".manifest.json") {
			stored += i.Size
		}
	}
	if inv.Items[0].Bytes != stored {
		t.Errorf("the day has %d bytes, said are %d", stored, inv.Items[0].Bytes)
	}
	d.rules.Keep[plan.Archive] = units.Day
	d.wants("past its time", d.apply(), plan.DeletePartition)
	if got := d.parquetFiles(); len(got) > 0 {
		t.Errorf("left of a day that is gone: %q", got)
	}
}

// TestParquetThatNobodyWants: switched off, what is in step stays, and what is not, or has no hour any more, goes.
func TestParquetThatNobodyWants(t *testing.T) {
	d := newTidier(t)
	d.rules.Parquet = true
	d.s.Parquet()
	day := time.Now().UTC().Truncate(units.Day).AddDate(0, 0, -3)
	for h := range uint32(4) {
		rows(t, d.root, d.files, day.Add(time.Duration(h)*time.Hour), h*10, 10, 50*time.Hour)
	}
	d.wants("written", d.apply(), plan.WriteParquet)
	d.rules.Parquet = false
	d.s.parquet = false
	d.wants("switched off", d.apply())
	d.rules.CompactAfter = 0 // joins nothing, so that an hour differs for itself
	rows(t, d.root, d.files, day, 100, 10, 50*time.Hour)
	rows(t, d.root, d.files, day.Add(2*time.Hour), 110, 10, 50*time.Hour) // with an hour between that is in step
	gone := filepath.Join(d.root, archive.Partition(prefix, "eu", day.Add(3*time.Hour)))
	if err := os.RemoveAll(gone); err != nil {
		t.Fatal(err)
	}
	d.wants("out of step, and gone", d.apply(), plan.DeleteParquet, plan.DeleteParquet)
	if got := d.parquetFiles(); len(got) != 2 || !strings.Contains(got[0], "hour=01") {
		t.Errorf("left: %q", got)
	}
	d.wants("again", d.apply())
}
