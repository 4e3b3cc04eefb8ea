package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/bson"

	"sluice/internal/record"
	"sluice/internal/statedir"
)

// nowhere is an address that refuses connections. A port that happens to be free would do so until somebody takes it.
const nowhere = "127.0.0.1:1"

func TestSinkThatIsDownGetsTheRestLater(t *testing.T) {
	t.Parallel()
	r := newRig(t).withAll()
	r.push(msgpackList, many(3000, capturedHour)...)
	down := r.file(func(s string) string { return strings.Replace(s, r.search, "http://"+nowhere, 1) })
	p := r.once(down, 1, "--timeout", "12s")
	if !strings.Contains(p.Stderr(), "search") || !strings.Contains(p.Stderr(), "kept in Redis") {
		t.Errorf("it is not said what remains:\n%s", p.Stderr())
	}
	e := r.expect()
	wantIDs(t, "raw", e.wanted(inRaw), r.rawIDs())
	wantIDs(t, "archive", e.wanted(everything), r.archiveIDs(r.s3Store(), "a/"))
	r.wantAggregates(e.records)
	if a := r.audit(down); a.Sinks["search"].Pending != 3000 || a.Sinks["raw"].Effective != 3000 {
		t.Errorf("ledger: %+v", a.Sinks)
	}
	file := r.file(nil)
	r.once(file, 0)
	r.wantEverywhere()
	r.wantLedger(file, 3000, map[string]sinkLedger{"search": effective(3000), "raw": effective(3000)})
	r.wantRedisEmpty()
}

func effective(n uint64) (s sinkLedger) {
	s.Effective = n
	return s
}

// claimed leaves records claimed and undelivered, as a crash does.
func (r *rig) claimed(file string, n uint64) {
	r.t.Helper()
	r.urgent(msgpackList)
	p := r.start("run", "--config", file)
	deadline := time.Now().Add(time.Minute)
	for r.audit(file).Taken < n {
		if time.Now().After(deadline) {
			r.t.Fatalf("never claimed:\n%s", p.Stderr())
		}
		time.Sleep(100 * time.Millisecond)
	}
	p.Kill()
}

// urgent lets a list's TTL run out soon: while no sink takes data, a list is claimed only when less than 20 s are left.
func (r *rig) urgent(list string) {
	r.t.Helper()
	if err := r.client.Do(r.t.Context(), r.client.B().Expire().Key(list).Seconds(19).Build()).Error(); err != nil {
		r.t.Fatal(err)
	}
}

func TestChangedConfigurationLeavesWhatWasClaimedAsItWas(t *testing.T) {
	t.Parallel()
	r := newRig(t).withRaw().withFiles()
	live := r.mongo
	r.push(msgpackList, many(500, capturedHour)...)
	// Claimed under this configuration, with no store that can be reached.
	r.mongo = "mongodb://" + nowhere + "/?replicaSet=rs0&serverSelectionTimeoutMS=500"
	before := r.file(func(s string) string {
		s = strings.Replace(s, live, r.mongo, 1)
		return strings.Replace(s, r.filesDir(), "/proc/none", 1)
	})
	r.mongo = live
	r.claimed(before, 500)

	r.push(msgpackList, many(500, capturedHour.Add(time.Minute))...)
	r.sink("late", "discard", "filters: {}")
	after := r.file(func(s string) string {
		s = strings.Replace(s, "pipeline: {", "pipeline: {mask: [{field: ip_address, action: drop}], ", 1)
		s = strings.Replace(s, "  main:", "  renamed:", 1)
		return strings.Replace(s, "retry: {", "filters: {skip_org_ids: [org0]}, retry: {", 1)
	})
	r.once(after, 0)
	a := r.audit(after)
	raw := a.Sinks["raw"]
	ours := uint64(0) // of the later 500, what the filter leaves out
	for i := range 500 {
		if i%3 == 0 {
			ours++
		}
	}
	if !a.Balanced || a.Taken != 1000 || raw.Effective != 1000-ours || raw.Filtered != ours {
		t.Errorf("ledger: %+v of %d", raw, a.Taken)
	}
	if late := a.Sinks["late"]; late.Effective != 500 || late.NotOwed != 500 || late.Filtered != 500 {
		t.Errorf("a sink that was added later: %+v", late)
	}
	if files := a.Sinks["files"]; files.Effective != 1000 {
		t.Errorf("files: %+v", files)
	}
	var masked, plain []bson.M
	r.find("tyk_analytics", bson.M{"ipaddress": ""}, &masked)
	r.find("tyk_analytics", bson.M{"ipaddress": "203.0.113.7"}, &plain)
	if len(plain) != 500 || len(masked) != 500-int(ours) {
		t.Errorf("%d documents with their address and %d without, want 500 and %d", len(plain), len(masked), 500-ours)
	}
	r.wantRedisEmpty()
}

