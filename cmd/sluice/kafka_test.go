package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	kgo "github.com/segmentio/kafka-go"

	faultproxy "sluice/internal/fault"
	"sluice/internal/testenv"
	"sluice/internal/testenv/launch"
)

// withBus puts a topic between Redis and the sinks; edges reach the broker by one address, workers by another.
func (r *rig) withBus(edges, workers, topic string, partitions int) *rig {
	r.config = strings.Replace(r.config, "sources:\n", fmt.Sprintf(
		"sources:\n  topic: {type: kafka, brokers: [\"%s\"], topic: %s, group: %s, session_timeout: 6s, linger: 200ms}\n", workers, topic, topic), 1)
	return r.sink("bus", "kafka", fmt.Sprintf("brokers: [\"%s\"], topic: %s, partitions: %d, replication: 1, timeout: 5s", edges, topic, partitions))
}

// ownState gives a process a state directory of its own.
func (r *rig) ownState(name string) string {
	return r.file(func(s string) string { return strings.Replace(s, r.dir+"/state}", r.dir+"/"+name+"}", 1) })
}

func (r *rig) roleAudit(file, role string) audit {
	r.t.Helper()
	return r.auditBy(r.look, file, "--role", role)
}

func TestCapturesReachEverySinkOnceThroughKafka(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.withAll().withBus(testenv.Kafka(t), testenv.Kafka(t), "sluice-"+r.unique(), 3)
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

// TestEdgeWorkersAndBrokerDie cuts answers of the broker off and kills an edge, two workers and the broker while records go through, and adds partitions: each
// record is once in every sink.
func TestEdgeWorkersAndBrokerDie(t *testing.T) {
	t.Parallel()
	records := 50_000
	port := testenv.FreePort(t)
	proxy, err := faultproxy.NewProxy(fmt.Sprintf("127.0.0.1:%d", port), 7)
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	broker := testenv.StartKafka(t, launch.KafkaConfig{Listeners: []launch.KafkaListener{
		{Name: "PROXIED", Port: port, Advertised: proxy.Addr(), Protocol: "PLAINTEXT"}}})
	r := newRig(t)
	topic := "sluice-" + r.unique()
	r.withRaw().withAggregate().withArchive().withBus(proxy.Addr(), broker.Addr, topic, 3)
	edge, first, second := r.ownState("edge"), r.ownState("first"), r.ownState("second")
	run := func(file, role string) *testenv.Process { return r.start("run", "--config", file, "--role", role) }
	e, a, b := run(edge, "edge"), run(first, "worker"), run(second, "worker")
	all := many(records, capturedHour)
	proxy.Set(faultproxy.Rule{Cut: 0.4}) // answers to the edge are lost, so that it sends again
	for i := range 20 {
		r.push(fmt.Sprintf("%s_%d", msgpackList, i%4), all[i*records/20:(i+1)*records/20]...)
		switch i {
		case 3, 11:
			e.Kill()
			e = run(edge, "edge")
		case 5:
			a.Kill()
			a = run(first, "worker")
		case 8:
			broker.Kill()
			time.Sleep(300 * time.Millisecond)
			broker.Restart()
		case 13:
			e.Kill()
			addPartitions(t, broker.Addr, topic, 5)
			edge = r.file(func(s string) string {
				return strings.Replace(strings.Replace(s, r.dir+"/state}", r.dir+"/edge}", 1), "partitions: 3", "partitions: 5", 1)
			})
			e = run(edge, "edge")
		case 16:
			b.Kill() // its partitions are the other's from now on
		case 18:
			b = run(second, "worker") // and back: with the added partitions the group is dealt out anew
		}
		time.Sleep(200 * time.Millisecond)
	}
	records += r.sentAgain(proxy, broker.Addr, topic, records)
	deadline := time.Now().Add(4 * time.Minute)
	for {
		up, down := r.roleAudit(edge, "edge"), r.roleAudit(first, "worker")
		if up.Sinks["bus"].Effective == uint64(records) && settled(&down, uint64(records)) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("not everything arrived: edge %+v, workers %+v\n%s\n%s", up.Sinks, down.Sinks, e.Stderr(), a.Stderr())
		}
		time.Sleep(500 * time.Millisecond)
	}
	for _, p := range []*testenv.Process{e, a, b} {
		p.Terminate()
		if code := p.Wait(); code != 0 {
			t.Errorf("SIGTERM ends with %d: %s", code, p.Stderr())
		}
	}
	want := r.expect()
	wantIDs(t, "raw", want.wanted(inRaw), r.rawIDs())
	wantIDs(t, "archive", want.wanted(everything), r.archiveIDs(r.s3Store(), "a/"))
	r.wantAggregates(want.records)
	r.wantRedisEmpty()
	down := r.roleAudit(first, "worker")
	if !down.Balanced {
		t.Errorf("ledger of the workers: %+v", down)
	}
	if down.Sinks["raw"].Duplicates == 0 {
		t.Error("nothing was in the topic twice, so the faults proved little")
	}
}

