package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"

	"sluice/internal/deepaudit"
	"sluice/internal/record"
)

// deep runs audit --deep.
func (r *rig) deep(file string, code int, flags ...string) *deepResult {
	r.t.Helper()
	out, _ := r.sluice(file, code, append([]string{"audit", "--deep", "--output", "json"}, flags...)...)
	var res deepResult
	if err := json.Unmarshal([]byte(out), &res); err != nil {
		r.t.Fatalf("%v\n%s", err, out)
	}
	if res.InOrder != (code == 0) {
		r.t.Errorf("in order is %v, exit %d", res.InOrder, code)
	}
	return &res
}

// wantFound holds the counts of all stores against what must be found, store by store and kind by kind.
func wantFound(t *testing.T, res *deepResult, want map[string]map[string]int64) {
	t.Helper()
	for name, s := range res.Stores {
		for _, kind := range []string{deepaudit.Missing, deepaudit.Strange, deepaudit.Double, deepaudit.Differs, deepaudit.Damaged,
			deepaudit.Gap, deepaudit.Copies, deepaudit.InFlight, deepaudit.Untold} {
			if s.Counts[kind] != want[name][kind] {
				t.Errorf("%s: %d %s, want %d: %v, %v", name, s.Counts[kind], kind, want[name][kind], s.Findings[:min(len(s.Findings), 5)], s.Notes)
			}
		}
	}
}

// named tells whether a finding of a store names something.
func named(res *deepResult, store, kind, what string) bool {
	for _, f := range res.Stores[store].Findings {
		if f.Kind == kind && strings.Contains(fmt.Sprint(f.Record, f.Where, f.List, f.Position, f.Reason), what) {
			return true
		}
	}
	return false
}

// withEverySink is every kind of store that an audit looks into.
func (r *rig) withEverySink() *rig {
	return r.withAggregate().withRaw().withSearch().withFiles().sink("local", "sqlite", "path: "+filepath.Join(r.dir, "local.db"))
}

// pushMixed pushes what has ever been a special case: captures of both formats, poison, kinds that some sinks leave out,
// records equal to the byte, several lists and organisations, uptime records.
func (r *rig) pushMixed() {
	r.t.Helper()
	r.pushCaptures()
	r.push(msgpackList+"_1", many(900, capturedHour.Add(time.Hour))...)
	r.push(msgpackList+"_2", []byte("poison"), made(1, capturedHour), []byte{0xc1})
	for i := range 30 {
		r.push(msgpackList+"_2", made(i, capturedHour.Add(2*time.Minute), func(rec *record.Record) {
			rec.MCP.IsMCP, rec.ResponseCode = i%3 == 0, int32(200-201*(i%2))
		}))
	}
	same := made(5, capturedHour.Add(3*time.Minute))
	for range 2100 {
		r.push(msgpackList+"_3", same)
	}
	r.push(uptimeList, uptimes(20)...)
}

const uptimeList = "host-checker:tyk-uptime-analytics"

func uptimes(n int) (out [][]byte) {
	for i := range n {
		out = append(out, record.AppendUptime(nil, &record.Uptime{URL: "http://x", APIID: "api", OrgID: "org1", ResponseCode: 200,
			TimeStamp: capturedHour.Add(time.Duration(i) * time.Second), RequestTime: int64(i)}))
	}
	return out
}

func TestDeepAuditFindsNothingWhereNothingIsWrong(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.withAggregate().withSearch().withFiles().sink("local", "sqlite", "filters: {skip_org_ids: [org1]}, path: "+filepath.Join(r.dir, "local.db"))
	r.sink("raw", "mongo-raw", r.database()+", layout: per-org, filters: {skip_response_codes: [404]}")
	r.pushMixed()
	file := r.file(func(s string) string {
		return strings.Replace(s, "pipeline: {", "pipeline: {mask: [{field: ip_address, action: drop}, {field: api_key, action: hash}], ", 1)
	})
	r.once(file, 0)
	res := r.deep(file, 0)
	wantFound(t, res, nil)
	if res.Records == 0 || res.Stores["search"].Compared == 0 || res.Stores["raw"].Compared == 0 || res.Stores["dashboard"].Compared == 0 || res.Stores["local"].Compared == 0 {
		t.Errorf("nothing was compared: %+v", res)
	}
	text, _ := r.sluice(file, 0, "audit", "--deep", "--sink", "raw", "--rate", "100000/s")
	if !strings.Contains(text, "nothing differs") || strings.Contains(text, "dashboard") {
		t.Errorf("it says %s", text)
	}
}