func TestTwoPumpsShareTheListsAndTakeOver(t *testing.T) {
	t.Parallel()
	r := newRig(t).withRaw().withArchive()
	first := r.file(nil)
	second := r.file(func(s string) string { return strings.ReplaceAll(s, r.dir+"/state", r.dir+"/state2") })
	a := r.start("run", "--config", first)
	b := r.start("run", "--config", second)
	for i := range 30 {
		r.push(fmt.Sprintf("%s_%d", msgpackList, i%10), many(200, capturedHour.Add(time.Duration(i)*time.Minute))...)
		if i == 15 {
			a.Kill()
		}
		time.Sleep(50 * time.Millisecond)
	}
	deadline := time.Now().Add(90 * time.Second)
	for {
		l := r.audit(first)
		if l.Taken == 6000 && l.Sinks["raw"].Pending == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the other pump did not take over: %+v\n%s", l.Sinks, b.Stderr())
		}
		time.Sleep(200 * time.Millisecond)
	}
	b.Terminate()
	if code := b.Wait(); code != 0 {
		t.Errorf("SIGTERM ends the pump with %d", code)
	}
	r.once(first, 0)
	r.wantLedger(first, 6000, map[string]sinkLedger{"raw": effective(6000), "archive": effective(6000)})
	if n := len(r.rawIDs()); n != 6000 {
		t.Errorf("%d records in raw, want 6000", n)
	}
	if n := len(r.archiveIDs(r.s3Store(), "a/")); n != 6000 {
		t.Errorf("%d records in the archive, want 6000", n)
	}
}

func TestListOfALocalSinkWaitsForItsDirectoryOrARelease(t *testing.T) {
	t.Parallel()
	r := newRig(t).withFiles()
	r.push(msgpackList, many(100, capturedHour)...)
	r.claimed(r.file(func(s string) string { return strings.Replace(s, r.filesDir(), "/proc/none", 1) }), 100)
	other := r.file(func(s string) string { return strings.Replace(s, r.dir+"/state", r.dir+"/state2", 1) })
	time.Sleep(2500 * time.Millisecond) // the dead pump's lease
	p := r.once(other, 0)
	if !strings.Contains(p.Stderr(), "waits for") || r.audit(other).Sinks["files"].Pending != 100 {
		t.Errorf("the list did not wait for its state directory:\n%s", p.Stderr())
	}
	rel := r.start("release", msgpackList, "--config", other)
	if code := rel.Wait(); code != 0 {
		t.Fatalf("release exits %d: %s", code, rel.Stderr())
	}
	r.once(other, 0)
	r.wantLedger(other, 100, map[string]sinkLedger{"files": effective(100)})
	e := r.expect()
	wantIDs(t, "files", e.wanted(everything), r.archiveIDs(r.fileStore(), ""))
}

