package kafka

import (
	"context"
	"fmt"
	"time"

	kgo "github.com/segmentio/kafka-go"

	bus "sluice/internal/kafka"
)

// loadStates reads what the group knows of partitions; a partition that it has not begun with begins at its first message.
func loadStates(ctx context.Context, c *kgo.Client, group, topic string, ids []int) (map[int]*state, error) {
	out := map[int]*state{}
	if len(ids) == 0 {
		return out, nil
	}
	res, err := c.OffsetFetch(ctx, &kgo.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: ids}})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		return nil, fmt.Errorf("read the committed offsets of group %s: %w", group, bus.Classify(err))
	}
	logs, err := logsOf(ctx, c, topic, ids)
	if err != nil {
		return nil, err
	}
	for _, p := range res.Topics[topic] {
		switch {
		case p.Error != nil:
			return nil, fmt.Errorf("read the committed offset of %s/%d: %w", topic, p.Partition, bus.Classify(p.Error))
		case p.CommittedOffset < 0:
			first := logs[p.Partition].first
			out[p.Partition] = newState(first, first > 0, time.Now())
		case p.Metadata == "":
			out[p.Partition] = newState(p.CommittedOffset, true, time.Now())
		default:
			if out[p.Partition], err = decodeState(p.Metadata, p.CommittedOffset); err != nil {
				return nil, fmt.Errorf("%s/%d, group %s: %w", topic, p.Partition, group, err)
			}
		}
	}
	for _, id := range ids {
		if out[id] == nil {
			return nil, fmt.Errorf("the brokers say nothing of %s/%d", topic, id)
		}
	}
	return out, nil
}

// logRange is where a partition's log begins and ends.
type logRange struct{ first, end int64 }

func logsOf(ctx context.Context, c *kgo.Client, topic string, ids []int) (map[int]logRange, error) {
	var ask []kgo.OffsetRequest
	for _, id := range ids {
		ask = append(ask, kgo.FirstOffsetOf(id), kgo.LastOffsetOf(id))
	}
	res, err := c.ListOffsets(ctx, &kgo.ListOffsetsRequest{Topics: map[string][]kgo.OffsetRequest{topic: ask}})
	if err != nil {
		return nil, fmt.Errorf("ask where the partitions of %s begin and end: %w", topic, bus.Classify(err))
	}
	out := map[int]logRange{}
	for _, p := range res.Topics[topic] {
		if p.Error != nil {
			return nil, fmt.Errorf("ask where %s/%d begins and ends: %w", topic, p.Partition, bus.Classify(p.Error))
		}
		out[p.Partition] = logRange{p.FirstOffset, p.LastOffset}
	}
	return out, nil
}
