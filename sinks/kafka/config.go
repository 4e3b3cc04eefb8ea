// Package kafka is the sink that writes records into a Kafka topic, from which workers feed the other sinks, and others read
// what they like. It is the edge's half of what makes records take effect once beyond Kafka; the rule by which the reading
// side goes is in internal/kafka.
package kafka

import (
	"fmt"
	"time"

	bus "sluice/internal/kafka"
	"sluice/internal/units"
)

// Config of a kafka sink.
type Config struct {
	Brokers []string       `yaml:"brokers" doc:"Some of the cluster's brokers, as host:port; the others are found by them." required:"true"`
	Topic   string         `yaml:"topic" doc:"Topic that records are written to." required:"true"`
	TLS     bus.TLSConfig  `yaml:"tls" doc:"Encryption of the connections."`
	SASL    bus.SASLConfig `yaml:"sasl" doc:"Login."`

	Format          string         `yaml:"format" doc:"What a message's value is: protobuf keeps everything and is what workers read; json has the fields the incumbent wrote, for other consumers." enum:"protobuf|json"`
	Compression     string         `yaml:"compression" doc:"Of the batches of messages." enum:"zstd|lz4|snappy|gzip|none"`
	Partitions      int            `yaml:"partitions" doc:"Number of partitions that records are spread over, by organisation and API. It is part of what a claim keeps, so another number takes effect with later claims; the topic must have at least as many."`
	MaxMessageBytes units.Size     `yaml:"max_message_bytes" doc:"Most bytes of a batch of messages before compression; max.message.bytes of the topic must be 16 KiB above it. A record that is larger becomes a dead letter. It is part of what a claim keeps, so that a repeated delivery decides alike."`
	Create          bool           `yaml:"create" doc:"Create the topic if it is not there."`
	Replication     int            `yaml:"replication" doc:"Copies of each partition of a topic that is created; 0 takes the cluster's default. With 3 or more, two must confirm each write."`
	Retention       units.Duration `yaml:"retention" doc:"How long a topic that is created keeps messages; what workers have not read by then is lost."`
}

// Defaults of a kafka sink. 1 MB is what brokers take unless told otherwise (message.max.bytes is 1,048,588).
func Defaults() Config {
	return Config{Format: bus.FormatProtobuf, Compression: "zstd", Partitions: 12, MaxMessageBytes: 1_000_000, Create: true,
		Retention: units.Duration(7 * units.Day)}
}

const (
	maxPartitions  = 1024 // the note in the registry has some 30 bytes for each that a list writes to
	minMessageSize = 64 << 10
	maxMessageSize = 64 << 20
)

// Validate tells what is wrong with the configuration.
func (c Config) Validate() []units.Problem {
	ps := c.way().Validate(c.Topic)
	add := func(key, what, cure string) { ps = append(ps, units.Problem{Key: key, What: what, Cure: cure}) }
	if c.Partitions < 1 || c.Partitions > maxPartitions {
		add("partitions", fmt.Sprintf("is not between 1 and %d", maxPartitions), "12 is the default; a worker reads one or more of them")
	}
	if c.MaxMessageBytes < minMessageSize || c.MaxMessageBytes > maxMessageSize {
		add("max_message_bytes", "is not between 64KiB and 64MiB", "1000000 is what brokers take by default")
	}
	if c.Replication < 0 || c.Replication > 32 {
		add("replication", "is not between 0 and 32", "3 is usual; 0 takes the cluster's default")
	}
	if c.Retention.D() < time.Hour {
		add("retention", "is less than an hour", "7d is the default: as long as workers may be away")
	}
	return ps
}

func (c Config) way() bus.Config { return bus.Config{Brokers: c.Brokers, TLS: c.TLS, SASL: c.SASL} }

// Target is the topic, so that two sinks on one can be refused.
func (c Config) Target() string { return c.way().Target(c.Topic) }
