package kafka

import (
	"fmt"
	"strings"
	"testing"
	"time"

	kgo "github.com/segmentio/kafka-go"

	bus "sluice/internal/kafka"
	"sluice/internal/pipeline"
	"sluice/internal/record"
)

// TestOutageNearsRetention: while a sink is down the topic is its spool; a worker says how long that keeps what waits, and warns in time.
func TestOutageNearsRetention(t *testing.T) {
	b := newBench(t)
	res, err := b.client.AlterConfigs(t.Context(), &kgo.AlterConfigsRequest{Resources: []kgo.AlterConfigRequestResource{{
		ResourceType: kgo.ResourceTypeTopic, ResourceName: b.cfg.Topic, Configs: []kgo.AlterConfigRequestConfig{{Name: "retention.ms", Value: "7200000"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range res.Errors {
		if err != nil {
			t.Fatal(err)
		}
	}
	message := func(i int, age time.Duration) {
		h := bus.Header{Lineage: testLineage, Position: position(i), Predecessor: position(i - 1), Number: uint64(i), Format: bus.FormatProtobuf,
			ID: record.MakeID(now, uint64(i))}
		b.raw(kgo.Record{Time: time.Now().Add(-age), Value: kgo.NewBytes(record.AppendProtobufLossless(nil, &record.Record{Path: fmt.Sprint(i), TimeStamp: now})), Headers: h.Headers()})
	}
	sink := &collector{got: map[string]int{}}
	sink.sick.Store(true)
	source := func(name string, c Config, d Deps) (*Source, error) {
		d.RetentionLook = 50 * time.Millisecond
		return New(name, c, d)
	}
	message(1, 40*time.Minute)
	w := b.start(source, map[string]pipeline.Sink{"all": sink})
	until(t, "what the topic keeps", func() bool {
		s := w.src.Status()
		return len(s.Lists) == 1 && s.Lists[0].Kept == 7200 && s.Lists[0].OldestAge > 2300 && s.Lists[0].OpenClaims == 1
	})
	time.Sleep(500 * time.Millisecond) // some looks
	if len(w.alarms) > 0 {
		t.Errorf("a third of the time is over: %q", <-w.alarms)
	}
	sink.sick.Store(false)
	until(t, "it is settled", func() bool { s := w.src.Status(); return len(s.Lists) == 1 && s.Lists[0].OpenClaims == 0 })
	sink.sick.Store(true)
	message(2, 70*time.Minute)
	until(t, "an alarm", func() bool { return len(w.alarms) > 0 })
	if text := <-w.alarms; !strings.Contains(text, b.cfg.Topic+"/0") || !strings.Contains(text, "retention.ms: 2h0m0s") {
		t.Errorf("alarm %q", text)
	}
}
