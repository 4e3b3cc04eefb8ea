package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/bson"
)

// wipe empties raw, search and aggregates.
func (r *rig) wipe() {
	r.t.Helper()
	if err := r.mongoDB().Drop(context.Background()); err != nil {
		r.t.Fatal(err)
	}
	r.dropIndices()
}

// span are the flags for the hours around what the tests push.
func span(from, to time.Time) []string {
	return []string{"--from", from.Format(time.RFC3339), "--to", to.Format(time.RFC3339)}
}

var day = span(capturedHour.Truncate(24*time.Hour).Add(-24*time.Hour), capturedHour.Truncate(24*time.Hour).Add(48*time.Hour))

func (r *rig) replay(file string, code int, flags ...string) (res replayResult) {
	r.t.Helper()
	r.sluiceJSON(file, code, &res, append([]string{"replay"}, flags...)...)
	return res
}

// aggregates are all aggregate documents, as they are stored.
func (r *rig) aggregates() map[string]bson.M {
	r.t.Helper()
	names, err := r.mongoDB().ListCollectionNames(context.Background(), bson.M{"name": bson.M{"$regex": "aggregate"}})
	if err != nil {
		r.t.Fatal(err)
	}
	out := map[string]bson.M{}
	for _, name := range names {
		var docs []bson.M
		r.find(name, bson.M{}, &docs)
		for _, d := range docs {
			out[fmt.Sprint(name, d["_id"])] = d
		}
	}
	return out
}

// alter makes every aggregate document wrong, but for where it has counted up to.
func (r *rig) alter() {
	r.t.Helper()
	for _, name := range []string{"tyk_analytics_aggregates"} {
		for _, d := range r.aggregates() {
			_, err := r.mongoDB().Collection(name).UpdateOne(context.Background(), bson.M{"_id": d["_id"]},
				bson.M{"$inc": bson.M{"total.hits": 1000, "total.success": -3}, "$unset": bson.M{"apikeys": "", "lists.tags": ""}})
			if err != nil {
				r.t.Fatal(err)
			}
		}
	}
}

func TestReplayBringsEverySinkBack(t *testing.T) {
	t.Parallel()
	r := newRig(t).withAll()
	r.pushCaptures()
	file := r.file(nil)
	r.once(file, 0)
	all := int64(len(r.expect().records))

	var dry dryResult
	r.sluiceJSON(file, 0, &dry, append([]string{"replay", "--dry-run"}, day...)...)
	if dry.Records != all || dry.Seconds <= 0 || dry.Seconds > 60 {
		t.Errorf("the dry run counts %d records of %d, in %g s", dry.Records, all, dry.Seconds)
	}
	if text, _ := r.sluice(file, 0, append([]string{"replay", "--dry-run", "--rate", "100/s"}, day...)...); !strings.HasPrefix(text, fmt.Sprint(all, " records")) ||
		!strings.Contains(text, fmt.Sprintf("in no less than %s;", time.Duration((all+99)/100)*time.Second)) {
		t.Errorf("the dry run prints %s", text)
	}
	first := r.aggregates()
	res := r.replay(file, 0, day...)
	if b := res.Rebuilt["dashboard"]; b.Replaced != 0 || b.Unchanged != int64(len(first)) {
		t.Errorf("documents that are right were replaced: %+v of %d", b, len(first))
	}
	r.wantEverywhere()

	r.wipe()
	res = r.replay(file, 0, day...)
	if res.Records != all || res.Sinks["search"].Written != all || res.Sinks["raw"].Written+res.Sinks["raw"].Filtered != all {
		t.Errorf("%+v, raw %+v, search %+v", res, res.Sinks["raw"], res.Sinks["search"])
	}
	r.wantEverywhere()
	before := r.aggregates()
	r.replay(file, 0, day...)
	if diff := cmp.Diff(before, r.aggregates()); diff != "" {
		t.Errorf("a second replay changes documents:\n%.1000s", diff)
	}
	r.wantEverywhere()

	r.alter()
	within := span(capturedHour.Truncate(24*time.Hour).Add(time.Minute-24*time.Hour), capturedHour.Truncate(24*time.Hour).Add(48*time.Hour-time.Minute))
	if res = r.replay(file, 0, append(within, "--sink", "dashboard")...); res.Rebuilt["dashboard"].Replaced == 0 || len(res.Sinks) != 0 {
		t.Errorf("altered documents: %+v", res.Rebuilt["dashboard"])
	}
	r.wantAggregates(r.expect().records)

	// the pump goes on where the documents are
	r.push(msgpackList, many(50, capturedHour.Add(20*time.Minute))...)
	r.once(file, 0)
	r.wantEverywhere()
}

