package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/bson"

	"sluice/internal/archive"
	"sluice/retention/apply"
	"sluice/retention/mongodb"
	"sluice/retention/plan"
)

func TestRetention(t *testing.T) {
	t.Parallel()
	r := newRig(t).withAggregate().withRawPerOrg().withSearch().withArchive()
	records, _ := r.aged()
	file := r.file(nil) // the defaults: archive 400 days, raw and search 30, hourly aggregates 90 and daily 3 years

	before := r.contents()
	p := r.retain(file, 0)
	if diff := cmp.Diff(before, r.contents()); diff != "" {
		t.Fatalf("planning changed the stores:\n%s", diff)
	}
	if got := rows(p.Actions); len(p.Problems) > 0 || !slices.Contains(got, "archive: delete partition region=test/dt="+r.day(500)) {
		t.Fatalf("plan: %q, problems %v", got, p.Problems)
	}
	done := r.retain(file, 0, "--apply")
	if len(done.Applied) == 0 || len(done.Applied) != len(p.Due()) {
		t.Errorf("%d actions were done, %d planned", len(done.Applied), len(p.Due()))
	}
	for where, ages := range map[string]string{"search": r.searchAges(), "raw": r.rawAges()} {
		if ages != "1:300" {
			t.Errorf("%s holds %s, want 1:300", where, ages)
		}
	}
	if got := r.archiveAges(); got != "60:300 1:300" {
		t.Errorf("the archive holds %s", got)
	}
	r.wantRolledUp(records, 3)

	after := r.contents()
	again := r.retain(file, 0, "--apply")
	if len(again.Applied) != 0 || len(again.Due()) != 0 {
		t.Errorf("the second time there is still to do: %q", rows(again.Due()))
	}
	if diff := cmp.Diff(after, r.contents()); diff != "" {
		t.Errorf("the second time something changed:\n%s", diff)
	}
	journal, err := os.ReadFile(filepath.Join(r.dir, "state", "retain", "journal.jsonl"))
	if n := strings.Count(string(journal), `"event":"done"`); err != nil || n != len(done.Applied) {
		t.Errorf("the journal has %d actions done, want %d: %v", n, len(done.Applied), err)
	}
}

func TestRetentionKeepsWhatIsOnHold(t *testing.T) {
	t.Parallel()
	r := newRig(t).withRawPerOrg().withSearch().withArchive()
	r.aged()
	file := r.file(func(s string) string {
		return s + "retention: {raw: {keep: 30d}, search: {keep: 30d}, holds: [{org: org1, to: " + r.day(100) + ", reason: case 7}]}\n"
	})
	p := r.retain(file, 0, "--apply")
	held := 0
	for _, a := range p.Actions {
		if a.Held() {
			held++
			if a.Kind == plan.Archive { // whose rows are in an object is not known
				continue
			}
			if !strings.Contains(a.HeldBy[0], "case 7") || !slices.Equal(a.Orgs, []string{"org1"}) || a.Records != perAge/3 {
				t.Errorf("held: %+v", a)
			}
		}
	}
	if got := r.archiveAges(); got != "500:300 60:300 1:300" {
		t.Errorf("the archive holds %s", got)
	}
	if held != 3 {
		t.Errorf("%d actions are held: %q", held, rows(p.Actions))
	}
	for where, ages := range map[string]string{"search": r.searchAges(), "raw": r.rawAges()} {
		if ages != "500:100 1:300" {
			t.Errorf("%s holds %s, want those on hold and those of yesterday", where, ages)
		}
	}
	if again := r.retain(file, 0, "--apply"); len(again.Applied) != 0 {
		t.Errorf("again: %q", rows(again.Due()))
	}
}

