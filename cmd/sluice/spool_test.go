package main

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/internal/record"
	"sluice/internal/testenv"
)

// memory is what the rig's Redis uses.
func (r *rig) memory() (used int) {
	r.t.Helper()
	text, err := r.client.Do(r.t.Context(), r.client.B().Info().Section("memory").Build()).ToString()
	if err != nil {
		r.t.Fatal(err)
	}
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "used_memory:"); ok {
			used, _ = strconv.Atoi(v)
		}
	}
	return used
}

// fat are n payloads of some 3 kB.
func fat(from, n int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		out[i] = made(from+i, capturedHour.Add(time.Duration(from+i)*time.Millisecond), func(rec *record.Record) {
			rec.RawRequest = strings.Repeat("cmVxdWVzdA==", 240)
		})
	}
	return out
}

// batchesIn counts the batches in a state directory's spool.
func batchesIn(t *testing.T, dir string) (n int) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(dir, "spool"), func(_ string, e fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(e.Name(), ".batch") {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// until waits for the ledger of raw to be as wanted, and holds that it balances all the while.
func (r *rig) until(file, what string, f func(sinkLedger) bool) {
	r.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		a := r.audit(file)
		if !a.Balanced {
			r.t.Fatalf("the ledger does not balance: %+v %v", a.Sinks, a.Strange)
		}
		if f(a.Sinks["raw"]) {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("it never came to pass that %s: %+v", what, a.Sinks)
		}
	}
}

// A sink is down for long while the gateway writes several times what Redis may hold: Redis never comes near its limit,
// what another sink gets is not held up, and when the sink is well it gets everything once, also when pumps were killed
// with their records in the spool.
func TestRedisDoesNotFillUpWhileASinkIsDown(t *testing.T) {
	t.Parallel()
	const most = 64 << 20
	r := newRig(t, "--maxmemory", strconv.Itoa(most), "--maxmemory-policy", "noeviction").withRaw().withFiles()
	live := r.mongo
	r.config = strings.Replace(r.config, "claim: {", "guard: {memory: 30}\n    claim: {", 1)
	file := r.file(nil)
	down := r.file(func(s string) string {
		return strings.Replace(s, live, "mongodb://"+nowhere+"/?replicaSet=rs0&serverSelectionTimeoutMS=200", 1)
	})
	p := r.start("run", "--config", down)
	const batch, batches = 500, 70 // some 110 MB, 7 MB a second at most
	peak := 0
	for i := range batches {
		// A gateway waits for nobody; this one lets a pump on a busy machine catch up, and fails the test when it does not.
		for deadline := time.Now().Add(90 * time.Second); r.memory() > most/2; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("Redis uses %d bytes, and nothing makes it less:\n%s", r.memory(), p.Stderr())
			}
		}
		r.push(msgpackList, fat(i*batch, batch)...) // fails the test when Redis is full
		peak = max(peak, r.memory())
		if i == batches/2 {
			p.Kill()
			p = r.start("run", "--config", down)
			time.Sleep(2 * time.Second) // nobody guards a Redis whose pumps are all dead
		}
		time.Sleep(200 * time.Millisecond)
	}
	t.Logf("Redis used %d of %d at most", peak, most)
	r.until(down, "everything is claimed, most of it spooled", func(l sinkLedger) bool {
		return l.Spooled+l.Pending == batch*batches && l.Pending < most/3000
	})
	r.until(down, "another sink has everything", func(sinkLedger) bool {
		return r.audit(down).Sinks["files"].Effective == batch*batches
	})
	state := filepath.Join(r.dir, "state")
	if batchesIn(t, state) == 0 {
		t.Error("the spool's directory has no batches")
	}
	p.Kill()
	p = r.start("run", "--config", file)
	r.until(file, "part of the spool came back", func(l sinkLedger) bool { return l.Effective > 0 })
	p.Kill()
	r.once(file, 0)
	r.wantLedger(file, batch*batches, map[string]sinkLedger{"raw": effective(batch * batches), "files": effective(batch * batches)})
	e := r.expect()
	wantIDs(t, "raw", e.wanted(inRaw), r.rawIDs())
	wantIDs(t, "files", e.wanted(everything), r.archiveIDs(r.fileStore(), ""))
	r.wantRedisEmpty()
	if n := batchesIn(t, state); n > 0 {
		t.Errorf("%d batches are left in the spool", n)
	}
}

