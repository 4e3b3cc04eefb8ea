package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	kgo "github.com/segmentio/kafka-go"

	"sluice/internal/crash"
	bus "sluice/internal/kafka"
)

// committer commits the states of a generation's partitions, one request at a time, all that changed meanwhile together. The
// brokers take it only from the group's present generation, so nobody else's state is ever overwritten.
type committer struct {
	client *kgo.Client
	topic  string
	group  string
	member string
	gen    int32
	fail   func(error) // told when it is not known what became of a commit, or an operator is needed

	mu    sync.Mutex
	dirty map[*stream]struct{}
	wake  chan struct{}
}

// mark asks for a commit of the stream's state.
func (c *committer) mark(s *stream) {
	c.mu.Lock()
	c.dirty[s] = struct{}{}
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// commitTime bounds one commit.
const commitTime = 10 * time.Second

// run commits until ctx is done, or a commit failed. A request that was sent is waited for.
func (c *committer) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		}
		c.mu.Lock()
		dirty := c.dirty
		c.dirty = map[*stream]struct{}{}
		c.mu.Unlock()
		if len(dirty) == 0 {
			continue
		}
		if err := c.commit(context.WithoutCancel(ctx), dirty); err != nil {
			c.fail(err)
			return
		}
	}
}

// commit sends one request. An error says that its outcome is not known, or that repeating it is of no use: a late request
// could bring back an old state, unless this member leaves the group before anything else is committed.
func (c *committer) commit(ctx context.Context, dirty map[*stream]struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, commitTime)
	defer cancel()
	req := &kgo.OffsetCommitRequest{GroupID: c.group, GenerationID: int(c.gen), MemberID: c.member, Topics: map[string][]kgo.OffsetCommit{}}
	byPartition, upTo := map[int]*stream{}, map[int]uint64{}
	for s := range dirty {
		s.mu.Lock()
		text, err := s.st.encode()
		base, want := s.st.base, s.want
		s.mu.Unlock()
		if err != nil {
			return err
		}
		req.Topics[c.topic] = append(req.Topics[c.topic], kgo.OffsetCommit{Partition: s.partition, Offset: base, Metadata: text})
		byPartition[s.partition], upTo[s.partition] = s, want
	}
	crash.Before("kafka/commit")
	res, err := c.client.OffsetCommit(ctx, req)
	crash.After("kafka/commit")
	if err != nil {
		return fmt.Errorf("commit offsets: %w", bus.Classify(err))
	}
	if n := len(res.Topics[c.topic]); n != len(byPartition) {
		return fmt.Errorf("commit offsets: the answer has %d partitions of %d", n, len(byPartition))
	}
	for _, p := range res.Topics[c.topic] {
		s := byPartition[p.Partition]
		if s == nil {
			continue
		}
		if p.Error != nil {
			return commitError(s, p.Error)
		}
		s.mu.Lock()
		s.committed = max(s.committed, upTo[p.Partition])
		s.notify()
		s.mu.Unlock()
	}
	return nil
}

func commitError(s *stream, err error) error {
	err = fmt.Errorf("commit the offset of %s: %w", s.id.List, bus.Classify(err))
	if errors.Is(err, kgo.OffsetMetadataTooLarge) {
		return fmt.Errorf("%w; what is kept with it has grown beyond what the brokers take: raise offset.metadata.max.bytes (%d by default)",
			err, maxMetadata)
	}
	return err
}
