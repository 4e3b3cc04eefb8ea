package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/archive"
	"sluice/internal/archive/dirstore"
	"sluice/retention/plan"
)

// ageFiles makes all files of the archive's directory look older.
func (r *rig) ageFiles(by time.Duration) {
	r.t.Helper()
	err := filepath.WalkDir(r.filesDir(), func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		old := info.ModTime().Add(-by)
		return os.Chtimes(name, old, old)
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// rowIDs counts the rows that readers of the archive's directory see, by record ID.
func (r *rig) rowIDs() map[string]int {
	r.t.Helper()
	store, err := dirstore.Open(r.filesDir())
	if err != nil {
		r.t.Fatal(err)
	}
	out := map[string]int{}
	for m, err := range archive.List(r.t.Context(), store, "", time.Time{}, time.Time{}) {
		if err != nil {
			r.t.Fatal(err)
		}
		in, err := archive.Open(r.t.Context(), store, m)
		if err != nil {
			r.t.Fatal(err)
		}
		for row, err := range in.All() {
			if err != nil {
				r.t.Fatal(err)
			}
			out[row.ID.String()]++
		}
		if err := in.Close(); err != nil {
			r.t.Error(err)
		}
	}
	return out
}

func verbs(as []plan.Action) (out []plan.Verb) {
	for _, a := range as {
		out = append(out, a.Verb)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// TestCompactionThroughTheProgram: many drains make many small objects, which become one in each hour, also when the job
// is killed on the way; aggregates are rebuilt from it, and what was joined goes an hour later.
func TestCompactionThroughTheProgram(t *testing.T) {
	t.Parallel()
	r := newRig(t).withFiles().withAggregate()
	hour := time.Now().UTC().Truncate(time.Hour).Add(-5 * time.Hour)
	file := r.file(nil)
	for i := range 5 {
		for j := range 3 {
			r.push(msgpackList+[]string{"", "_1", "_2"}[j], many(40, hour.Add(time.Duration(i%2)*time.Hour+time.Duration(i*4+j)*time.Minute))...)
		}
		r.once(file, 0)
	}
	want := r.rowIDs()
	small := len(r.objects())
	if small < 12 {
		t.Fatalf("%d objects", small)
	}
	r.retain(file, 0)
	if got := len(r.objects()); got != small {
		t.Fatalf("planning changed the archive: %d objects", got)
	}
	for i := range 3 {
		p := r.start("retain", "--apply", "--config", file)
		p.KillAfter(time.Duration(20+i*60)*time.Millisecond, time.Duration(60+i*60)*time.Millisecond)
		r.freeLease()
		if diff := cmp.Diff(want, r.rowIDs()); diff != "" {
			t.Fatalf("after a kill:\n%s", diff)
		}
	}
	done := r.retain(file, 0, "--apply")
	for _, v := range verbs(done.Due()) {
		if v != plan.Compact {
			t.Errorf("plan: %q", rows(done.Actions))
		}
	}
	var l listing
	r.sluiceJSON(file, 0, &l, "archive", "ls")
	if len(l.Hours) != 2 || l.Hours[0].Objects != 1 || l.Hours[1].Objects != 1 || l.Hours[0].Records+l.Hours[1].Records != 600 {
		t.Errorf("ls: %+v", l)
	}
	if again := r.retain(file, 0, "--apply"); len(again.Applied) != 0 {
		t.Errorf("again: %q", rows(again.Due()))
	}
	r.ageFiles(2 * time.Hour)
	done = r.retain(file, 0, "--apply")
	if got := verbs(done.Due()); !slices.Equal(got, []plan.Verb{plan.DeleteReplaced}) || len(r.objects()) != 2 {
		t.Errorf("after the grace: %q, %d objects are left", got, len(r.objects()))
	}
	if diff := cmp.Diff(want, r.rowIDs()); diff != "" {
		t.Errorf("rows:\n%s", diff)
	}
	if out, _ := r.sluice(file, 0, "archive", "verify"); !strings.Contains(out, "600 records") {
		t.Errorf("verify: %s", out)
	}

	before := r.aggregates()
	r.alter()
	res := r.replay(file, 0, append(span(hour, hour.Add(2*time.Hour)), "--sink", "dashboard")...)
	if res.Rebuilt["dashboard"].Replaced == 0 {
		t.Errorf("%+v", res.Rebuilt["dashboard"])
	}
	for id, d := range r.aggregates() {
		if diff := cmp.Diff(before[id]["total"], d["total"]); diff != "" {
			t.Errorf("rebuilt from joined objects, %s:\n%s", id, diff)
		}
	}
}
