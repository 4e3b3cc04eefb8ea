package kafka

import (
	"context"
	"fmt"
	"slices"

	kgo "github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"sluice/internal/crash"
	bus "sluice/internal/kafka"
	"sluice/internal/pipeline"
)

// parallel is how many partitions of a batch are written to side by side.
const parallel = 8

// Write sends the batch's records, in order within each partition and with one request in flight for each. What an earlier
// attempt got confirmed is not sent again. An attempt whose answer was lost is repeated: consumers drop what came twice.
func (s *Sink) Write(ctx context.Context, b *pipeline.Batch) (pipeline.Result, error) {
	sh, err := s.shapeOf(b)
	if err != nil {
		return pipeline.Result{}, err
	}
	c, client, err := s.chainOf(b.Stream.Lineage)
	if err != nil {
		return pipeline.Result{}, err
	}
	if err := c.begin(b); err != nil {
		return pipeline.Result{}, err
	}
	var g errgroup.Group
	g.SetLimit(parallel)
	for part, ms := range s.spread(b, sh, c) {
		if len(ms) == 0 {
			continue
		}
		w := &writer{sink: s, client: client, chain: c, batch: b, format: sh.Format, part: part, decided: sh.Most > 0}
		g.Go(func() error {
			if err := w.all(ctx, ms); err != nil {
				return fmt.Errorf("topic %s, partition %d: %w", s.conf.Topic, part, bus.Classify(err))
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return pipeline.Result{}, err
	}
	return pipeline.Result{Dead: c.deadOf(b), Note: c.note()}, nil
}

// message is an item on its way.
type message struct {
	item       *pipeline.Item
	key, value []byte
}

func (m *message) bytes() int64 { return int64(len(m.key)+len(m.value)) + overhead }

// spread encodes the items and puts them to their partitions.
// What is too large is refused here, by what was recorded with the claim: were it left to the brokers, a setting of the topic that
// is changed between two deliveries would change what becomes of a record.
func (s *Sink) spread(b *pipeline.Batch, sh shape, c *chain) [][]message {
	parts := make([][]message, sh.Partitions)
	numbers := make([]int, sh.Partitions)
	for i := range numbers {
		numbers[i] = i
	}
	hash := kgo.Murmur2Balancer{Consistent: true}
	for i := range b.Items {
		it := &b.Items[i]
		m := message{item: it, key: keyOf(it.Record)}
		part := hash.Balance(kgo.Message{Key: m.key}, numbers...)
		m.value = encode(sh.Format, it.Record)
		if most := sh.Most; most > 0 && m.bytes() > most {
			c.refused(pipeline.Position{Claim: b.Claim, Index: it.Index},
				fmt.Sprintf("oversize: %d bytes are more than a message may have (max_message_bytes is %d)", m.bytes(), most))
		}
		parts[part] = append(parts[part], m)
	}
	return parts
}

// deadOf are the batch's items that the brokers refuse for good.
func (c *chain) deadOf(b *pipeline.Batch) (dead []pipeline.Dead) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.dead) == 0 {
		return nil
	}
	for i := range b.Items {
		if why, ok := c.dead[pipeline.Position{Claim: b.Claim, Index: b.Items[i].Index}]; ok {
			dead = append(dead, pipeline.Dead{Item: i, Reason: why})
		}
	}
	return dead
}

// writer sends the messages of one batch to one partition.
type writer struct {
	sink   *Sink
	client *kgo.Client
	chain  *chain
	batch  *pipeline.Batch
	format string
	part   int

	decided bool // what is too large was taken out before
}

// overhead is about what a message weighs in a request beside key and value: headers above all.
const overhead = 320

// all sends messages request by request, from where an earlier attempt came.
func (w *writer) all(ctx context.Context, ms []message) error {
	last := w.chain.last(w.part).Position
	for len(ms) > 0 && w.at(&ms[0]).Compare(last) <= 0 {
		ms = ms[1:]
	}
	ms = w.alive(ms)
	limit := int64(w.sink.conf.MaxMessageBytes)
	for len(ms) > 0 {
		n, bytes := 0, int64(0)
		for n < len(ms) {
			bytes += ms[n].bytes()
			if n > 0 && bytes > limit {
				break
			}
			n++
		}
		if err := w.some(ctx, ms[:n]); err != nil {
			return err
		}
		ms = ms[n:]
	}
	return nil
}

func (w *writer) at(m *message) pipeline.Position {
	return pipeline.Position{Claim: w.batch.Claim, Index: m.item.Index}
}

// some sends messages in one request, or in parts of it where that is too large for the brokers.
func (w *writer) some(ctx context.Context, ms []message) error {
	passed, records := w.records(ms)
	crash.Before("kafka/produce")
	res, err := w.client.Produce(ctx, &kgo.ProduceRequest{Topic: w.sink.conf.Topic, Partition: w.part,
		RequiredAcks: kgo.RequireAll, Compression: w.sink.codec, Records: kgo.NewRecordReader(records...)})
	crash.After("kafka/produce")
	if err == nil {
		err = res.Error
	}
	switch {
	case err == nil:
		w.chain.sent(w.part, passed)
		return nil
	case !bus.Splits(err):
		return err
	case len(ms) == 1 && w.decided:
		return fmt.Errorf("the topic takes less than max_message_bytes: set its max.message.bytes to %d or more: %w",
			int64(w.sink.conf.MaxMessageBytes)+batchSlack, err)
	case len(ms) == 1:
		m := &ms[0]
		w.chain.refused(w.at(m), fmt.Sprintf("oversize: %d bytes are more than the topic takes of a message (max.message.bytes)",
			len(m.key)+len(m.value)))
		return nil
	}
	half := len(ms) / 2
	if err := w.some(ctx, ms[:half]); err != nil {
		return err
	}
	return w.some(ctx, ms[half:])
}

// alive are the messages that were not refused for good in an earlier attempt.
func (w *writer) alive(ms []message) []message {
	w.chain.mu.Lock()
	defer w.chain.mu.Unlock()
	return slices.DeleteFunc(ms, func(m message) bool {
		_, dead := w.chain.dead[w.at(&m)]
		return dead
	})
}

// records chains messages behind what was sent last.
func (w *writer) records(ms []message) (bus.Passed, []kgo.Record) {
	last := w.chain.last(w.part)
	out := make([]kgo.Record, len(ms))
	for i := range ms {
		h := bus.Header{ID: ms[i].item.ID, Lineage: w.batch.Stream.Lineage, Position: w.at(&ms[i]), Predecessor: last.Position,
			Number: last.Number + 1, Format: w.format, Region: w.batch.Shape.Record.Region}
		out[i] = kgo.Record{Key: kgo.NewBytes(ms[i].key), Value: kgo.NewBytes(ms[i].value), Headers: h.Headers()}
		last = bus.Passed{Position: h.Position, Number: h.Number}
	}
	return last, out
}
