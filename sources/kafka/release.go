package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	kgo "github.com/segmentio/kafka-go"

	"sluice/internal/crash"
	bus "sluice/internal/kafka"
)

// Released is what a release gave up.
type Released struct {
	Lost   uint64 // messages that were missing in the partition
	Before int64  // the offset that is taken next
}

// Release lets a partition that is held go on: what is missing is given up and counted as lost. No worker of the group may
// run meanwhile; the brokers refuse it otherwise.
func (s *Source) Release(ctx context.Context, list string) (Released, error) {
	var out Released
	err := s.look(ctx, func(c *kgo.Client) error {
		all, err := s.audit(ctx, c)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(p PartitionAudit) bool { return p.List == list })
		if i < 0 {
			return fmt.Errorf("topic %s has no partition %s", s.cfg.Topic, list)
		}
		out, err = s.release(ctx, c, all[i].partition)
		return err
	})
	return out, err
}

func (s *Source) release(ctx context.Context, c *kgo.Client, partition int) (out Released, err error) {
	states, err := loadStates(ctx, c, s.cfg.Group, s.cfg.Topic, []int{partition})
	if err != nil {
		return out, err
	}
	logs, err := logsOf(ctx, c, s.cfg.Topic, []int{partition})
	if err != nil {
		return out, err
	}
	st, log := states[partition], logs[partition]
	if len(st.Claims) > 0 && log.first <= st.base {
		return out, fmt.Errorf("%s/%d: what was taken is not settled yet: let a worker settle it first", s.cfg.Topic, partition)
	}
	if st.base < log.first || st.base > log.end {
		out.Lost = st.skipTo(log)
	} else if out.Lost, err = s.skipGap(ctx, c, partition, st, log); err != nil || out.Lost == 0 {
		return out, err
	}
	st.Lost += out.Lost
	out.Before = st.base
	return out, s.put(ctx, c, partition, st)
}

// skipTo moves to the log's beginning, or where it went back to. What open claims still owed is booked as filtered.
func (s *state) skipTo(log logRange) (lost uint64) {
	for i := range s.Claims {
		for _, name := range s.Claims[i].Sinks {
			l := s.Sinks[name]
			l.Filtered += uint64(s.Claims[i].Len - s.Claims[i].Cursors[name])
			s.Sinks[name] = l
		}
	}
	to := log.first
	if s.base > log.end {
		to = log.end
	}
	next := s.next()
	lost = uint64(max(0, to-next))
	s.Claims, s.Members, s.Shapes = nil, map[string]members{}, map[string]string{}
	s.Start += max(to, 0) - next // taken stays what was taken
	s.base, s.Open = to, true
	return lost
}

// skipGap accepts the message at the committed offset as the next of its lineage.
func (s *Source) skipGap(ctx context.Context, c *kgo.Client, partition int, st *state, log logRange) (uint64, error) {
	if st.base == log.end {
		return 0, nil
	}
	rd := &reader{client: c, topic: s.cfg.Topic}
	got, err := rd.fetch(ctx, partition, st.base, st.base+1, fetchWait)
	if err != nil || len(got.messages) == 0 {
		return 0, errors.Join(err, ctx.Err(), errShort)
	}
	m := &got.messages[0]
	j, err := newJudge(st)
	if err != nil {
		return 0, err
	}
	if j.see(m) != bus.Gap {
		return 0, nil
	}
	before := st.Seen[m.header.Lineage].Number
	st.Seen[m.header.Lineage] = seen{Position: m.header.Predecessor.String(), Number: m.header.Number - 1, Day: int32(m.time.Unix() / 86400)}
	return max(1, m.header.Number-1-min(before, m.header.Number-1)), nil
}

// put commits a state from outside the group, which the brokers allow while it has no members.
func (s *Source) put(ctx context.Context, c *kgo.Client, partition int, st *state) error {
	text, err := st.encode()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	crash.Before("kafka/release")
	res, err := c.OffsetCommit(ctx, &kgo.OffsetCommitRequest{GroupID: s.cfg.Group, GenerationID: -1,
		Topics: map[string][]kgo.OffsetCommit{s.cfg.Topic: {{Partition: partition, Offset: st.base, Metadata: text}}}})
	crash.After("kafka/release")
	if err == nil && len(res.Topics[s.cfg.Topic]) == 1 {
		err = res.Topics[s.cfg.Topic][0].Error
	}
	if errors.Is(err, kgo.UnknownMemberId) || errors.Is(err, kgo.RebalanceInProgress) || errors.Is(err, kgo.IllegalGeneration) {
		return fmt.Errorf("workers of group %s are running: stop them, wait until their session_timeout is over, and release again (%w)", s.cfg.Group, err)
	}
	if err != nil {
		return fmt.Errorf("commit the offset of %s: %w", listName(s.cfg.Topic, partition), bus.Classify(err))
	}
	return nil
}
