package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	kgo "github.com/segmentio/kafka-go"

	bus "sluice/internal/kafka"
	"sluice/internal/pipeline"
)

// Deps is what a source needs of the process.
type Deps struct {
	Log          *slog.Logger
	BatchRecords int // what gathered that many messages is handed on at once
	// Alarm, if not nil, is told what needs an operator. It must not block.
	Alarm func(text string)
	// RetentionLook is how often the topic is asked how long it keeps messages; 0: once a minute.
	RetentionLook time.Duration
}

// Source is a member of a consumer group. It implements pipeline.Source.
type Source struct {
	name    string
	cfg     Config
	deps    Deps
	log     *slog.Logger
	stopped atomic.Bool
	retries bool // of dead letters: the topic need not be there, and a message may be for one sink alone

	mu      sync.Mutex
	streams []*stream // of the present generation
	joined  bool
	err     error // why not
	said    map[string]time.Time
	taken   uint64
	rate    float64
	counted time.Time
}

// New makes a source. It connects to nothing.
func New(name string, cfg Config, deps Deps) (*Source, error) {
	if deps.Log == nil {
		return nil, errors.New("a Kafka source needs a log")
	}
	if deps.BatchRecords <= 0 {
		deps.BatchRecords = 5000
	}
	return &Source{name: name, cfg: cfg, deps: deps, log: deps.Log.With("source", name), said: map[string]time.Time{}}, nil
}

// Name implements pipeline.Source.
func (s *Source) Name() string { return s.name }

// Topic is the topic's name.
func (s *Source) Topic() string { return s.cfg.Topic }

// StopClaiming makes the source hand on nothing more, while what it handed over goes on.
func (s *Source) StopClaiming() { s.stopped.Store(true) }

// errAgain says that the member must leave the group and join as another: what became of a commit is not known, and only
// who is not a member any more cannot have a late one carried out.
var errAgain = errors.New("leave the group and join it again")

const (
	backoffMin = 200 * time.Millisecond
	backoffMax = 5 * time.Second
	joinPause  = time.Second

	refusedPause = 5 * time.Minute
	watchEvery   = 5 * time.Second // how often it is looked whether the topic has more partitions
)

// Run implements pipeline.Source. Like every source it returns an error only for what an operator must cure, and only before
// it ever worked.
func (s *Source) Run(ctx context.Context, drain pipeline.Drain) error {
	pause, worked := backoffMin, false
	for ctx.Err() == nil {
		ok, err := s.session(ctx, drain)
		worked = worked || ok
		s.setJoined(nil, false, err)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, errNoRetries) {
			s.setJoined(nil, true, nil)
			_ = sleep(ctx, watchEvery)
			continue
		}
		switch {
		case isFatal(err) && s.retries: // what an upgrade may lack stops nothing else
			s.log.Warn("dead letters that were put back cannot be read", "topic", s.cfg.Topic, "err", err)
			_ = sleep(ctx, refusedPause)
			continue
		case isFatal(err) && !worked:
			return err
		}
		if ok {
			pause = backoffMin
		}
		s.say("session", "not a member of the consumer group, trying again", "err", err)
		if sleep(ctx, pause/2+rand.N(pause)) != nil {
			return nil
		}
		pause = min(2*pause, backoffMax)
	}
	return nil
}

// session is one membership.
func (s *Source) session(ctx context.Context, drain pipeline.Drain) (ok bool, err error) {
	access, err := bus.NewAccess(ctx, s.cfg.way())
	if err != nil {
		return false, err
	}
	client := access.Client(s.cfg.Topic)
	defer bus.CloseClient(client)
	if err := s.topicThere(ctx, client); err != nil {
		return false, err
	}
	group, err := kgo.NewConsumerGroup(kgo.ConsumerGroupConfig{
		ID: s.cfg.Group, Brokers: access.Brokers(), Dialer: access.Dialer(), Topics: []string{s.cfg.Topic},
		SessionTimeout: s.cfg.SessionTimeout.D(), HeartbeatInterval: s.cfg.SessionTimeout.D() / 5, JoinGroupBackoff: joinPause,
		RebalanceTimeout: s.cfg.SessionTimeout.D(), WatchPartitionChanges: true, PartitionWatchInterval: watchEvery,
		GroupBalancers: []kgo.GroupBalancer{kgo.RoundRobinGroupBalancer{}},
	})
	if err != nil {
		return false, fmt.Errorf("consumer group: %w", err)
	}
	defer group.Close()
	for ctx.Err() == nil {
		gen, err := group.Next(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return ok, nil
			}
			if err = bus.Classify(err); isFatal(err) {
				return ok, err
			}
			s.setJoined(nil, false, err)
			s.say("join", "joining the consumer group failed, trying again", "err", err)
			continue
		}
		ok = true
		if err := s.generation(ctx, gen, client, drain); err != nil {
			return ok, err
		}
	}
	return ok, nil
}

