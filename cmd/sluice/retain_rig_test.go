package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/bson"

	"sluice/aggregate/recount"
	"sluice/internal/archive"
	"sluice/internal/record"
	"sluice/retention/plan"
)

// ages are the ages, in days, of the records that retention is tried on.
var ages = []int{500, 60, 1}

const perAge = 300

// aged loads records of three ages through the program into the configured sinks, with no rule that filters old ones.
func (r *rig) aged() (records map[int][]*record.Record, noon map[int]time.Time) {
	r.t.Helper()
	records, noon = map[int][]*record.Record{}, map[int]time.Time{}
	n := 0
	for _, age := range ages {
		at := r.today.Add(-time.Duration(age) * 24 * time.Hour)
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

// agesOf counts times by their age in days.
func (r *rig) agesOf(times []time.Time) string {
	seen := map[int]int{}
	for _, t := range times {
		seen[int(r.today.Sub(t.UTC().Truncate(24*time.Hour)).Hours()/24)]++
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

func (r *rig) archiveAges() string { r.t.Helper(); return r.agesIn(r.s3Store(), "a/") }

func (r *rig) agesIn(store archive.Store, prefix string) string {
	r.t.Helper()
	var times []time.Time
	for m, err := range archive.List(context.Background(), store, prefix, time.Time{}, time.Time{}) {
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

func (r *rig) day(age int) string {
	return r.today.AddDate(0, 0, -age).Format(time.DateOnly)
}

// wantRolledUp holds the aggregates against independent recounts: hours of 60 and 1 days ago, one day of 500 days ago. Of
// the hours that became a day, each organisation has at least leastEmptied documents.
func (r *rig) wantRolledUp(records map[int][]*record.Record, leastEmptied int) {
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
		if seen != orgs*(1+4+4) || emptied < orgs*leastEmptied { // the first hour's document and the day's are two
			r.t.Errorf("%s: %d documents and %d emptied ones", name, seen, emptied)
		}
	}
}
