// Package kafka is the source of workers: a member of a consumer group that takes what edges wrote into a topic, each record
// once. Decision 0017 says how.
package kafka

import (
	"fmt"
	"time"

	bus "sluice/internal/kafka"
	"sluice/internal/units"
)

// Config of a kafka source.
type Config struct {
	Brokers []string       `yaml:"brokers" doc:"Some of the cluster's brokers, as host:port; the others are found by them." required:"true"`
	Topic   string         `yaml:"topic" doc:"Topic that edges write to." required:"true"`
	Group   string         `yaml:"group" doc:"Consumer group of the workers. Its committed offsets carry what was taken and what is settled: another name begins anew, and every record takes effect once more." required:"true"`
	TLS     bus.TLSConfig  `yaml:"tls" doc:"Encryption of the connections."`
	SASL    bus.SASLConfig `yaml:"sasl" doc:"Login."`

	SessionTimeout units.Duration `yaml:"session_timeout" doc:"How long a worker that fell silent keeps its partitions."`
	Linger         units.Duration `yaml:"linger" doc:"How long a trickle gathers before it is handed on."`
	Buffer         units.Size     `yaml:"buffer" doc:"What is read ahead of the sinks, of all partitions together; it is beside what pipeline.memory buffers. More than that is read again when it is wanted."`
}

// Defaults of a kafka source.
func Defaults() Config {
	return Config{Group: "sluice", SessionTimeout: units.Duration(15 * time.Second), Linger: units.Duration(time.Second), Buffer: 32 << 20}
}

// Validate tells what is wrong with the configuration.
func (c Config) Validate() []units.Problem {
	ps := c.way().Validate(c.Topic)
	add := func(key, what, cure string) { ps = append(ps, units.Problem{Key: key, What: what, Cure: cure}) }
	if c.Group == "" {
		add("group", "is missing", "name the consumer group, for example sluice")
	}
	if d := c.SessionTimeout.D(); d < time.Second || d > 5*time.Minute {
		add("session_timeout", fmt.Sprintf("%s is not between 1s and 5m", c.SessionTimeout), "15s is the default; brokers take 6s to 30m unless told otherwise")
	}
	if d := c.Linger.D(); d < 10*time.Millisecond || d > time.Minute {
		add("linger", fmt.Sprintf("%s is not between 10ms and 1m", c.Linger), "1s is the default")
	}
	if c.Buffer < 1<<20 {
		add("buffer", "is less than 1MiB", "32MiB is the default")
	}
	return ps
}

func (c Config) way() bus.Config { return bus.Config{Brokers: c.Brokers, TLS: c.TLS, SASL: c.SASL} }

// Target is the topic and group.
func (c Config) Target() string { return c.way().Target(c.Topic) + "#" + c.Group }
