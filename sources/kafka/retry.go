package kafka

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	kgo "github.com/segmentio/kafka-go"

	"sluice/internal/crash"
	bus "sluice/internal/kafka"
	"sluice/internal/pipeline"
	"sluice/internal/record"
)

// retryLineage is the one lineage of a topic of retried dead letters. Its numbers are those of batches, see Retrier.Put.
const retryLineage = "736c7569636500000000007265747279"

// Retrier puts dead letters back into a topic of their own, from where workers take them. The topic remembers what went in:
// nothing else is kept of a retry. It is for one goroutine; others, on other machines, may be at work at the same time.
type Retrier struct {
	src    *Source
	client *kgo.Client
	read   *reader

	next  int64 // offset up to which the topic was read
	judge *judge
	known map[[16]byte]struct{} // letters that are in it
}

// Retrier begins to put letters back; end it with Close. What went in is remembered for so long.
func (s *Source) Retrier(ctx context.Context, keep time.Duration) (*Retrier, error) {
	to := s.cfg.retries()
	access, err := bus.NewAccess(ctx, to.way())
	if err != nil {
		return nil, err
	}
	r := &Retrier{src: s, client: access.Client(to.Topic), known: map[[16]byte]struct{}{}}
	r.read = &reader{client: r.client, topic: to.Topic}
	if err := r.topic(ctx, keep); err != nil {
		r.Close()
		return nil, err
	}
	for n := range attempts { // brokers that have just got the topic, or the group, may not know of it yet
		if err = r.begin(ctx, to); err == nil {
			return r, nil
		}
		if isFatal(err) || sleep(ctx, time.Duration(n)*backoffMin) != nil {
			break
		}
	}
	r.Close()
	return nil, err
}

// Close ends its connections.
func (r *Retrier) Close() { bus.CloseClient(r.client) }

// topic makes the topic if need be, in the manner of the one that the letters come from.
func (r *Retrier) topic(ctx context.Context, keep time.Duration) error {
	n, err := partitionsOf(ctx, r.client, r.read.topic)
	if err != nil || n > 0 {
		return err
	}
	like := r.src.cfg.Topic
	replicas, err := replicasOf(ctx, r.client, like)
	if err != nil {
		return err
	}
	entries := []kgo.ConfigEntry{
		{ConfigName: "cleanup.policy", ConfigValue: "delete"},
		{ConfigName: "unclean.leader.election.enable", ConfigValue: "false"},
		{ConfigName: "retention.ms", ConfigValue: strconv.FormatInt(keep.Milliseconds(), 10)},
		{ConfigName: "max.message.bytes", ConfigValue: strconv.Itoa(largestLetter)},
	}
	if replicas >= 3 {
		entries = append(entries, kgo.ConfigEntry{ConfigName: "min.insync.replicas", ConfigValue: "2"})
	}
	crash.Before("kafka/retry-topic")
	res, err := r.client.CreateTopics(ctx, &kgo.CreateTopicsRequest{Topics: []kgo.TopicConfig{{
		Topic: r.read.topic, NumPartitions: 1, ReplicationFactor: replicas, ConfigEntries: entries}}})
	crash.After("kafka/retry-topic")
	if err == nil {
		err = res.Errors[r.read.topic]
	}
	if err != nil && !errors.Is(err, kgo.TopicAlreadyExists) {
		return fmt.Errorf("make topic %s: %w", r.read.topic, bus.Classify(err))
	}
	for n == 0 { // until all brokers know of it
		if err := sleep(ctx, again); err != nil {
			return err
		}
		if n, err = partitionsOf(ctx, r.client, r.read.topic); err != nil && ctx.Err() != nil {
			return err
		}
	}
	return nil
}

// largestLetter is more than an edge lets into a topic: records end at 32 MiB.
const largestLetter = 40 << 20

// replicasOf is how many replicas a topic has.
func replicasOf(ctx context.Context, c *kgo.Client, topic string) (int, error) {
	res, err := c.Metadata(ctx, &kgo.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return 0, fmt.Errorf("topic %s: %w", topic, bus.Classify(err))
	}
	for _, t := range res.Topics {
		if t.Name == topic && len(t.Partitions) > 0 {
			return len(t.Partitions[0].Replicas), nil
		}
	}
	return -1, nil // the cluster's default
}

// begin starts reading where the topic begins. What a group has passed tells of batches that are not in the topic any more.
func (r *Retrier) begin(ctx context.Context, to Config) error {
	states, err := loadStates(ctx, r.client, to.Group, to.Topic, []int{0})
	if err != nil {
		return err
	}
	logs, err := logsOf(ctx, r.client, to.Topic, []int{0})
	if err != nil {
		return err
	}
	st := newState(logs[0].first, logs[0].first > 0, time.Now())
	if states[0].base <= logs[0].first {
		st = states[0]
	}
	r.next = logs[0].first
	r.judge, err = newJudge(st)
	return err
}

