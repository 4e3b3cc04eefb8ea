package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"sluice/internal/testenv"
)

// withBus puts a topic between Redis and the sinks.
func (r *rig) withBus(broker, topic string, partitions int) *rig {
	r.config = strings.Replace(r.config, "sources:\n", fmt.Sprintf(
		"sources:\n  topic: {type: kafka, brokers: [\"%s\"], topic: %s, group: %s, session_timeout: 6s, linger: 200ms}\n", broker, topic, topic), 1)
	return r.sink("bus", "kafka", fmt.Sprintf("brokers: [\"%s\"], topic: %s, partitions: %d, replication: 1, timeout: 5s", broker, topic, partitions))
}

// ownState gives a process a state directory of its own.
func (r *rig) ownState(name string) string {
	return r.file(func(s string) string { return strings.Replace(s, r.dir+"/state}", r.dir+"/"+name+"}", 1) })
}

func (r *rig) roleAudit(file, role string) (a audit) {
	r.t.Helper()
	p := r.start("audit", "--output", "json", "--config", file, "--role", role)
	code := p.Wait()
	if err := json.Unmarshal([]byte(p.Stdout()), &a); err != nil || (code == 0) != a.Balanced {
		r.t.Fatalf("audit of role %s exits %d: %v\n%s%s", role, code, err, p.Stdout(), p.Stderr())
	}
	return a
}

func TestCapturesReachEverySinkOnceThroughKafka(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.withAll().withBus(testenv.Kafka(t), "sluice-"+r.unique(), 3)
	r.pushCaptures()
	edge, worker := r.ownState("edge"), r.ownState("worker")
	r.once(edge, 0, "--role", "edge")
	all := uint64(len(r.expect().records))
	if a := r.roleAudit(edge, "edge"); !a.Balanced || a.Taken != all || a.Sinks["bus"].Effective != all {
		t.Errorf("ledger of the edge: %+v, want %d in the topic", a, all)
	}
	r.once(worker, 0, "--role", "worker")
	e := r.wantEverywhere()
	a := r.roleAudit(worker, "worker")
	if !a.Balanced || a.Taken != all || a.Sinks["raw"].Effective != e.count(inRaw) || a.Sinks["archive"].Effective != all {
		t.Errorf("ledger of the worker: %+v, want %d", a, all)
	}
	r.wantRedisEmpty()
	r.once(worker, 0, "--role", "worker") // with nothing waiting it changes nothing
	r.wantEverywhere()
}