// sentAgain pushes records, of which it returns the number, until messages went into the topic whose answers were lost: the edge has
// to send those again.
func (r *rig) sentAgain(proxy *faultproxy.Proxy, broker, topic string, from int) (pushed int) {
	r.t.Helper()
	more := func() {
		for range 200 {
			r.push(msgpackList, made(from+pushed, capturedHour.Add(time.Duration(from+pushed)*time.Millisecond)))
			pushed++
		}
	}
	grown := func(limit time.Duration) bool {
		before := messages(r.t, broker, topic)
		more()
		for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			if messages(r.t, broker, topic) > before {
				return true
			}
		}
		return false
	}
	defer proxy.Set(faultproxy.Rule{})
	for range 10 {
		proxy.Set(faultproxy.Rule{})
		if !grown(time.Minute) {
			r.t.Fatal("nothing goes into the topic though nothing is in the way")
		}
		proxy.Set(faultproxy.Rule{Deaf: true})
		if grown(5 * time.Second) { // else its connections were new ones, and it never got to send
			return pushed
		}
	}
	r.t.Fatal("nothing goes into the topic over connections that were there")
	return 0
}

// messages is how many went into a topic.
func messages(t *testing.T, broker, topic string) (n int64) {
	t.Helper()
	transport := &kgo.Transport{}
	defer transport.CloseIdleConnections()
	c := &kgo.Client{Addr: kgo.TCP(broker), Transport: transport}
	meta, err := c.Metadata(t.Context(), &kgo.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		t.Fatal(err)
	}
	var ask []kgo.OffsetRequest
	for _, p := range meta.Topics[0].Partitions {
		ask = append(ask, kgo.LastOffsetOf(p.ID))
	}
	res, err := c.ListOffsets(t.Context(), &kgo.ListOffsetsRequest{Topics: map[string][]kgo.OffsetRequest{topic: ask}})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range res.Topics[topic] {
		n += p.LastOffset
	}
	return n
}

// settled tells whether every sink of the workers has settled n records beside what they dropped.
func settled(a *audit, n uint64) bool {
	for _, name := range []string{"raw", "dashboard", "archive"} {
		s := a.Sinks[name]
		if s.Pending > 0 || s.Effective+s.Filtered < n {
			return false
		}
	}
	return a.waiting() == 0
}

func addPartitions(t *testing.T, broker, topic string, n int32) {
	t.Helper()
	transport := &kgo.Transport{}
	defer transport.CloseIdleConnections()
	c := &kgo.Client{Addr: kgo.TCP(broker), Transport: transport}
	res, err := c.CreatePartitions(t.Context(), &kgo.CreatePartitionsRequest{Topics: []kgo.TopicPartitionsConfig{{Name: topic, Count: n}}})
	if err != nil || res.Errors[topic] != nil {
		t.Fatal(err, res)
	}
}