// catchUp reads the topic to its end.
func (r *Retrier) catchUp(ctx context.Context) error {
	for {
		got, err := r.read.fetch(ctx, 0, r.next, 0, time.Millisecond)
		if err != nil {
			return err
		}
		for i := range got.messages {
			m := &got.messages[i]
			if r.judge.see(m) == bus.Take && m.header.Letter != "" {
				r.known[letterKey(m.header.Letter)] = struct{}{}
			}
			r.next = m.offset + 1
		}
		if r.next >= got.end {
			return nil
		}
	}
}

func letterKey(letter string) (k [16]byte) {
	sum := sha256.Sum256([]byte(letter))
	copy(k[:], sum[:])
	return k
}

// identity tells letters apart, as the place does that they are kept in.
func identity(l *pipeline.Letter) string { return l.Lineage + " " + l.Position + " " + l.Sink }

// attempts bounds how often a batch is sent whose fate is not known, or that came second.
const attempts = 20

// Put puts letters back, each once in the life of the topic, and returns when the topic has them all. It may be repeated.
//
// A batch is one request, so that it is in the log as a whole or not at all. Its number is that of the last batch and one, and its
// last message ends the number. So of two batches with one number (another command's, a late request's) the first one in the
// log counts, and the other is a repeat, all of it: whoever wrote it sees that in the log, and sends what is not there with the
// next number. No letter goes in by one who has not seen everything before it.
func (r *Retrier) Put(ctx context.Context, letters []*pipeline.Letter) error {
	var last error
	for n := range attempts {
		if err := r.catchUp(ctx); err != nil {
			return fmt.Errorf("read topic %s: %w", r.read.topic, err)
		}
		var rest []*pipeline.Letter
		for _, l := range letters {
			if _, ok := r.known[letterKey(identity(l))]; !ok {
				rest = append(rest, l)
			}
		}
		if len(rest) == 0 {
			return nil
		}
		err := r.send(ctx, rest)
		if bus.Splits(err) && len(rest) > 1 {
			if err := r.Put(ctx, rest[:len(rest)/2]); err != nil {
				return err
			}
			return r.Put(ctx, rest[len(rest)/2:])
		}
		if bus.Splits(err) {
			return fmt.Errorf("dead letter %s is larger than topic %s takes: raise its max.message.bytes: %w", rest[0].ID, r.read.topic, err)
		}
		if err != nil {
			if last = err; sleep(ctx, time.Duration(n)*backoffMin) != nil {
				break
			}
		}
	}
	return errors.Join(fmt.Errorf("topic %s does not take them", r.read.topic), last, ctx.Err())
}

// send sends letters as the next batch. Whether it counts, the log says.
func (r *Retrier) send(ctx context.Context, letters []*pipeline.Letter) error {
	passed := r.judge.passed[retryLineage]
	number := passed.Position.Claim.Number + 1
	records := make([]kgo.Record, len(letters))
	for i, l := range letters {
		h := bus.Header{Lineage: retryLineage, Predecessor: passed.Position, Number: passed.Number + 1, Format: bus.FormatProtobuf, Letter: identity(l),
			Position: pipeline.Position{Claim: pipeline.ClaimID{Epoch: pipeline.Epoch{Ms: 1}, Number: number}, Index: uint32(i)}}
		if i == len(letters)-1 {
			h.Position.Index = math.MaxUint32
		}
		if l.Sink != pipeline.EverySink {
			h.Only = l.Sink
		}
		h.ID = record.MakeID(time.Time{}, record.HashPayload(l.Bytes))
		if len(l.ID) >= 2*len(h.ID) {
			if id, err := record.ParseID(l.ID[:2*len(h.ID)]); err == nil {
				h.ID = id // as it was, whatever masks made of the bytes
			}
		}
		records[i] = kgo.Record{Value: kgo.NewBytes(l.Bytes), Headers: h.Headers()}
		passed = bus.Passed{Position: h.Position, Number: h.Number}
	}
	crash.Before("kafka/retry")
	res, err := r.client.Produce(ctx, &kgo.ProduceRequest{Topic: r.read.topic, RequiredAcks: kgo.RequireAll, Compression: kgo.Zstd,
		Records: kgo.NewRecordReader(records...)})
	crash.After("kafka/retry")
	if err == nil {
		err = res.Error
	}
	return bus.Classify(err)
}
