package kafka

import (
	"context"
	"fmt"
	"strconv"
	"time"

	kgo "github.com/segmentio/kafka-go"
)

// retentionLook is how often a worker looks whether the topic keeps messages for as long as it needs.
const retentionLook = time.Minute

// keeping holds the age of what is not settled against what the topic keeps, until ctx is done: while a sink is down the topic is
// its spool, and what falls out of that is lost.
func (s *Source) keeping(ctx context.Context, client *kgo.Client, streams []*stream) {
	alarmed := map[*stream]bool{}
	for {
		if kept, err := retentionOf(ctx, client, s.cfg.Topic); err != nil && ctx.Err() == nil {
			s.log.Debug("the topic does not tell how long it keeps messages", "topic", s.cfg.Topic, "err", err)
		} else if kept > 0 {
			for _, st := range streams {
				alarmed[st] = st.keeping(kept, alarmed[st])
			}
		}
		if sleep(ctx, s.deps.look()) != nil {
			return
		}
	}
}

func (d *Deps) look() time.Duration {
	if d.RetentionLook > 0 {
		return d.RetentionLook
	}
	return retentionLook
}

// keeping raises an alarm, once, when the oldest message that is not settled has half of its time behind it: brokers delete whole segments, and
// an operator needs time.
func (s *stream) keeping(kept time.Duration, alarmed bool) bool {
	s.mu.Lock()
	s.kept = kept
	s.mu.Unlock()
	age := time.Duration(s.status(time.Now()).OldestAge * float64(time.Second))
	if age < kept/2 {
		return false
	}
	if !alarmed {
		text := fmt.Sprintf("partition %s: the oldest message that some sink has not settled is older than half of what the topic keeps (retention.ms: %s): "+
			"cure the sink, or raise the topic's retention.ms, or messages are lost", s.id.List, kept)
		s.src.log.Error("messages will fall to the topic's retention", "partition", s.id.List, "age", age.Round(time.Second), "kept", kept)
		if s.src.deps.Alarm != nil {
			s.src.deps.Alarm(text)
		}
	}
	return true
}

// retentionOf is how long a topic keeps messages; 0: for ever.
func retentionOf(ctx context.Context, c *kgo.Client, topic string) (time.Duration, error) {
	const name = "retention.ms"
	res, err := c.DescribeConfigs(ctx, &kgo.DescribeConfigsRequest{Resources: []kgo.DescribeConfigRequestResource{{
		ResourceType: kgo.ResourceTypeTopic, ResourceName: topic, ConfigNames: []string{name}}}})
	if err != nil {
		return 0, fmt.Errorf("read the settings of topic %s: %w", topic, err)
	}
	for _, r := range res.Resources {
		if r.Error != nil {
			return 0, fmt.Errorf("read the settings of topic %s: %w", topic, r.Error)
		}
		for _, e := range r.ConfigEntries {
			if e.ConfigName != name {
				continue
			}
			ms, err := strconv.ParseInt(e.ConfigValue, 10, 64)
			const most = int64(1<<63-1) / int64(time.Millisecond)
			if err != nil || ms < 0 || ms > most {
				return 0, err
			}
			return time.Duration(ms) * time.Millisecond, nil
		}
	}
	return 0, nil
}