func TestReplayWhileAPumpDrainsIntoTheSameHours(t *testing.T) {
	t.Parallel()
	r := newRig(t).withAll()
	r.push(msgpackList, many(3000, capturedHour)...)
	r.push(msgpackList+"_1", many(3000, capturedHour.Add(10*time.Minute))...)
	file := r.file(nil)
	r.once(file, 0)
	r.alter()
	r.dropIndices()

	p := r.start("run", "--config", file)
	replay := r.start(append([]string{"replay", "--config", file, "--timeout", "60s"}, day...)...)
	for i := range 12 {
		r.push(fmt.Sprintf("%s_%d", msgpackList, i%3), many(500, capturedHour.Add(time.Duration(i)*time.Minute))...)
		time.Sleep(300 * time.Millisecond)
	}
	if code := replay.Wait(); code != 0 {
		t.Errorf("the replay exits %d:\n%s%s", code, replay.Stdout(), replay.Stderr())
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		if a := r.audit(file); a.Taken == 12000 && a.Sinks["dashboard"].Pending+a.Sinks["search"].Pending+a.Sinks["archive"].Pending == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the pump does not end")
		}
	}
	p.Terminate()
	p.Wait()
	res := r.replay(file, 0, append(day, "--sink", "dashboard")...)
	if b := res.Rebuilt["dashboard"]; b.Replaced != 0 {
		t.Errorf("the replay beside the pump left documents wrong: %+v", b)
	}
	r.wantAggregates(r.expect().records)
	r.wantLedger(file, 12000, nil)
}

func TestReplayKilledGoesOn(t *testing.T) {
	t.Parallel()
	r := newRig(t).withAll()
	for i := range 6 {
		r.push(fmt.Sprintf("%s_%d", msgpackList, i), many(1000, capturedHour.Add(time.Duration(i)*time.Hour))...)
	}
	file := r.file(nil)
	r.once(file, 0)
	r.wipe()
	kills := 0
	for range 8 {
		p := r.start(append([]string{"replay", "--resume", "--config", file}, day...)...)
		p.KillAfter(200*time.Millisecond, 1200*time.Millisecond)
		if p.ExitCode() == 0 {
			break
		}
		kills++
	}
	if kills == 0 {
		t.Error("the replay was never killed in its middle")
	}
	res := r.replay(file, 0, append(day, "--resume")...)
	if res.Records != 6000 {
		t.Errorf("%d records in all runs together, want 6000", res.Records)
	}
	r.wantEverywhere()
	left, err := filepath.Glob(filepath.Join(r.dir, "state", "replay", "*.json"))
	if err != nil || len(left) != 0 {
		t.Errorf("checkpoints are left: %v, %v", left, err)
	}
}

func TestReplayGoesOnAroundWhatIsDamaged(t *testing.T) {
	t.Parallel()
	r := newRig(t).withFiles().withRaw().withAggregate()
	for i := range 4 {
		r.push(msgpackList+fmt.Sprint("_", i), many(300, capturedHour.Add(time.Duration(i)*time.Hour))...)
	}
	file := r.file(nil)
	r.once(file, 0)
	objects := r.objects()
	if len(objects) != 4 {
		t.Fatalf("%d objects", len(objects))
	}
	damage(t, objects[1])
	before := r.aggregates()
	if err := r.mongoDB().Collection("tyk_analytics").Drop(t.Context()); err != nil {
		t.Fatal(err)
	}
	res := r.replay(file, 1, day...)
	if res.Corrupt.Count != 1 || !strings.HasSuffix(objects[1], res.Corrupt.Named[0].Object) || res.Sinks["raw"].Written != 900 {
		t.Errorf("%+v, raw %+v", res, res.Sinks["raw"])
	}
	if b := res.Rebuilt["dashboard"]; len(b.Refused) != 1 || b.Unchanged == 0 {
		t.Errorf("rebuilt: %+v", b)
	}
	if n := len(r.rawIDs()); n != 900 {
		t.Errorf("%d records in raw, want those of the three sound objects", n)
	}
	if diff := cmp.Diff(before, r.aggregates()); diff != "" {
		t.Errorf("documents of a damaged hour changed:\n%.1000s", diff)
	}
	for _, o := range objects {
		if err := os.Remove(o); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(strings.TrimSuffix(o, ".csv.zst") + ".manifest.json"); err != nil {
			t.Fatal(err)
		}
	}
	res = r.replay(file, 1, append(day, "--sink", "dashboard")...)
	if b := res.Rebuilt["dashboard"]; b.Failed != 12 || !strings.Contains(b.Failures[0].Reason, "none of the records") {
		t.Errorf("with no archive: %+v", b)
	}
}

