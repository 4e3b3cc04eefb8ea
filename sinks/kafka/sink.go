package kafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	kgo "github.com/segmentio/kafka-go"

	bus "sluice/internal/kafka"
	"sluice/internal/pipeline"
)

// Sink writes records into a topic. It is a pipeline.Writer.
type Sink struct {
	name  string
	conf  Config
	log   *slog.Logger
	shape json.RawMessage
	codec kgo.Compression

	mu     sync.Mutex
	client *kgo.Client       // nil before Open
	chains map[string]*chain // by lineage
}

// shape is what of the configuration decides where a record goes and what it looks like there.
type shape struct {
	Partitions  int    `json:"partitions"`
	Partitioner string `json:"partitioner"`
	Format      string `json:"format"`
	Most        int64  `json:"most,omitempty"` // bytes of a message, before compression; 0: recorded by a version that left it to the brokers
}

// murmur2 is the partitioner of Kafka's own clients: the key's hash, modulo the number of partitions.
const murmur2 = "murmur2"

var codecs = map[string]kgo.Compression{
	"none": 0, "gzip": kgo.Gzip, "snappy": kgo.Snappy, "lz4": kgo.Lz4, "zstd": kgo.Zstd,
}

// New makes a sink; nothing is connected to.
func New(name string, c Config, log *slog.Logger) (*Sink, error) {
	sh, err := json.Marshal(shape{Partitions: c.Partitions, Partitioner: murmur2, Format: c.Format, Most: int64(c.MaxMessageBytes)})
	if err != nil {
		return nil, fmt.Errorf("sink %s: %w", name, err)
	}
	return &Sink{name: name, conf: c, log: log.With("sink", name), shape: sh, codec: codecs[c.Compression],
		chains: map[string]*chain{}}, nil
}

// Shape implements pipeline.Sink: the partition map is kept with the claim, so that a redelivery goes where the first
// delivery went.
func (s *Sink) Shape() json.RawMessage { return s.shape }

// Takes implements pipeline.Sink: uptime records have no place in the topic.
func (s *Sink) Takes(k pipeline.Kind) bool { return k == pipeline.Analytics }

// Open connects, and makes or checks the topic.
func (s *Sink) Open(ctx context.Context) error {
	access, err := bus.NewAccess(ctx, s.conf.way())
	if err != nil {
		return err
	}
	client := access.Client(s.conf.Topic)
	if err := s.prepare(ctx, client); err != nil {
		bus.CloseClient(client)
		return fmt.Errorf("topic %s: %w", s.conf.Topic, bus.Classify(err))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil {
		bus.CloseClient(s.client)
	}
	s.client = client
	return nil
}

// Close implements pipeline.Sink.
func (s *Sink) Close(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil {
		bus.CloseClient(s.client)
		s.client = nil
	}
	return nil
}

var errNotOpen = errors.New("the sink is not open")

// chainOf is what is known of a lineage's chains, and the client. Only the lane of the lineage's stream touches a chain.
func (s *Sink) chainOf(lineage string) (*chain, *kgo.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == nil {
		return nil, nil, errNotOpen
	}
	c := s.chains[lineage]
	if c == nil {
		c = &chain{parts: map[int]bus.Passed{}, dead: map[pipeline.Position]string{}}
		s.chains[lineage] = c
	}
	return c, s.client, nil
}

func (s *Sink) shapeOf(b *pipeline.Batch) (shape, error) {
	var sh shape
	if err := json.Unmarshal(b.Shape.JSON, &sh); err != nil {
		return sh, fmt.Errorf("read the shape recorded with the claim: %w", err)
	}
	if sh.Partitioner != murmur2 || sh.Partitions < 1 {
		return sh, fmt.Errorf("the claim's partitioner %q is not known to this version", sh.Partitioner)
	}
	return sh, nil
}
