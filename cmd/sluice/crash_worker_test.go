package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	kgo "github.com/segmentio/kafka-go"

	bus "sluice/internal/kafka"
	"sluice/internal/pipeline"
	"sluice/internal/record"
	"sluice/internal/testenv"
)

// memberGone is how long brokers wait for a killed worker, and a little.
const memberGone = 1500 * time.Millisecond

// workerHistory has an edge that fills a topic, a worker that empties it into three stores, and now and then a partition that
// lacks messages, which an operator gives up.
var workerHistory = history{
	name: "worker",
	also: []string{"kafka/", "archive/object", "archive/manifest", "mongo-raw/insert", "mongo-aggregate/update"},
	not:  []string{"redis/renew", "state/"},
	make: func(c *crasher) {
		c.broker, c.topic = testenv.Kafka(c.t), "sluice-"+c.unique()
		c.withRaw().withAggregate().withArchive().withBus(c.broker, c.broker, c.topic, 3)
		c.config = strings.Replace(c.config, "session_timeout: 6s", "session_timeout: 1s", 1)
		c.files["edge"], c.files["worker"] = c.ownState("edge"), c.ownState("worker")
	},
	round: func(c *crasher) {
		c.traffic(30)
		c.asRole("edge")
		c.asRole("worker")
		if c.point == "" || stepOf(c.point) == "kafka/release" {
			if c.n > 1 {
				time.Sleep(memberGone) // of the round before
				c.asRole("worker")     // what is missing is looked for behind what is settled
			}
			c.gap()
			c.through("release", c.topic+"/1", "--role", "worker", "--config", c.files["worker"])
			c.asRole("worker")
		}
	},
	judge: func(c *crasher) {
		for _, role := range []string{"edge", "worker"} {
			c.once(c.files[role], 0, "--role", role)
		}
		up, down := c.roleAudit(c.files["edge"], "edge"), c.roleAudit(c.files["worker"], "worker")
		if !up.Balanced || up.Taken != c.taken || up.Sinks["bus"].Effective != c.taken {
			c.t.Errorf("ledger of the edge: %+v, want %d in the topic", up, c.taken)
		}
		e := c.expect()
		for name, l := range down.Sinks {
			if !down.Balanced || l.Pending != 0 || l.DeadLetters != 0 || l.Effective+l.Filtered != uint64(len(e.records)) {
				c.t.Errorf("ledger of the workers' %s: %+v, want %d", name, l, len(e.records))
			}
		}
		wantIDs(c.t, "raw", e.wanted(inRaw), c.rawIDs())
		wantIDs(c.t, "archive", e.wanted(everything), c.archiveIDs(c.s3Store(), "a/"))
		c.wantAggregates(e.records)
		c.wantRedisEmpty()
	},
}

// workerLettersHistory puts the dead letters of a worker back, twice where a retry died.
var workerLettersHistory = history{
	name: "worker-letters",
	not:  []string{"redis/renew", "state/", "mongo-raw/", "kafka/produce", "kafka/commit"},
	make: func(c *crasher) {
		c.broker, c.topic = testenv.Kafka(c.t), "sluice-"+c.unique()
		c.withRaw().withBus(c.broker, c.broker, c.topic, 1)
		c.config = strings.Replace(c.config, "session_timeout: 6s", "session_timeout: 1s", 1)
		c.files["edge"], c.files["worker"] = c.ownState("edge"), c.ownState("worker")
		c.files["per org"] = c.file(func(s string) string { // a layout that does not take every organisation
			return strings.NewReplacer("capped_size: 1GiB", "layout: per-org", c.dir+"/state}", c.dir+"/worker}").Replace(s)
		})
	},
	round: func(c *crasher) {
		c.push(msgpackList+"_0", hostile(c.next), hostile(c.next+1))
		c.next += 2
		c.taken += 2
		c.asRole("edge")
		if !c.run("run", "--once", "--role", "worker", "--config", c.files["per org"]) {
			c.once(c.files["per org"], 0, "--role", "worker")
		}
		if !c.run("deadletters", "retry", "--all", "--config", c.files["worker"]) {
			c.once(c.files["worker"], 0, "--role", "worker") // what is in the topic already is drained before the rest follows
			c.run("deadletters", "retry", "--all", "--config", c.files["worker"])
		}
		c.once(c.files["worker"], 0, "--role", "worker")
	},
	judge: func(c *crasher) {
		a := c.roleAudit(c.files["worker"], "worker")
		raw := a.Sinks["raw"]
		if !a.Balanced || raw.Effective != c.taken || raw.DeadLetters != c.taken || raw.Pending != 0 {
			c.t.Errorf("ledger: taken %d, raw %+v, want %d letters that went in again", a.Taken, raw, c.taken)
		}
		wantIDs(c.t, "raw", c.expect().wanted(inRaw), c.rawIDs())
		if l := c.letters(c.files["worker"]); len(l) != 0 {
			c.t.Errorf("letters that were retried are still listed: %+v", l)
		}
		c.wantRedisEmpty()
	},
}

// asRole drains what is there in one role.
func (c *crasher) asRole(role string) bool {
	c.t.Helper()
	return c.run("run", "--once", "--role", role, "--config", c.files[role])
}

// gap puts a record into the topic behind four messages that never come.
func (c *crasher) gap() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	a, err := bus.NewAccess(ctx, bus.Config{Brokers: []string{c.broker}})
	if err != nil {
		c.t.Fatal(err)
	}
	client := a.Client(c.topic)
	defer bus.CloseClient(client)
	rec := new(record.Record)
	var dec record.Decoder
	if err := dec.Decode(record.Msgpack, made(c.next, capturedHour.Add(time.Duration(c.next)*time.Millisecond)), rec); err != nil {
		c.t.Fatal(err)
	}
	c.next++
	value := record.AppendProtobufLossless(nil, rec)
	list := fmt.Sprintf("gap %d_protobuf", c.n) // in no Redis
	c.lists[list] = [][]byte{value}
	var ord record.Ordinals
	claim := pipeline.ClaimID{Epoch: pipeline.Epoch{Ms: 1}, Number: 1}
	h := bus.Header{Lineage: fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64()), Position: pipeline.Position{Claim: claim, Index: 5},
		Predecessor: pipeline.Position{Claim: claim, Index: 4}, Number: 5, Format: bus.FormatProtobuf, ID: record.MakeID(rec.TimeStamp, ord.Next(0, value))}
	res, err := client.Produce(ctx, &kgo.ProduceRequest{Topic: c.topic, Partition: 1, RequiredAcks: kgo.RequireAll,
		Records: kgo.NewRecordReader(kgo.Record{Value: kgo.NewBytes(value), Headers: h.Headers()})})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		c.t.Fatal(err)
	}
}
