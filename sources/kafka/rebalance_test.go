package kafka

import (
	"context"
	"fmt"
	"sync"
	"testing"

	kgo "github.com/segmentio/kafka-go"

	bus "sluice/internal/kafka"
	"sluice/internal/pipeline"
	"sluice/internal/record"
)

// edgeOf writes messages of one lineage into partitions in turn, as an edge does.
type edgeOf struct {
	b    *bench
	n    int
	last map[int]bus.Passed
}

func (e *edgeOf) write(n, partitions int) {
	e.b.t.Helper()
	for p := range partitions {
		var records []kgo.Record
		for range n / partitions {
			e.n++
			value := record.AppendProtobufLossless(nil, &record.Record{Path: fmt.Sprint(e.n), OrgID: "o", TimeStamp: now})
			h := bus.Header{Lineage: testLineage, Position: position(e.n), Predecessor: e.last[p].Position, Number: e.last[p].Number + 1,
				Format: bus.FormatProtobuf, ID: record.MakeID(now, uint64(e.n))}
			e.last[p] = bus.Passed{Position: h.Position, Number: h.Number}
			records = append(records, kgo.Record{Value: kgo.NewBytes(value), Headers: h.Headers()})
		}
		e.b.to(p, records...)
	}
}

// TestMembersComeAndGoWhilePartitionsAreAdded: workers join and leave under load, and the topic gets partitions: each record takes effect
// once, those of the added partitions as well, and no worker works on what is another's.
func TestMembersComeAndGoWhilePartitionsAreAdded(t *testing.T) {
	b := newBench(t)
	e := &edgeOf{b: b, last: map[int]bus.Passed{}}
	sink := &positions{got: map[string]map[string]int{}}
	start := func() *worker { return b.start(New, map[string]pipeline.Sink{"all": sink}) }
	parts := func(w *worker) int { return len(w.src.Status().Lists) }
	e.write(400, 1)
	first := start()
	until(t, "the first one has the partition", func() bool { return parts(first) == 1 })
	second := start()
	e.write(400, 1)
	b.partitions(4)
	e.write(800, 4)
	until(t, "two share four partitions", func() bool { return parts(first) == 2 && parts(second) == 2 })
	e.write(800, 4)
	third := start()
	until(t, "three share them", func() bool { return parts(first) > 0 && parts(second) > 0 && parts(third) > 0 })
	e.write(800, 4)
	first.end()
	b.partitions(6)
	e.write(600, 6)
	until(t, "two share six", func() bool { return parts(second) == 3 && parts(third) == 3 })
	second.end()
	e.write(600, 6)
	until(t, "all is settled", func() bool {
		ok, _, err := third.src.Idle(t.Context())
		return err == nil && ok && parts(third) == 6
	})
	a, err := third.src.Audit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var sum uint64
	for _, p := range a {
		sum += p.Sinks["all"].Effective
		if p.Sinks["all"].Effective == 0 || p.Sinks["all"].Duplicates > 0 || len(p.Strange) > 0 {
			t.Errorf("%+v", p)
		}
	}
	if sum != uint64(e.n) || len(sink.got) != e.n {
		t.Errorf("%d effective, %d records reached the sink, want %d", sum, len(sink.got), e.n)
	}
	for path, at := range sink.got {
		if len(at) != 1 { // a batch in flight while partitions moved may come again, under the same position
			t.Errorf("record %s has positions %v", path, at)
		}
	}
}

// positions is a sink that remembers under which positions it got each record.
type positions struct {
	collector
	mu  sync.Mutex
	got map[string]map[string]int
}

func (c *positions) Write(_ context.Context, b *pipeline.Batch) (pipeline.Result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, it := range b.Items {
		at := b.Stream.Lineage + " " + pipeline.Position{Claim: b.Claim, Index: it.Index}.String()
		if c.got[it.Record.Path] == nil {
			c.got[it.Record.Path] = map[string]int{}
		}
		c.got[it.Record.Path][at]++
	}
	return pipeline.Result{}, nil
}

// partitions adds partitions to the topic.
func (b *bench) partitions(n int) {
	b.t.Helper()
	res, err := b.client.CreatePartitions(b.t.Context(), &kgo.CreatePartitionsRequest{Topics: []kgo.TopicPartitionsConfig{{Name: b.cfg.Topic, Count: int32(n)}}})
	if err != nil || res.Errors[b.cfg.Topic] != nil {
		b.t.Fatal(err, res)
	}
	until(b.t, "partitions", func() bool {
		got, err := partitionsOf(b.t.Context(), b.client, b.cfg.Topic)
		return err == nil && got == n
	})
}