func isFatal(err error) bool {
	class, _ := pipeline.Classify(err)
	return class == pipeline.FatalError
}

// topicThere makes sure that there is something to read: a group without a topic only looks idle.
func (s *Source) topicThere(ctx context.Context, c *kgo.Client) error {
	n, err := partitionsOf(ctx, c, s.cfg.Topic)
	if err != nil {
		return err
	}
	if n == 0 && s.retries {
		return errNoRetries
	}
	if n == 0 {
		return fmt.Errorf("topic %s is not there yet: an edge makes it", s.cfg.Topic)
	}
	return nil
}

func partitionsOf(ctx context.Context, c *kgo.Client, topic string) (int, error) {
	res, err := c.Metadata(ctx, &kgo.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return 0, fmt.Errorf("topic %s: %w", topic, bus.Classify(err))
	}
	for _, t := range res.Topics {
		if t.Name == topic && !errors.Is(t.Error, kgo.UnknownTopicOrPartition) {
			return len(t.Partitions), bus.Classify(t.Error)
		}
	}
	return 0, nil
}

// generation works on the partitions that one balance of the group gave us, until the next one, ctx is done, or a commit
// failed.
func (s *Source) generation(ctx context.Context, gen *kgo.Generation, client *kgo.Client, drain pipeline.Drain) error {
	result := make(chan error, 1)
	gen.Start(func(genCtx context.Context) {
		work, cancel := context.WithCancelCause(ctx)
		unhook := context.AfterFunc(genCtx, func() { cancel(errors.New("the group is balanced anew")) })
		defer unhook()
		defer cancel(nil)
		result <- s.partitions(work, cancel, gen, client, drain)
	})
	return <-result
}

func (s *Source) partitions(ctx context.Context, cancel context.CancelCauseFunc, gen *kgo.Generation, client *kgo.Client, drain pipeline.Drain) error {
	c := &committer{client: client, topic: s.cfg.Topic, group: gen.GroupID, member: gen.MemberID, gen: gen.ID,
		dirty: map[*stream]struct{}{}, wake: make(chan struct{}, 1)}
	var failed error
	var once sync.Once
	c.fail = func(err error) {
		once.Do(func() { failed = fmt.Errorf("%w: %w", errAgain, err) })
		cancel(err)
	}
	var ids []int
	for _, a := range gen.Assignments[s.cfg.Topic] {
		ids = append(ids, a.ID)
	}
	states, err := loadStates(ctx, client, s.cfg.Group, s.cfg.Topic, ids)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	rd := &reader{client: client, topic: s.cfg.Topic}
	streams := make([]*stream, len(ids))
	for i, id := range ids {
		streams[i] = newStream(s, rd, c, id, states[id])
	}
	s.setJoined(streams, true, nil)
	s.log.Info("partitions are ours", "topic", s.cfg.Topic, "partitions", ids, "generation", gen.ID)
	var wg sync.WaitGroup
	wg.Go(func() { c.run(ctx) })
	wg.Go(func() { s.keeping(ctx, client, streams) })
	for _, st := range streams {
		drain.Gained(st)
		wg.Go(func() {
			f := &follower{s: st, drain: drain}
			if err := f.run(ctx); err != nil && ctx.Err() == nil {
				st.close(err)
				c.fail(err)
			}
		})
	}
	<-ctx.Done()
	for _, st := range streams {
		st.close(context.Cause(ctx))
	}
	wg.Wait()
	s.setJoined(nil, ctx.Err() == nil, failed)
	return failed
}

// share is what one partition may hold of what is read ahead, in bytes.
func (s *Source) share() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(256<<10, int64(s.cfg.Buffer)/int64(max(1, len(s.streams))))
}

func (s *Source) setJoined(streams []*stream, joined bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams, s.joined, s.err = streams, joined, err
}

// say logs a warning, each topic at most every ten seconds.
func (s *Source) say(topic, msg string, args ...any) {
	const every = 10 * time.Second
	s.mu.Lock()
	last, ok := s.said[topic]
	quiet := ok && time.Since(last) < every
	if !quiet {
		s.said[topic] = time.Now()
	}
	s.mu.Unlock()
	if !quiet {
		s.log.Warn(msg, args...)
	}
}

// alarm says that a partition is held.
func (s *Source) alarm(list, why, cure string) {
	s.log.Error("a partition is held", "partition", list, "why", why, "cure", cure)
	if s.deps.Alarm != nil {
		s.deps.Alarm(fmt.Sprintf("partition %s is held: %s; %s", list, why, cure))
	}
}
