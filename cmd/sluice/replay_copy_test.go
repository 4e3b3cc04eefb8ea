package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestReplayIntoAnotherArchive: objects are copied with their manifests, any number of times; what the other archive has
// under other names is not put there twice.
func TestReplayIntoAnotherArchive(t *testing.T) {
	t.Parallel()
	r := newRig(t).withFiles()
	hour := time.Now().UTC().Truncate(time.Hour).Add(-4 * time.Hour)
	r.push(msgpackList, many(100, hour)...)
	r.push(msgpackList+"_1", many(100, hour.Add(time.Hour))...)
	file := r.file(nil)
	r.once(file, 0)
	second := filepath.Join(r.dir, "second")
	r.sink("second", "csv", "dir: "+second)
	both := r.file(nil)
	when := span(hour, hour.Add(2*time.Hour))
	for range 2 {
		if res := r.replay(both, 0, append(when, "--archive", "files", "--sink", "second")...); res.Sinks["second"].Written != 200 || res.Records != 200 {
			t.Errorf("%+v %+v", res, res.Sinks["second"])
		}
	}
	var l listing
	r.sluiceJSON(both, 0, &l, "archive", "ls", "--archive", "second")
	if len(l.Hours) != 2 || l.Hours[0].Records+l.Hours[1].Records != 200 || l.Hours[0].Orphans != 0 {
		t.Errorf("%+v", l)
	}
	r.sluice(both, 0, "archive", "verify", "--archive", "second")
	r.sluice(both, 2, append([]string{"replay", "--archive", "files", "--sink", "second", "--org", "org1"}, when...)...)
	r.sluice(both, 2, "replay", "--archive", "files", "--sink", "second", "--from", hour.Add(time.Minute).Format(time.RFC3339), "--to", hour.Add(time.Hour).Format(time.RFC3339))

	r.push(msgpackList, many(30, hour.Add(time.Minute))...)
	r.once(both, 0) // both write it, each under its own name
	r.push(msgpackList, many(30, hour.Add(2*time.Minute))...)
	r.once(both, 0)
	r.sluice(file, 0, "retain", "--apply") // the one joins, and has the same rows under another name
	into := append([]string{"replay", "--archive", "files", "--sink", "second"}, when...)
	r.sluice(both, 0, into...)
	r.sluiceJSON(both, 0, &l, "archive", "ls", "--archive", "second")
	if len(l.Hours) != 2 || l.Hours[0].Records+l.Hours[1].Records != 260 {
		t.Errorf("rows that are there were copied: %+v", l)
	}

	r.push(msgpackList, many(30, hour.Add(3*time.Minute))...)
	r.once(file, 0)
	r.sluice(file, 0, "retain", "--apply") // what it joins now is there in part
	out, _ := r.sluice(both, 1, into...)
	if !strings.Contains(out, "twice") && !strings.Contains(out, "in the way") {
		t.Errorf("rows of which some are there: %s", out)
	}
}

// TestCopyWaitsForWhatASinkIsOwed: what the other archive's own sink still is to get is not copied before.
func TestCopyWaitsForWhatASinkIsOwed(t *testing.T) {
	t.Parallel()
	r := newRig(t).withFiles()
	r.sink("second", "csv", "dir: "+filepath.Join(r.dir, "second")+", object: {max_age: 10m}")
	hour := time.Now().UTC().Truncate(time.Hour).Add(-4 * time.Hour)
	r.push(msgpackList, many(100, hour)...)
	both := r.file(nil)
	p := r.start("run", "--config", both)
	manifests := filepath.Join(r.filesDir(), "region=*", "dt=*", "hour=*", "*.manifest.json")
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		found, err := filepath.Glob(manifests)
		if err != nil || len(found) > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing was archived:\n%s", p.Stderr())
		}
	}
	p.Kill() // the other sink still gathers
	into := append([]string{"--archive", "files", "--sink", "second", "--timeout", "1s"}, span(hour, hour.Add(time.Hour))...)
	res := r.replay(both, 1, into...)
	if res.Sinks["second"].Written != 0 || res.Corrupt.Count == 0 || !strings.Contains(res.Corrupt.Named[0].Error, "still is to get") {
		t.Errorf("%+v %+v", res, res.Sinks["second"])
	}
	r.once(both, 0)
	if res := r.replay(both, 0, into...); res.Sinks["second"].Written != 100 {
		t.Errorf("%+v %+v", res, res.Sinks["second"])
	}
	var l listing
	r.sluiceJSON(both, 0, &l, "archive", "ls", "--archive", "second")
	if len(l.Hours) != 1 || l.Hours[0].Records != 100 {
		t.Errorf("%+v", l)
	}
}
