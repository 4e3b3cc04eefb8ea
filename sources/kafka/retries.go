package kafka

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"sluice/internal/pipeline"
)

// errNoRetries says that no dead letter was ever put back.
var errNoRetries = errors.New("there is no topic of retried dead letters")

// NewRetries makes the source of the dead letters of New's source that were put back: they have a topic and a group of their
// own. It stands by as long as that topic is not there.
func NewRetries(name string, cfg Config, deps Deps) (*Source, error) {
	s, err := New(name, cfg.retries(), deps)
	if s != nil {
		s.retries = true
	}
	return s, err
}

// retries is the configuration of the topic of retried dead letters. It is the group's own: another group on the same topic
// has dead letters of its own.
func (c Config) retries() Config {
	c.Topic, c.Group = c.Topic+"-retry-"+topicName(c.Group), c.Group+"-retry"
	return c
}

// topicName is a group's name as part of that of a topic, which may have only letters, digits, '.', '_' and '-' (Kafka,
// org.apache.kafka.common.internals.Topic).
func topicName(group string) string {
	const longest = 100
	legal := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-'
	}
	if len(group) <= longest && !slices.ContainsFunc([]rune(group), func(r rune) bool { return !legal(r) }) {
		return group
	}
	sum := sha256.Sum256([]byte(group))
	return hex.EncodeToString(sum[:12])
}

// apart hands on what is gathered before a message for other sinks, and holds before one for a sink that this worker lacks.
func (f *follower) apart(ctx context.Context, m *message) error {
	if len(f.gathered) > 0 && m.header.Only != f.only {
		if err := f.claim(ctx); err != nil {
			return err
		}
		if err := f.room(ctx); err != nil {
			return err
		}
	}
	for only := m.header.Only; only != "" && !slices.Contains(f.drain.Owes(pipeline.Analytics).Sinks, only); {
		f.hold(fmt.Sprintf("offset %d is a dead letter that was put back for sink %s, which this worker does not have", m.offset, only),
			"it goes on with a worker that has the sink, if only as type: discard")
		if err := sleep(ctx, heldLook); err != nil {
			return err
		}
	}
	return nil
}
