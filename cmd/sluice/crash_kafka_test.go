package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	kgo "github.com/segmentio/kafka-go"

	bus "sluice/internal/kafka"
	"sluice/internal/testenv"
)

// kafkaHistory drains into a topic, which it makes.
var kafkaHistory = history{
	name: "kafka",
	not:  []string{"redis/renew"},
	make: func(c *crasher) {
		c.broker, c.topic = testenv.Kafka(c.t), c.unique()
		c.sink("bus", "kafka", fmt.Sprintf("brokers: [\"%s\"], topic: %s, partitions: 3", c.broker, c.topic))
		c.files["all"] = c.file(nil)
	},
	round: func(c *crasher) {
		c.traffic(30)
		c.run("run", "--once", "--config", c.files["all"])
	},
	judge: func(c *crasher) {
		c.rest("all")
		wantIDs(c.t, "Kafka", c.expect().wanted(everything), c.effects())
	},
}

// effects are the IDs of the records that a consumer takes who goes by the rule; nothing may be missing before any.
func (c *crasher) effects() map[string]int {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	a, err := bus.NewAccess(ctx, bus.Config{Brokers: []string{c.broker}})
	if err != nil {
		c.t.Fatal(err)
	}
	client := a.Client(c.topic)
	defer bus.CloseClient(client)
	out := map[string]int{}
	for partition := range 3 {
		passed := map[string]bus.Passed{}
		for offset, end := int64(0), int64(1); offset < end; {
			res, err := client.Fetch(ctx, &kgo.FetchRequest{Topic: c.topic, Partition: partition, Offset: offset, MinBytes: 1,
				MaxBytes: 8 << 20, MaxWait: time.Millisecond})
			if err == nil {
				err = res.Error
			}
			if err != nil {
				c.t.Fatal(err)
			}
			end = res.HighWatermark
			for {
				m, err := res.Records.ReadRecord()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					c.t.Fatal(err)
				}
				if m.Offset < offset { // of a batch that began before
					continue
				}
				offset = m.Offset + 1
				h, err := bus.ParseHeader(m.Headers)
				if err != nil {
					c.t.Fatal(err)
				}
				switch p := passed[h.Lineage]; p.Judge(&h) {
				case bus.Gap:
					c.t.Errorf("messages are missing before %s in partition %d", h.Position, partition)
				case bus.Take:
					if h.Predecessor != p.Position || h.Number != p.Number+1 { // a consumer would not see that something is missing
						c.t.Errorf("message %d (%s) in partition %d names %s as the one before it, which is %d (%s)", h.Number, h.Position, partition,
							h.Predecessor, p.Number, p.Position)
					}
					passed[h.Lineage] = bus.Passed{Position: h.Position, Number: h.Number}
					out[h.ID.String()]++
				}
			}
		}
	}
	return out
}