func TestReplayChoosesRecords(t *testing.T) {
	t.Parallel()
	r := newRig(t).withFiles().withRaw()
	r.sink("lines", "stdout", "filters: {skip_org_ids: [org2]}")
	r.push(msgpackList, many(1500, capturedHour.Add(59*time.Minute+59*time.Second))...)
	file := r.file(nil)
	r.once(file, 0)
	if err := r.mongoDB().Collection("tyk_analytics").Drop(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.sink("dashboard", "mongo-aggregate", `uri: "mongodb://127.0.0.1:1/"`) // it cannot be given a part
	r.sink("bus", "kafka", `brokers: ["127.0.0.1:1"], topic: t`)
	file = r.file(nil)
	half := span(capturedHour, capturedHour.Add(time.Hour)) // the first second is in, the rest out
	flags := append(half, "--org", "org1", "--org", "org2", "--status", "2xx", "--status", "404", "--rate", "2000/s")
	var dry dryResult
	r.sluiceJSON(file, 0, &dry, append([]string{"replay", "--dry-run"}, flags...)...)
	want, lines := map[string]int{}, 0
	e := r.expect()
	for i, rec := range e.records {
		if rec.TimeStamp.Before(capturedHour.Add(time.Hour)) && rec.OrgID != "org0" && rec.ResponseCode < 300 {
			want[e.ids[i]] = 1
			if rec.OrgID == "org1" {
				lines++
			}
		}
	}
	if want := []string{"lines", "raw"}; !slices.Equal(dry.Sinks, want) {
		t.Errorf("it would go to %v, want %v", dry.Sinks, want)
	}
	out, stderr := r.sluice(file, 0, append([]string{"replay"}, flags...)...)
	if int(dry.Records) != len(want) || strings.Count(out, "\n") != lines || !strings.Contains(stderr, "sink lines") {
		t.Errorf("dry run: %d, lines %d, want %d and %d\n%s", dry.Records, strings.Count(out, "\n"), len(want), lines, stderr)
	}
	wantIDs(t, "raw", want, r.rawIDs())
}

func TestReplayRefusesWhatCannotBeExact(t *testing.T) {
	t.Parallel()
	r := newRig(t).withFiles()
	r.sink("dashboard", "mongo-aggregate", `uri: "mongodb://127.0.0.1:1/"`)
	r.sink("local", "sqlite", "path: "+filepath.Join(r.dir, "local.db"))
	r.sink("copy", "csv", "dir: "+filepath.Join(r.dir, "copy"))
	r.sink("bus", "kafka", `brokers: ["127.0.0.1:1"], topic: t`)
	file := r.file(nil)
	base := []string{"--archive", "files"}
	hour := span(capturedHour, capturedHour.Add(time.Hour))
	for _, c := range []struct {
		flags []string
		say   string
	}{
		{[]string{"--sink", "dashboard"}, "--from and --to"},
		{append(hour, "--sink", "dashboard", "--api", "x"), "leave out --api"},
		{append(span(capturedHour.Add(time.Minute), capturedHour.Add(90*time.Minute)), "--sink", "copy"),
			"--from 2026-11-23T09:00:00Z --to 2026-11-23T11:00:00Z"},
		{append(hour, "--sink", "copy", "--status", "5xx"), "gets whole objects"},
		{append(hour, "--sink", "local", "--org", "x"), "leave out --org"},
		{append(hour, "--sink", "bus"), "whose workers drop"},
		{append(hour, "--sink", "files"), "is the archive that is read"},
		{append(hour, "--sink", "missing"), "there is no such sink"},
		{append(hour, "--rate", "fast"), "--rate"},
	} {
		if _, stderr := r.sluice(file, 2, append(append([]string{"replay"}, base...), c.flags...)...); !strings.Contains(stderr, c.say) {
			t.Errorf("%v says %s", c.flags, stderr)
		}
	}
}

func TestRebuildRefusesAnArchiveThatLacksSomething(t *testing.T) {
	t.Parallel()
	r := newRig(t).withAggregate()
	r.sink("files", "csv", fmt.Sprintf("dir: %s, object: {max_age: 1s}, filters: {skip_org_ids: [org2]}", r.filesDir()))
	r.push(msgpackList, many(300, capturedHour)...)
	file := r.file(nil)
	r.once(file, 0)
	before := r.aggregates()
	res := r.replay(file, 1, day...)
	if b := res.Rebuilt["dashboard"]; len(b.Refused) != 1 || !strings.Contains(b.Refused[0].Reason, "filters") {
		t.Errorf("%+v", b)
	}
	if diff := cmp.Diff(before, r.aggregates()); diff != "" {
		t.Errorf("documents changed:\n%.1000s", diff)
	}
}

// TestRebuildKeepsWhatTheArchiveNeverHad: an archive that was configured later does not take records away.
func TestRebuildKeepsWhatTheArchiveNeverHad(t *testing.T) {
	t.Parallel()
	r := newRig(t).withAggregate()
	r.push(msgpackList, many(300, capturedHour)...)
	r.once(r.file(nil), 0)
	r.withFiles()
	file := r.file(nil)
	r.push(msgpackList, many(300, capturedHour.Add(time.Minute))...)
	r.once(file, 0)
	before := r.aggregates()
	res := r.replay(file, 1, day...)
	if b := res.Rebuilt["dashboard"]; b.Failed == 0 || !strings.Contains(b.Failures[0].Reason, "from its beginning") {
		t.Errorf("%+v", b)
	}
	if diff := cmp.Diff(before, r.aggregates()); diff != "" {
		t.Errorf("documents changed:\n%.1000s", diff)
	}
}

// TestReplayIntoSQLite: hours of a file are rebuilt, also in one that was lost, as often as one likes and killed on the way; what
// its sink is still to get is not counted before.
func TestReplayIntoSQLite(t *testing.T) {
	t.Parallel()
	r := newRig(t).withFiles()
	path := filepath.Join(r.dir, "local.db")
	r.sink("local", "sqlite", "path: "+path)
	hour := time.Now().UTC().Truncate(time.Hour).Add(-4 * time.Hour)
	for i := range 3 {
		r.push(msgpackList, many(400, hour.Add(time.Duration(i)*time.Hour))...)
	}
	file := r.file(nil)
	r.once(file, 0)
	want := r.sqliteCounters(path)
	if len(want) < 30 {
		t.Fatalf("%d counters", len(want))
	}
	flags := append([]string{"--sink", "local"}, span(hour, hour.Add(4*time.Hour))...)
	same := func(when string) {
		t.Helper()
		if diff := cmp.Diff(want, r.sqliteCounters(path)); diff != "" {
			t.Errorf("%s:\n%.1500s", when, diff)
		}
	}
	for range 2 {
		if res := r.replay(file, 0, flags...); res.Local["local"].Hours != 3 || res.Local["local"].Records != 1200 {
			t.Errorf("%+v", res.Local["local"])
		}
		same("rebuilt")
	}
	lost, err := filepath.Glob(path + "*")
	if err != nil || len(lost) == 0 {
		t.Fatal(lost, err)
	}
	for _, name := range lost {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		p := r.start(append([]string{"replay", "--config", file, "--resume"}, flags...)...)
		p.KillAfter(20*time.Millisecond, 250*time.Millisecond)
	}
	r.replay(file, 0, append(flags, "--resume")...)
	r.replay(file, 0, flags...)
	same("made anew")
	r.once(file, 0)
	same("nothing comes again")

	r.push(msgpackList, many(100, hour.Add(time.Minute))...)
	r.once(file, 0)
	want = r.sqliteCounters(path)
	r.replay(file, 0, flags...)
	same("with what came later")
	r.sluice(file, 0, "audit", "--deep", "--sink", "local")

	p := r.start("run", "--config", file)
	p.WaitFor("sink is open")
	time.Sleep(300 * time.Millisecond)
	if _, stderr := r.sluice(file, 1, append([]string{"replay"}, flags...)...); !strings.Contains(stderr, "must be stopped") {
		t.Errorf("beside a pump: %s", stderr)
	}
	p.Terminate()
	p.Wait()
}

// sqliteCounters are the counters by hour.
func (r *rig) sqliteCounters(path string) map[string]string {
	r.t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(`SELECT bucket || ' ' || dimension || ' ' || org || ' ' || name, hits || ' ' || errors || ' ' || success || ' ' || latency_sum || ' ' ||
		latency_max || ' ' || upstream_sum || ' ' || request_bytes FROM counters WHERE width = 3600`)
	if err != nil {
		r.t.Fatal(err)
	}
	defer rows.Close()
	out := map[string]string{}
	for rows.Next() {
		var k, v string
		if err := rows.Scan(&k, &v); err != nil {
			r.t.Fatal(err)
		}
		out[k] = v
	}
	if err := rows.Err(); err != nil {
		r.t.Fatal(err)
	}
	return out
}
