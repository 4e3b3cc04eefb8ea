package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/bson"

	"sluice/aggregate/recount"
	"sluice/internal/archive"
	"sluice/internal/record"
	"sluice/retention/apply"
	"sluice/retention/mongodb"
	"sluice/retention/plan"
)

// agesOf are the ages, in days, of the records that retention is tried on.
var ages = []int{500, 60, 1}

const perAge = 300

// aged loads records of three ages through the program into the configured sinks, with no rule that filters old ones.
func (r *rig) aged() (records map[int][]*record.Record, noon map[int]time.Time) {
	r.t.Helper()
	records, noon = map[int][]*record.Record{}, map[int]time.Time{}
	today := time.Now().UTC().Truncate(24 * time.Hour)
	n := 0
	for _, age := range ages {
		at := today.Add(-time.Duration(age) * 24 * time.Hour)
		noon[age] = at.Add(12 * time.Hour)
		for i := range perAge { // four hours of the day
			payload := made(n, at.Add(time.Duration(i%4)*time.Hour+time.Duration(i)*time.Second))
			n++
			r.push(msgpackList, payload)
			rec := new(record.Record)
			var dec record.Decoder
			if err := dec.Decode(record.Msgpack, payload, rec); err != nil {
				r.t.Fatal(err)
			}
			records[age] = append(records[age], rec)
		}
	}
	r.once(r.file(func(s string) string { return s + "retention: {search: {keep: 0s}}\n" }), 0)
	return records, noon
}

// retain runs the program and reads its report.
func (r *rig) retain(file string, code int, more ...string) retainReport {
	r.t.Helper()
	p := r.start(append([]string{"retain", "--output", "json", "--config", file}, more...)...)
	if got := p.Wait(); got != code {
		r.t.Fatalf("retain %v exits %d, want %d:\n%s%s", more, got, code, p.Stdout(), p.Stderr())
	}
	report := retainReport{Plan: &plan.Plan{}}
	if err := json.Unmarshal([]byte(p.Stdout()), &report); err != nil && code == 0 {
		r.t.Fatalf("retain: %v\n%s", err, p.Stdout())
	}
	return report
}

// contents is a hash of everything in the stores, by store.
func (r *rig) contents() map[string]string {
	r.t.Helper()
	out := map[string]string{}
	sum := func(name string, v any) {
		b, err := json.Marshal(v)
		if err != nil {
			r.t.Fatal(err)
		}
		h := sha256.Sum256(b)
		out[name] = hex.EncodeToString(h[:8])
	}
	if r.db != "" {
		names, err := r.mongoDB().ListCollectionNames(context.Background(), bson.M{})
		if err != nil {
			r.t.Fatal(err)
		}
		slices.Sort(names)
		for _, name := range names {
			var docs []bson.M
			r.find(name, bson.M{}, &docs)
			var lines []string
			for _, d := range docs {
				lines = append(lines, fmt.Sprint(d))
			}
			slices.Sort(lines)
			sum("mongo "+name, lines)
		}
	}
	if r.index != "" {
		sum("search", r.searchIDs())
	}
	if r.bucket.Bucket != "" {
		var keys []archive.Info
		for info, err := range r.s3Store().List(context.Background(), "") {
			if err != nil {
				r.t.Fatal(err)
			}
			keys = append(keys, info)
		}
		sum("archive", keys)
	}
	return out
}

