package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/bson"
)

// holds counts, by store, the records with a key.
func (r *rig) holds(key string) map[string]int {
	r.t.Helper()
	out := map[string]int{}
	n, err := r.mongoDB().Collection("tyk_analytics").CountDocuments(context.Background(), bson.M{"apikey": key})
	if err != nil {
		r.t.Fatal(err)
	}
	out["raw"] = int(n)
	r.request("POST", "/"+r.index+"-*/_refresh", "")
	var found struct{ Count int }
	if err := json.Unmarshal(r.request("POST", "/"+r.index+"-*/_count", `{"query":{"term":{"api_key":"`+key+`"}}}`), &found); err != nil {
		r.t.Fatal(err)
	}
	out["search"] = found.Count
	text, _ := r.sluice(r.file(nil), 0, "archive", "cat", "--output", "json")
	out["files"] = strings.Count(text, `"api_key":"`+key+`"`)
	db, err := sql.Open("sqlite", filepath.Join(r.dir, "sluice.db"))
	if err != nil {
		r.t.Fatal(err)
	}
	defer db.Close()
	var local int
	if err := db.QueryRow("SELECT count(*) FROM recent WHERE api_key = ?", key).Scan(&local); err != nil {
		r.t.Fatal(err)
	}
	out["local"] = local
	return out
}

func everywhere(n int) map[string]int {
	return map[string]int{"raw": n, "search": n, "files": n, "local": n}
}

// TestErasure: a key's records go from every store, and only they; a plan changes nothing, a hold forbids it, a kill on the way
// is mended by running it again, and the old objects go when they are old enough.
func TestErasure(t *testing.T) {
	t.Parallel()
	r := newRig(t).withRaw().withSearch().withFiles()
	r.sink("local", "sqlite", "path: "+filepath.Join(r.dir, "sluice.db"))
	hour := time.Now().UTC().Truncate(time.Hour).Add(-3 * time.Hour)
	for i := range 3 {
		r.push(msgpackList, many(210, hour.Add(time.Duration(i)*time.Hour))...)
	}
	file := r.file(nil)
	r.once(file, 0)
	if diff := cmp.Diff(everywhere(90), r.holds("key3")); diff != "" {
		t.Fatal(diff)
	}
	var p retainReport
	r.sluiceJSON(file, 0, &p, "archive", "erase", "--key", "key3")
	if len(p.Actions) != 3+1+1+1 && len(p.Actions) != 3+1+2+1 { // two indices around midnight
		t.Errorf("plan: %q", rows(p.Actions))
	}
	if diff := cmp.Diff(everywhere(90), r.holds("key3")); diff != "" {
		t.Fatalf("planning changed something:\n%s", diff)
	}
	held := r.file(func(s string) string {
		return s + "retention: {holds: [{org: org1, from: " + hour.Format(time.DateOnly) + ", reason: case 9}]}\n"
	})
	if out, _ := r.sluice(held, 1, "archive", "erase", "--key", "key3", "--apply"); !strings.Contains(out, "case 9") {
		t.Errorf("on hold: %s", out)
	}
	if diff := cmp.Diff(everywhere(90), r.holds("key3")); diff != "" {
		t.Fatalf("a hold was not heeded:\n%s", diff)
	}
	for i := range 2 {
		p := r.start("archive", "erase", "--key", "key3", "--apply", "--config", file)
		p.KillAfter(time.Duration(40+i*80)*time.Millisecond, time.Duration(100+i*100)*time.Millisecond)
		r.freeLease()
	}
	r.sluice(file, 0, "archive", "erase", "--key", "key3", "--apply")
	if diff := cmp.Diff(everywhere(0), r.holds("key3")); diff != "" {
		t.Errorf("left:\n%s", diff)
	}
	if diff := cmp.Diff(everywhere(90), r.holds("key4")); diff != "" {
		t.Errorf("another's:\n%s", diff)
	}
	r.sluiceJSON(file, 0, &p, "archive", "erase", "--key", "key3")
	if len(p.Actions) != 0 || !strings.Contains(strings.Join(p.Notes, "\n"), "not an hour old") {
		t.Errorf("again: %q, %q", rows(p.Actions), p.Notes)
	}
	before := len(r.objects())
	r.ageFiles(2 * time.Hour)
	r.sluice(file, 0, "archive", "erase", "--key", "key3", "--apply")
	if n := len(r.objects()); n >= before || n != 3 {
		t.Errorf("%d objects are left of %d", n, before)
	}

	r.sluice(file, 0, "archive", "erase", "--key", "key5", "--anonymise", "--apply")
	if diff := cmp.Diff(everywhere(0), r.holds("key5")); diff != "" {
		t.Errorf("left:\n%s", diff)
	}
	if diff := cmp.Diff(everywhere(90), r.holds("erased")); diff != "" {
		t.Errorf("nobody's:\n%s", diff)
	}
	r.sluiceJSON(file, 0, &p, "archive", "erase", "--org", "org0", "--anonymise", "--to", hour.Format(time.RFC3339))
	if len(p.Due()) != 0 {
		t.Errorf("before the first record: %q", rows(p.Actions))
	}
	if out, _ := r.sluice(file, 0, "archive", "verify"); !strings.Contains(out, "540 records") {
		t.Errorf("verify: %s", out)
	}
	r.sluice(file, 2, "archive", "erase", "--api", "api")
}
