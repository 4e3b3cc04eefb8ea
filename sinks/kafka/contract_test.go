package kafka

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"testing"

	kgo "github.com/segmentio/kafka-go"
	"go.uber.org/goleak"

	bus "sluice/internal/kafka"
	"sluice/internal/pipeline"
	"sluice/internal/testenv"
	"sluice/sinks/sinktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testConfig(t testing.TB, broker string) Config {
	c := Defaults()
	c.Brokers, c.Topic = []string{broker}, fmt.Sprintf("sluice-test-%x", rand.Uint64())
	c.Partitions, c.Replication = 3, 1
	return c
}

func newSink(t testing.TB, c Config) *Sink {
	t.Helper()
	if ps := c.Validate(); len(ps) > 0 {
		t.Fatal(ps)
	}
	s, err := New("bus", c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestContract(t *testing.T) {
	broker := testenv.Kafka(t)
	sinktest.Run(t, func(t *testing.T) sinktest.Harness {
		c := testConfig(t, broker)
		return sinktest.Harness{
			Open:    func(t testing.TB) pipeline.Sink { return newSink(t, c) },
			Effects: func(t testing.TB) map[string]int { return effects(t, broker, c.Topic) },
			Key:     sinktest.PositionKey,
			Wants:   func(it *pipeline.Item) bool { return it.Record != nil },
		}
	})
}

// consumed is a message with its place in the topic.
type consumed struct {
	partition  int
	header     bus.Header
	key, value []byte
}

// consume reads a topic from its beginning to its end.
func consume(t testing.TB, broker, topic string) (all []consumed) {
	t.Helper()
	a, err := bus.NewAccess(t.Context(), bus.Config{Brokers: []string{broker}})
	if err != nil {
		t.Fatal(err)
	}
	c := a.Client(topic)
	defer bus.CloseClient(c)
	meta, err := c.Metadata(t.Context(), &kgo.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range meta.Topics[0].Partitions {
		for offset := int64(0); ; {
			res, err := c.Fetch(t.Context(), &kgo.FetchRequest{Topic: topic, Partition: p.ID, Offset: offset, MinBytes: 1, MaxBytes: 8 << 20, MaxWait: 1e6})
			if err != nil || res.Error != nil {
				t.Fatal(err, res)
			}
			if offset >= res.HighWatermark {
				break
			}
			for {
				r, err := res.Records.ReadRecord()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				key, err1 := kgo.ReadAll(r.Key)
				value, err2 := kgo.ReadAll(r.Value)
				h, err3 := bus.ParseHeader(r.Headers)
				if err := errors.Join(err1, err2, err3); err != nil {
					t.Fatal(err)
				}
				if r.Offset < offset {
					continue
				}
				offset = r.Offset + 1
				all = append(all, consumed{p.ID, h, key, value})
			}
		}
	}
	return all
}

// effects goes by the consumers' rule, and demands that numbers leave nothing out.
func effects(t testing.TB, broker, topic string) map[string]int {
	t.Helper()
	type chain struct {
		lineage   string
		partition int
	}
	passed, out := map[chain]bus.Passed{}, map[string]int{}
	for _, m := range consume(t, broker, topic) {
		at := chain{m.header.Lineage, m.partition}
		switch p := passed[at]; p.Judge(&m.header) {
		case bus.Gap:
			t.Errorf("a gap before %s in partition %d: its predecessor is %s, and %s was passed", m.header.Position, m.partition, m.header.Predecessor, p.Position)
		case bus.Take:
			if m.header.Number != p.Number+1 {
				t.Errorf("message %d follows %d", m.header.Number, p.Number)
			}
			passed[at] = bus.Passed{Position: m.header.Position, Number: m.header.Number}
			out[m.header.Lineage+" "+m.header.Position.String()]++
		}
	}
	return out
}