func rows(as []plan.Action) (out []string) {
	for _, a := range as {
		s := fmt.Sprintf("%s: %s %s", a.Store, a.Verb, a.Target)
		if a.Held() {
			s += " (held)"
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

// daysIn are the ages of the records in a set of times.
func (r *rig) agesOf(times []time.Time) string {
	today := time.Now().UTC().Truncate(24 * time.Hour)
	seen := map[int]int{}
	for _, t := range times {
		seen[int(today.Sub(t.UTC().Truncate(24*time.Hour)).Hours()/24)]++
	}
	var out []string
	for _, age := range ages {
		if seen[age] > 0 {
			out = append(out, fmt.Sprintf("%d:%d", age, seen[age]))
		}
	}
	return strings.Join(out, " ")
}

func (r *rig) searchAges() string {
	var res struct {
		Hits struct {
			Hits []struct {
				Source struct {
					At time.Time `json:"@timestamp"`
				} `json:"_source"`
			} `json:"hits"`
		} `json:"hits"`
	}
	r.request("POST", "/"+r.index+"-*/_refresh", "")
	if err := json.Unmarshal(r.request("POST", "/"+r.index+"-*/_search", `{"size":5000,"_source":["@timestamp"]}`), &res); err != nil {
		r.t.Fatal(err)
	}
	var times []time.Time
	for _, h := range res.Hits.Hits {
		times = append(times, h.Source.At)
	}
	return r.agesOf(times)
}

func (r *rig) archiveAges() string {
	var times []time.Time
	for m, err := range archive.List(context.Background(), r.s3Store(), "a/", time.Time{}, time.Time{}) {
		if err != nil {
			r.t.Fatal(err)
		}
		for range m.Records {
			times = append(times, m.First)
		}
	}
	return r.agesOf(times)
}

func (r *rig) rawAges() string {
	names, err := r.mongoDB().ListCollectionNames(context.Background(), bson.M{"name": bson.M{"$regex": "^z_tyk_analyticz_[^a]|^z_tyk_analyticz_org"}})
	if err != nil {
		r.t.Fatal(err)
	}
	var times []time.Time
	for _, name := range names {
		var docs []struct {
			At time.Time `bson:"timestamp"`
		}
		r.find(name, bson.M{}, &docs)
		for _, d := range docs {
			times = append(times, d.At)
		}
	}
	return r.agesOf(times)
}

func (r *rig) withRawPerOrg() *rig {
	return r.sink("raw", "mongo-raw", r.database()+", layout: per-org, uptime: false")
}

func TestRetention(t *testing.T) {
	r := newRig(t).withAggregate().withRawPerOrg().withSearch().withArchive()
	records, _ := r.aged()
	file := r.file(nil) // the defaults: archive 400 days, raw and search 30, hourly aggregates 90 and daily 3 years

	before := r.contents()
	p := r.retain(file, 0)
	if diff := cmp.Diff(before, r.contents()); diff != "" {
		t.Fatalf("planning changed the stores:\n%s", diff)
	}
	// what was uploaded within the last hour stays in the archive, since a frozen process may send it again
	if got := rows(p.Actions); len(p.Problems) > 0 || !slices.Contains(got, "archive: delete partition region=test/dt="+r.day(500)+" (held)") {
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
	if got := r.archiveAges(); got != "500:300 60:300 1:300" {
		t.Errorf("the archive holds %s", got)
	}
	r.wantRolledUp(records)

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

func (r *rig) day(age int) string {
	return time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -age).Format(time.DateOnly)
}

// wantRolledUp holds the aggregates against independent recounts: hours of 60 and 1 days ago, one day of 500 days ago.
func (r *rig) wantRolledUp(records map[int][]*record.Record) {
	r.t.Helper()
	want := map[string]recount.Tree{}
	for _, age := range ages {
		bucket := time.Hour
		if age == 500 {
			bucket = 24 * time.Hour
		}
		for _, d := range recount.Documents(records[age], recount.Options{Bucket: bucket, ExpireAfter: 100 * 365 * 24 * time.Hour, TrackAllPaths: true}) {
			recount.SortLists(d)
			want[fmt.Sprint(d["orgid"], " ", d["timestamp"])] = d
		}
	}
	for _, name := range []string{"tyk_analytics_aggregates", "z_tyk_analyticz_aggregate_org0", "z_tyk_analyticz_aggregate_org1", "z_tyk_analyticz_aggregate_org2"} {
		var docs []bson.M
		r.find(name, bson.M{}, &docs)
		seen, emptied := 0, 0
		for _, d := range docs {
			ours, ok := d["sluice"].(bson.M)
			if !ok {
				r.t.Fatalf("%s: document without bookkeeping: %v", name, d)
			}
			if _, full := d["total"]; !full {
				emptied++
				if ours["pos"] == nil || ours["rolled"] == nil {
					r.t.Errorf("%s: an emptied document lacks its positions: %v", name, ours)
				}
				continue
			}
			seen++
			got := plainTree(d).(recount.Tree)
			key := fmt.Sprint(got["orgid"], " ", got["timestamp"])
			for k := range got {
				if _, ok := want[key][k]; !ok && (k == "_id" || strings.HasPrefix(k, "sluice")) {
					delete(got, k)
				}
			}
			recount.SortLists(got)
			if diff := cmp.Diff(want[key], got); diff != "" {
				r.t.Errorf("%s, document %s (-recount +stored):\n%.3000s", name, key, diff)
			}
		}
		orgs := 1
		if name == "tyk_analytics_aggregates" {
			orgs = 3
		}
		if seen != orgs*(1+4+4) || emptied < orgs*3 { // the first hour's document and the day's are two
			r.t.Errorf("%s: %d documents and %d emptied ones", name, seen, emptied)
		}
	}
}

func TestRetentionKeepsWhatIsOnHold(t *testing.T) {
	r := newRig(t).withRawPerOrg().withSearch()
	r.aged()
	file := r.file(func(s string) string {
		return s + "retention: {raw: {keep: 30d}, search: {keep: 30d}, holds: [{org: org1, to: " + r.day(100) + ", reason: case 7}]}\n"
	})
	p := r.retain(file, 0, "--apply")
	held := 0
	for _, a := range p.Actions {
		if a.Held() {
			held++
			if !strings.Contains(a.HeldBy[0], "case 7") || !slices.Equal(a.Orgs, []string{"org1"}) || a.Records != perAge/3 {
				t.Errorf("held: %+v", a)
			}
		}
	}
	if held != 2 {
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
	r.wantRolledUp(records)
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