func TestDeepAuditFindsWhatIsPlanted(t *testing.T) {
	t.Parallel()
	r := newRig(t).withEverySink()
	r.push(msgpackList, many(400, capturedHour)...)
	r.push(msgpackList+"_1", many(400, capturedHour.Add(time.Hour))...)
	file := r.file(nil)
	r.once(file, 0)
	wantFound(t, r.deep(file, 0), nil)
	e := r.expect()
	ctx := context.Background()
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	db := r.mongoDB()

	lost, _ := primitive.ObjectIDFromHex(e.ids[7])
	must(db.Collection("tyk_analytics").DeleteOne(ctx, bson.M{"_id": lost}))
	stranger := primitive.NewObjectIDFromTimestamp(capturedHour.Add(time.Minute))
	must(db.Collection("tyk_analytics").InsertOne(ctx, bson.M{"_id": stranger, "orgid": "org1", "timestamp": capturedHour}))
	must(db.Collection("tyk_analytics").InsertOne(ctx, bson.M{"_id": "a text", "orgid": "org1"}))

	index := r.index + "-" + capturedHour.Format("2006.01.02")
	r.request("DELETE", "/"+index+"/_doc/"+e.ids[9], "")
	other := strings.Repeat("ab", 12)
	r.request("PUT", "/"+index+"/_doc/"+other, fmt.Sprintf(`{"@timestamp":"%s","org_id":"org1"}`, capturedHour.Format(time.RFC3339)))
	r.request("PUT", "/"+r.index+"-x/_doc/"+e.ids[10], fmt.Sprintf(`{"@timestamp":"%s","org_id":"org1"}`, capturedHour.Format(time.RFC3339)))

	must(db.Collection("z_tyk_analyticz_aggregate_org1").UpdateOne(ctx, bson.M{"timestamp": capturedHour}, bson.M{"$inc": bson.M{"apikeys.key1.hits": 1}}))
	must(db.Collection("tyk_analytics_aggregates").DeleteOne(ctx, bson.M{"orgid": "org2", "timestamp": capturedHour}))
	r.sqlite("UPDATE counters SET hits = hits + 1 WHERE width = 3600 AND dimension = 0 AND bucket = " + fmt.Sprint(capturedHour.Unix()))

	res := r.deep(file, 1)
	wantFound(t, res, map[string]map[string]int64{
		"raw":       {deepaudit.Missing: 1, deepaudit.Strange: 2},
		"search":    {deepaudit.Missing: 1, deepaudit.Strange: 1, deepaudit.Double: 1},
		"dashboard": {deepaudit.Missing: 1, deepaudit.Differs: 1},
		"local":     {deepaudit.Differs: 1},
	})
	for _, w := range [][3]string{{"raw", deepaudit.Missing, e.ids[7]}, {"raw", deepaudit.Strange, stranger.Hex()}, {"raw", deepaudit.Strange, "a text"},
		{"search", deepaudit.Missing, e.ids[9]}, {"search", deepaudit.Strange, other}, {"search", deepaudit.Double, e.ids[10]},
		{"dashboard", deepaudit.Differs, "apikeys.key1.hits"}, {"dashboard", deepaudit.Missing, "org2"}, {"local", deepaudit.Differs, "total: hits"}} {
		if !named(res, w[0], w[1], w[2]) {
			t.Errorf("%s: %s is not named as %s: %v", w[0], w[2], w[1], res.Stores[w[0]].Findings)
		}
	}
	if text, _ := r.sluice(file, 1, "audit", "--deep"); !strings.Contains(text, "SOMETHING DIFFERS") || !strings.Contains(text, e.ids[7]) {
		t.Errorf("it says %s", text)
	}
	wantFound(t, r.deep(file, 0, span(capturedHour.Add(time.Hour), capturedHour.Add(2*time.Hour))...), nil)
}

func (r *rig) sqlite(statement string) {
	r.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(r.dir, "local.db"))
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := db.Exec(statement); err != nil {
		r.t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		r.t.Fatal(err)
	}
}

