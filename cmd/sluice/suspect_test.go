package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"sluice/internal/deepaudit"
	"sluice/internal/testenv"
)

// onReplica waits until a replica has elements of a list.
func (r *rig) onReplica(client rueidis.Client, list string, n int64) {
	r.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if got, err := client.Do(context.Background(), client.B().Llen().Key(list).Build()).AsInt64(); err == nil && got == n {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("the replica does not get %d elements of %s", n, list)
		}
	}
}

// TestRecordsThatCameAgainCountOnce: a replica is promoted that has not got the last writes, so that records are drained
// again. The recount names them, and a rebuild counts each once.
func TestRecordsThatCameAgainCountOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t).withAggregate().withRaw().withFiles()
	replica := testenv.StartRedisReplica(t, r.redis)
	promoted, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{replica.Addr}, DisableCache: true,
		ForceSingleClient: true, DisableRetry: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(promoted.Close)
	file := r.file(nil)
	r.push(msgpackList, many(200, capturedHour)...)
	r.once(file, 0)
	lists := []string{msgpackList, msgpackList + "_1"}
	for i, list := range lists {
		r.push(list, many(300, capturedHour.Add(time.Duration(10+i)*time.Minute))...)
		r.onReplica(promoted, list, 300)
	}
	if err := promoted.Do(context.Background(), promoted.B().Arbitrary("REPLICAOF", "NO", "ONE").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	r.once(file, 0) // claimed and delivered, and the replica does not hear of it
	wantFound(t, r.deep(file, 0), nil)
	r.redis.Kill()

	after := r.file(func(s string) string { return strings.Replace(s, r.redis.Addr, replica.Addr, 1) })
	r.client = promoted
	r.push(msgpackList, many(100, capturedHour.Add(30*time.Minute))...)
	r.once(after, 0)
	e := r.expect()
	wantIDs(t, "raw", e.wanted(inRaw), r.rawIDs())

	res := r.deep(after, 1)
	if s := res.Stores["dashboard"]; s.Counts[deepaudit.Copies] == 0 || s.Counts[deepaudit.Differs] != 0 || !named(res, "dashboard", deepaudit.Copies, "claimed again count twice") {
		t.Errorf("documents: %v", s)
	}
	if s := res.Stores["files"]; !s.InOrder() || !strings.Contains(strings.Join(s.Notes, " "), "600 records were archived again") {
		t.Errorf("the archive: %v", s)
	}
	if s := res.Stores["raw"]; !s.InOrder() {
		t.Errorf("raw: %v", s)
	}
	r.sluice(after, 0, "archive", "verify")

	hours := append(span(capturedHour, capturedHour.Add(time.Hour)), "--sink", "dashboard")
	if b := r.replay(after, 0, hours...).Rebuilt["dashboard"]; b.Copies != 2*600 || b.Failed != 0 {
		t.Errorf("%+v, want 600 copies in the documents of organisations and in the mixed ones", b)
	}
	r.wantAggregates(e.records)
	wantFound(t, r.deep(after, 0), nil)

	r.push(msgpackList+"_1", many(50, capturedHour.Add(40*time.Minute))...) // the pump goes on
	r.once(after, 0)
	r.wantAggregates(r.expect().records)
	if b := r.replay(after, 0, hours...).Rebuilt["dashboard"]; b.Replaced != 0 || b.Failed != 0 {
		t.Errorf("a second rebuild changes documents: %+v", b)
	}
	wantFound(t, r.deep(after, 0), nil)
	if text, _ := r.sluice(after, 0, "audit", "--deep"); !strings.Contains(text, "600 records were archived again") {
		t.Errorf("it says %s", text)
	}
}