// What a pump put into a bucket is delivered by another one, whose disk has nothing of it.
func TestSpoolInABucketIsDrainedByAnotherPump(t *testing.T) {
	t.Parallel()
	r := newRig(t).withRaw().withAggregate()
	live, bucket := r.mongo, testenv.S3(t)
	r.bucket = bucket
	r.sink("archive", "s3-csv", fmt.Sprintf(
		"bucket: %s, prefix: a/, endpoint: \"%s\", path_style: true, region: %s, access_key: %s, secret_key: %s, object: {max_age: 1s}",
		bucket.Bucket, bucket.Endpoint, bucket.Region, bucket.AccessKey, bucket.SecretKey)) // where the spool's bucket is reached
	r.config = strings.Replace(r.config, "claim: {", "guard: {age: 1s}\n    claim: {", 1)
	r.config = strings.Replace(r.config, "state: {", fmt.Sprintf("state: {durable: false, spool: s3://%s/own/, ", bucket.Bucket), 1)
	down := r.file(func(s string) string {
		return strings.ReplaceAll(s, live, "mongodb://"+nowhere+"/?replicaSet=rs0&serverSelectionTimeoutMS=200")
	})
	p := r.start("run", "--config", down)
	r.push(msgpackList, many(3000, capturedHour)...)
	r.until(down, "everything is spooled", func(l sinkLedger) bool { return l.Spooled == 3000 })
	for r.audit(down).Sinks["dashboard"].Spooled < 3000 {
		time.Sleep(100 * time.Millisecond)
	}
	p.Kill()
	other := r.file(func(s string) string { return strings.Replace(s, r.dir+"/state", r.dir+"/state2", 1) })
	r.push(msgpackList, many(500, capturedHour.Add(time.Hour))...)
	r.once(other, 0)
	r.wantLedger(other, 3500, map[string]sinkLedger{
		"raw": effective(3500), "dashboard": effective(3500), "archive": effective(3500)})
	e := r.expect()
	wantIDs(t, "raw", e.wanted(inRaw), r.rawIDs())
	r.wantAggregates(e.records)
	r.wantRedisEmpty()
	for info, err := range r.s3Store().List(t.Context(), "own/spool/") {
		t.Errorf("left in the bucket: %s, %v", info.Key, err)
	}
}

// A directory's spool makes the list wait for it, and a release gives it up.
func TestListWaitsForTheDirectoryOfItsSpoolOrARelease(t *testing.T) {
	t.Parallel()
	r := newRig(t).withRaw()
	live := r.mongo
	r.config = strings.Replace(r.config, "claim: {", "guard: {age: 1s}\n    claim: {", 1)
	down := r.file(func(s string) string {
		return strings.Replace(s, live, "mongodb://"+nowhere+"/?replicaSet=rs0&serverSelectionTimeoutMS=200", 1)
	})
	r.push(msgpackList, many(100, capturedHour)...)
	r.urgent(msgpackList)
	p := r.start("run", "--config", down)
	r.until(down, "everything is spooled", func(l sinkLedger) bool { return l.Spooled == 100 })
	p.Kill()
	other := r.file(func(s string) string { return strings.Replace(s, r.dir+"/state", r.dir+"/state2", 1) })
	r.push(msgpackList, many(50, capturedHour.Add(time.Hour))...)
	time.Sleep(2500 * time.Millisecond) // the dead pump's lease
	p = r.once(other, 0)
	if !strings.Contains(p.Stderr(), "waits for") || r.audit(other).Sinks["raw"].Spooled != 100 {
		t.Errorf("the list did not wait for its state directory:\n%s", p.Stderr())
	}
	for _, args := range [][]string{{"release", msgpackList}, {"release", msgpackList, "--sink", "raw"}} {
		rel := r.start(append(args, "--config", other)...)
		if code := rel.Wait(); code != 0 {
			t.Fatalf("%v exits %d: %s", args, code, rel.Stderr())
		}
	}
	r.once(other, 0)
	want := effective(50)
	want.Filtered = 100
	r.wantLedger(other, 150, map[string]sinkLedger{"raw": want})
	r.wantRedisEmpty()
}