func TestRetentionDeletesNothingThatIsNotSafe(t *testing.T) {
	t.Parallel()
	r := newRig(t).withSearch().withArchive()
	r.aged()
	file := r.file(nil)
	store := r.s3Store()
	var damaged string
	for m, err := range archive.List(t.Context(), store, "a/", time.Time{}, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		if m.First.Format(time.DateOnly) == r.day(60) {
			damaged = m.Key
		}
	}
	if err := store.Delete(t.Context(), damaged); err != nil {
		t.Fatal(err)
	}
	if _, _, err := store.PutIfAbsent(t.Context(), damaged, strings.NewReader("damaged"), 7, strings.Repeat("0", 64)); err != nil {
		t.Fatal(err)
	}
	report := r.retain(file, 1, "--apply")
	if !strings.Contains(report.Error, damaged) || !strings.Contains(report.Error, "nothing is deleted") {
		t.Errorf("error: %s", report.Error)
	}
	if got := r.searchAges(); got != "60:300 1:300" {
		t.Errorf("search holds %s, want what is damaged in the archive and what is young", got)
	}
	// without its manifest the object does not count
	if err := store.Delete(t.Context(), strings.TrimSuffix(strings.TrimSuffix(damaged, ".zst"), ".csv")+".manifest.json"); err != nil {
		t.Fatal(err)
	}
	p := r.retain(file, 0)
	if got := rows(p.Actions); !slices.Contains(got, "search: delete index "+r.index+"-"+strings.ReplaceAll(r.day(60), "-", ".")+" (held)") {
		t.Errorf("plan: %q", got)
	}
}

func TestRetentionRunsOnceAtATime(t *testing.T) {
	t.Parallel()
	r := newRig(t).withRawPerOrg()
	r.aged()
	file := r.file(nil)
	lease, err := mongodb.NewLease(t.Context(), r.mongo, r.db, "the other one", apply.Span)
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Close(context.Background())
	if who, err := lease.Take(t.Context()); who != "" || err != nil {
		t.Fatal(who, err)
	}
	before := r.contents()
	p := r.start("retain", "--apply", "--config", file)
	if code := p.Wait(); code != 1 || !strings.Contains(p.Stderr(), "the other one") {
		t.Errorf("beside another job it exits %d: %s", code, p.Stderr())
	}
	if diff := cmp.Diff(before, r.contents()); diff != "" {
		t.Errorf("beside another job it changed something:\n%s", diff)
	}
	r.retain(file, 0) // planning needs no lease
	if err := lease.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.retain(file, 0, "--apply")
	if got := r.rawAges(); got != "1:300" {
		t.Errorf("raw holds %s", got)
	}
}

func TestRetentionKilledAndRunAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t).withAggregate().withRawPerOrg()
	records, _ := r.aged()
	file := r.file(nil)
	for i := range 4 {
		p := r.start("retain", "--apply", "--rate", "50", "--config", file)
		p.KillAfter(time.Duration(150+i*150)*time.Millisecond, time.Duration(400+i*300)*time.Millisecond)
		r.freeLease()
	}
	r.retain(file, 0, "--apply")
	if got := r.rawAges(); got != "1:300" {
		t.Errorf("raw holds %s", got)
	}
	r.wantRolledUp(records, 3)
	if again := r.retain(file, 0, "--apply"); len(again.Applied) != 0 {
		t.Errorf("again: %q", rows(again.Due()))
	}
}

// freeLease lets the lease of a killed job run out at once.
func (r *rig) freeLease() {
	r.t.Helper()
	_, err := r.mongoDB().Collection("sluice_retention").UpdateMany(context.Background(), bson.M{}, bson.M{"$set": bson.M{"until": time.Unix(0, 0)}})
	if err != nil {
		r.t.Fatal(err)
	}
}

func TestRetentionResizesTheCappedCollection(t *testing.T) {
	t.Parallel()
	r := newRig(t).withRaw()
	r.aged()
	size := func() int64 {
		var s struct {
			MaxSize float64 `bson:"maxSize"`
		}
		if err := r.mongoDB().RunCommand(context.Background(), bson.D{{Key: "collStats", Value: "tyk_analytics"}}).Decode(&s); err != nil {
			t.Fatal(err)
		}
		return int64(s.MaxSize)
	}
	for _, want := range []string{"2GiB", "64MiB"} {
		file := r.file(func(s string) string { return s + "retention: {raw: {capped_size: " + want + "}}\n" })
		p := r.retain(file, 0, "--apply")
		if len(p.Applied) != 1 || p.Applied[0].Size != size() || p.Applied[0].Verb != plan.ResizeCapped {
			t.Errorf("%s: %+v, now %d", want, p.Applied, size())
		}
		if again := r.retain(file, 0, "--apply"); len(again.Applied) != 0 {
			t.Errorf("again: %q", rows(again.Due()))
		}
	}
	if n := len(r.rawIDs()); n != 3*perAge {
		t.Errorf("%d records are left", n)
	}
}