func TestDeepAuditFindsWhatIsWrongWithTheArchive(t *testing.T) {
	t.Parallel()
	r := newRig(t).withFiles().withRaw()
	file := r.file(nil)
	for i := range 4 {
		r.push(msgpackList, many(100, capturedHour.Add(time.Duration(i)*time.Minute))...)
		r.once(file, 0)
	}
	wantFound(t, r.deep(file, 0), nil)
	objects := r.objects()
	if len(objects) != 4 {
		t.Fatalf("%d objects", len(objects))
	}
	manifest := func(object string) string { return strings.TrimSuffix(object, ".csv.zst") + ".manifest.json" }
	keep := map[string][]byte{}
	for _, name := range append([]string{manifest(objects[1]), manifest(objects[3])}, objects...) {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		keep[name] = b
	}
	restore := func() {
		for name, b := range keep {
			_ = os.Remove(name)
			if err := os.WriteFile(name, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	remove := func(names ...string) {
		for _, name := range names {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	remove(objects[1], manifest(objects[1]))
	res := r.deep(file, 1)
	wantFound(t, res, map[string]map[string]int64{"files": {deepaudit.Gap: 100}, "raw": {deepaudit.Strange: 100}})
	restore()

	remove(objects[3], manifest(objects[3])) // at the end nothing follows: the ledger tells
	wantFound(t, r.deep(file, 1), map[string]map[string]int64{"files": {deepaudit.Gap: 100}, "raw": {deepaudit.Strange: 100}})
	restore()

	damage(t, objects[0])
	if res = r.deep(file, 1); res.Stores["files"].Counts[deepaudit.Damaged] != 1 || res.Stores["raw"].Counts[deepaudit.Strange] != 0 {
		t.Errorf("damage: %v", res.Stores["files"])
	}
	restore()

	copied := strings.Replace(objects[3], "-0000000100.csv", "-0000000099.csv", 1) // an object that overlaps
	text := strings.Replace(string(keep[manifest(objects[3])]), filepath.Base(objects[3]), filepath.Base(copied), 1)
	text = strings.Replace(text, `-0000000100"`, `-0000000099"`, 1)
	for name, b := range map[string][]byte{copied: keep[objects[3]], manifest(copied): []byte(text)} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	res = r.deep(file, 1)
	if n := res.Stores["files"].Counts[deepaudit.Double]; n < 100 || !named(res, "files", deepaudit.Double, filepath.Base(copied)) {
		t.Errorf("overlap: %v", res.Stores["files"])
	}
	remove(copied, manifest(copied))
	wantFound(t, r.deep(file, 0), nil)
}

func TestDeepAuditBesideAPump(t *testing.T) {
	t.Parallel()
	r := newRig(t).withEverySink()
	file := r.file(nil)
	r.push(msgpackList, many(600, capturedHour)...)
	r.once(file, 0)
	p := r.start("run", "--config", file)
	for n := range 3 {
		a := r.start("audit", "--deep", "--output", "json", "--config", file)
		for i := range 12 {
			r.push(fmt.Sprintf("%s_%d", msgpackList, i%3), many(150, capturedHour.Add(time.Duration(12*n+i)*time.Minute))...)
			time.Sleep(200 * time.Millisecond)
		}
		code := a.Wait()
		var res deepResult
		if err := json.Unmarshal([]byte(a.Stdout()), &res); err != nil || code != 0 {
			t.Fatalf("exit %d, %v:\n%s%s", code, err, a.Stdout(), a.Stderr())
		}
	}
	p.Terminate()
	p.Wait()
	r.once(file, 0)
	if res := r.deep(file, 0); res.Records != 6000 {
		t.Errorf("%d records", res.Records)
	}
}

func TestDeepAuditWithoutAnArchive(t *testing.T) {
	t.Parallel()
	r := newRig(t).withRaw().withSearch().withAggregate()
	r.push(msgpackList, many(300, capturedHour)...)
	file := r.file(nil)
	r.once(file, 0)
	res := r.deep(file, 0)
	wantFound(t, res, nil)
	if len(res.Notes) == 0 || !strings.Contains(res.Notes[0], "no sink writes an archive") || len(res.Stores["dashboard"].Notes) == 0 {
		t.Errorf("what cannot be told is not said: %+v", res)
	}
	e := r.expect()
	lost, _ := primitive.ObjectIDFromHex(e.ids[3])
	if _, err := r.mongoDB().Collection("tyk_analytics").DeleteOne(context.Background(), bson.M{"_id": lost}); err != nil {
		t.Fatal(err)
	}
	r.request("DELETE", "/"+r.index+"-"+capturedHour.Format("2006.01.02")+"/_doc/"+e.ids[4], "")
	res = r.deep(file, 1)
	wantFound(t, res, map[string]map[string]int64{"raw": {deepaudit.Missing: 1}, "search": {deepaudit.Missing: 1}})
	if !named(res, "raw", deepaudit.Missing, e.ids[3]) || !named(res, "search", deepaudit.Missing, e.ids[4]) {
		t.Errorf("%v %v", res.Stores["raw"], res.Stores["search"])
	}
}

// TestDeepAuditKnowsWhatASinkWasNeverOwed: a sink that is configured later lacks what was claimed before.
func TestDeepAuditKnowsWhatASinkWasNeverOwed(t *testing.T) {
	t.Parallel()
	r := newRig(t).withFiles()
	r.push(msgpackList, many(200, capturedHour)...)
	r.once(r.file(nil), 0)
	r.withRaw().withAggregate()
	r.push(msgpackList, many(200, capturedHour.Add(time.Minute))...)
	file := r.file(nil)
	r.once(file, 0)
	res := r.deep(file, 0)
	if res.Stores["raw"].Compared != 200 || res.Stores["dashboard"].Counts[deepaudit.Untold] == 0 {
		t.Errorf("%+v", res.Stores)
	}
}
