package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	kgo "github.com/segmentio/kafka-go"

	"sluice/internal/crash"
	"sluice/internal/pipeline"
)

// prepare makes the topic, or finds it fit, and makes sure that the leaders of its partitions can be reached from here.
func (s *Sink) prepare(ctx context.Context, c *kgo.Client) error {
	topic, err := s.describe(ctx, c)
	if errors.Is(err, kgo.UnknownTopicOrPartition) {
		if !s.conf.Create {
			return pipeline.Fatal(errors.New("it does not exist: create it, or set create"))
		}
		if err := s.create(ctx, c); err != nil && !errors.Is(err, kgo.TopicAlreadyExists) {
			return err
		}
		if topic, err = s.created(ctx, c); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	if n := len(topic.Partitions); n < s.conf.Partitions {
		return pipeline.Fatal(fmt.Errorf("it has %d partitions and this sink spreads over %d: set partitions to %d, or add partitions to the topic",
			n, s.conf.Partitions, n))
	}
	if n := len(topic.Partitions); n > s.conf.Partitions {
		s.log.Info("the topic has more partitions than are used; set partitions to use them", "topic", s.conf.Topic, "has", n, "used", s.conf.Partitions)
	}
	if err := s.settings(ctx, c, len(topic.Partitions[0].Replicas)); err != nil {
		return err
	}
	for until := time.Now().Add(settleTime); ; {
		err := s.reach(ctx, c, topic)
		var code kgo.Error
		if err == nil || !errors.As(err, &code) || !code.Temporary() || time.Now().After(until) {
			return err
		}
		if err := sleep(ctx, createdWait); err != nil {
			return err
		}
	}
}

// settleTime is what a topic that was just created, or whose leaders move, may take until all its leaders answer.
const settleTime = 10 * time.Second

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *Sink) describe(ctx context.Context, c *kgo.Client) (*kgo.Topic, error) {
	res, err := c.Metadata(ctx, &kgo.MetadataRequest{Topics: []string{s.conf.Topic}})
	if err != nil {
		return nil, err
	}
	for i := range res.Topics {
		if t := &res.Topics[i]; t.Name == s.conf.Topic {
			if t.Error == nil && len(t.Partitions) == 0 {
				return nil, kgo.UnknownTopicOrPartition
			}
			return t, t.Error
		}
	}
	return nil, kgo.UnknownTopicOrPartition
}

// createdWait is how long brokers may take to agree on a new topic.
const createdWait = 100 * time.Millisecond

func (s *Sink) created(ctx context.Context, c *kgo.Client) (*kgo.Topic, error) {
	for {
		t, err := s.describe(ctx, c)
		if err == nil || !errors.Is(err, kgo.UnknownTopicOrPartition) && !errors.Is(err, kgo.LeaderNotAvailable) {
			return t, err
		}
		if e := sleep(ctx, createdWait); e != nil {
			return nil, errors.Join(err, e)
		}
	}
}

func (s *Sink) create(ctx context.Context, c *kgo.Client) error {
	replication := -1 // the cluster's default
	entries := []kgo.ConfigEntry{
		{ConfigName: "cleanup.policy", ConfigValue: "delete"},
		{ConfigName: "unclean.leader.election.enable", ConfigValue: "false"},
		{ConfigName: "retention.ms", ConfigValue: strconv.FormatInt(s.conf.Retention.D().Milliseconds(), 10)},
		{ConfigName: "max.message.bytes", ConfigValue: strconv.FormatInt(int64(s.conf.MaxMessageBytes)+batchSlack, 10)},
	}
	if s.conf.Replication > 0 {
		replication = s.conf.Replication
	}
	if s.conf.Replication >= 3 {
		entries = append(entries, kgo.ConfigEntry{ConfigName: "min.insync.replicas", ConfigValue: "2"})
	}
	crash.Before("kafka/topic")
	res, err := c.CreateTopics(ctx, &kgo.CreateTopicsRequest{Topics: []kgo.TopicConfig{{
		Topic: s.conf.Topic, NumPartitions: s.conf.Partitions, ReplicationFactor: replication, ConfigEntries: entries}}})
	crash.After("kafka/topic")
	if err == nil {
		err = res.Errors[s.conf.Topic]
	}
	if err != nil {
		return fmt.Errorf("create it: %w", err)
	}
	s.log.Info("topic was created", "topic", s.conf.Topic, "partitions", s.conf.Partitions, "retention", s.conf.Retention)
	return nil
}

// batchSlack is what a topic that is made takes more of a batch than its messages weigh, leastSlack what any must.
const (
	batchSlack = 64 << 10
	leastSlack = 16 << 10
)

// settings holds the topic's settings against what the promise needs.
func (s *Sink) settings(ctx context.Context, c *kgo.Client, replicas int) error {
	res, err := c.DescribeConfigs(ctx, &kgo.DescribeConfigsRequest{Resources: []kgo.DescribeConfigRequestResource{{
		ResourceType: kgo.ResourceTypeTopic, ResourceName: s.conf.Topic,
		ConfigNames: []string{"cleanup.policy", "max.message.bytes", "min.insync.replicas", "unclean.leader.election.enable"}}}})
	if err != nil {
		return fmt.Errorf("read its settings: %w", err)
	}
	value := map[string]string{}
	for _, r := range res.Resources {
		if r.Error != nil {
			return fmt.Errorf("read its settings: %w", r.Error)
		}
		for _, e := range r.ConfigEntries {
			value[e.ConfigName] = e.ConfigValue
		}
	}
	if p := value["cleanup.policy"]; strings.Contains(p, "compact") {
		return pipeline.Fatal(fmt.Errorf("its cleanup.policy is %s, which throws records away that have the key of a later one: set it to delete", p))
	}
	if n, err := strconv.ParseInt(value["max.message.bytes"], 10, 64); err == nil && n < int64(s.conf.MaxMessageBytes)+leastSlack {
		return pipeline.Fatal(fmt.Errorf("its max.message.bytes is %d, and this sink sends up to %d and what a batch weighs beside that: set max_message_bytes to %d, or raise the topic's",
			n, int64(s.conf.MaxMessageBytes), max(minMessageSize, n-leastSlack)))
	}
	if replicas > 1 && value["min.insync.replicas"] == "1" {
		s.log.Warn("min.insync.replicas of the topic is 1: what one broker alone has confirmed is gone when it is lost; set it to 2", "topic", s.conf.Topic)
	}
	if value["unclean.leader.election.enable"] == "true" {
		s.log.Warn("the topic may elect a leader that lacks confirmed messages; set unclean.leader.election.enable to false", "topic", s.conf.Topic)
	}
	return nil
}

// reach asks every leader for something: brokers are reached at the addresses that they advertise, which need not lead there
// from here.
func (s *Sink) reach(ctx context.Context, c *kgo.Client, t *kgo.Topic) error {
	var ask []kgo.OffsetRequest
	for _, p := range t.Partitions {
		if p.Error != nil {
			return p.Error
		}
		ask = append(ask, kgo.LastOffsetOf(p.ID))
	}
	res, err := c.ListOffsets(ctx, &kgo.ListOffsetsRequest{Topics: map[string][]kgo.OffsetRequest{s.conf.Topic: ask}})
	if err != nil {
		return fmt.Errorf("ask the leaders of its partitions: %w", err)
	}
	for _, p := range res.Topics[s.conf.Topic] {
		if p.Error != nil {
			return fmt.Errorf("ask the leader of partition %d: %w", p.Partition, p.Error)
		}
	}
	return nil
}