func TestTermEndsInTimeAlsoWhenASinkIsDown(t *testing.T) {
	t.Parallel()
	r := newRig(t).withFiles()
	r.sink("search", "opensearch", fmt.Sprintf("urls: [\"http://%s\"]", nowhere))
	file := r.file(func(s string) string {
		return strings.Replace(s, "pipeline: {", "pipeline: {shutdown_timeout: 5s, ", 1)
	})
	p := r.start("run", "--config", file)
	r.push(msgpackList, many(100, capturedHour)...)
	for r.audit(file).Sinks["files"].Effective < 100 {
		time.Sleep(100 * time.Millisecond)
	}
	began := time.Now()
	p.Terminate()
	if code, took := p.Wait(), time.Since(began); code != 0 || took > time.Minute { // a busy machine adds to the 5 s
		t.Errorf("SIGTERM: exit code %d after %s", code, took)
	}
	if !strings.Contains(p.Stderr(), "search 100") {
		t.Errorf("it is not said what remains:\n%s", p.Stderr())
	}
}

func TestRetriedLetterReachesOnlyTheSinkThatRefusedIt(t *testing.T) {
	t.Parallel()
	r := newRig(t).withRaw().withFiles()
	hostile := made(1, capturedHour, func(rec *record.Record) { rec.OrgID = strings.Repeat("x", 400) })
	r.push(msgpackList, hostile, made(2, capturedHour), []byte("poison"))
	perOrg := r.file(func(s string) string { return strings.Replace(s, "capped_size: 1GiB", "layout: per-org", 1) })
	r.once(perOrg, 0)
	letters := r.letters(perOrg)
	if len(letters) != 2 {
		t.Fatalf("dead letters: %+v", letters)
	}
	other := r.file(func(s string) string { return strings.ReplaceAll(s, r.dir+"/state", r.dir+"/state2") }) // of a pump that kept them too
	if err := os.CopyFS(statedir.Letters(r.dir+"/state2"), os.DirFS(statedir.Letters(r.dir+"/state"))); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{perOrg, other} {
		p := r.start("deadletters", "retry", "--all", "--config", file)
		if code := p.Wait(); code != 0 || !strings.Contains(p.Stdout(), "2 of 2 ") {
			t.Fatalf("retry exits %d: %s%s", code, p.Stdout(), p.Stderr())
		}
		if left := r.letters(file); len(left) != 0 {
			t.Errorf("still listed: %+v", left)
		}
	}
	capped := r.file(nil) // a layout that takes every organisation
	r.once(capped, 0)
	a := r.audit(capped)
	if raw, files := a.Sinks["raw"], a.Sinks["files"]; a.Taken != 5 || raw.Effective != 2 || files.Effective != 2 {
		t.Errorf("taken %d, raw %+v, files %+v: the hostile record is to be in both once", a.Taken, raw, files)
	}
	after := r.letters(capped)
	if len(after) != 1 || string(after[0].Bytes) != "poison" || after[0].Position == letters[1].Position {
		t.Errorf("letters after the retry: %+v", after)
	}
}

func TestUptimeGoesToMongoOnly(t *testing.T) {
	t.Parallel()
	r := newRig(t).withRaw().withFiles()
	r.push("host-checker:tyk-uptime-analytics", record.AppendUptime(nil, &record.Uptime{
		URL: "http://upstream/health", RequestTime: 12, ResponseCode: 200, TimeStamp: capturedHour,
		ExpireAt: capturedHour.Add(time.Hour), APIID: "api", OrgID: "org"}))
	r.push(msgpackList, many(10, capturedHour)...)
	file := r.file(nil)
	r.once(file, 0)
	var docs []bson.M
	r.find("tyk_uptime_analytics", bson.M{"url": "http://upstream/health", "requesttime": 12}, &docs)
	if len(docs) != 1 {
		t.Errorf("%d uptime documents", len(docs))
	}
	files := effective(10)
	files.Filtered, files.NotOwed = 1, 1
	r.wantLedger(file, 11, map[string]sinkLedger{"raw": effective(11), "files": files})
}
