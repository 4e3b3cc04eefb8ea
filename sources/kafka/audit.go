package kafka

import (
	"context"
	"errors"
	"math"
	"time"

	kgo "github.com/segmentio/kafka-go"

	bus "sluice/internal/kafka"
	"sluice/internal/pipeline"
)

// PartitionAudit is a partition as the group's committed offset has it.
type PartitionAudit struct {
	List    string // topic/partition
	Lineage string
	Taken   uint64    // messages ever claimed by the group
	Waiting uint64    // messages that are not claimed yet
	Lost    uint64    // messages that were missing and that an operator gave up
	Oldest  time.Time // of the oldest message that some sink has not settled; zero: there is none
	Claims  []ClaimAudit
	Sinks   map[string]SinkAudit
	Strange []string
	Bytes   int // of what is kept with the offset

	partition int
}

// ClaimAudit is an open claim.
type ClaimAudit struct {
	ID      pipeline.ClaimID
	Len     uint32
	Time    time.Time
	Owes    []string
	Cursors map[string]uint32
}

// SinkAudit is what a sink was owed, and what became of it.
type SinkAudit struct {
	Taken uint64
	pipeline.Counts
}

// Audit reads what the group has committed. It changes nothing and is no member.
func (s *Source) Audit(ctx context.Context) ([]PartitionAudit, error) {
	var out []PartitionAudit
	err := s.look(ctx, func(c *kgo.Client) (err error) {
		out, err = s.audit(ctx, c)
		return err
	})
	if s.retries && isFatal(err) {
		return nil, nil // without rights on that topic there is nothing in it for this group
	}
	return out, err
}

// look makes a client for one purpose.
func (s *Source) look(ctx context.Context, do func(*kgo.Client) error) error {
	access, err := bus.NewAccess(ctx, s.cfg.way())
	if err != nil {
		return err
	}
	c := access.Client(s.cfg.Topic)
	defer bus.CloseClient(c)
	return do(c)
}

func (s *Source) audit(ctx context.Context, c *kgo.Client) ([]PartitionAudit, error) {
	n, err := partitionsOf(ctx, c, s.cfg.Topic)
	if err != nil || n == 0 {
		return nil, err
	}
	ids := make([]int, n)
	for i := range ids {
		ids[i] = i
	}
	states, err := loadStates(ctx, c, s.cfg.Group, s.cfg.Topic, ids)
	if err != nil {
		return nil, err
	}
	logs, err := logsOf(ctx, c, s.cfg.Topic, ids) // after the states: what is claimed is in the log
	if err != nil {
		return nil, err
	}
	out := make([]PartitionAudit, n)
	for i := range ids {
		out[i] = states[i].audit(listName(s.cfg.Topic, i), logs[i])
		out[i].partition = i
		if out[i].Oldest, err = oldestOf(ctx, c, s.cfg.Topic, i, states[i].base, logs[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// oldestOf is the time of the first message from the committed offset on. What lies behind it may be older by what messages of
// several edges overtake each other; an edge sends within seconds of taking, or from its spool.
func oldestOf(ctx context.Context, c *kgo.Client, topic string, partition int, base int64, log logRange) (time.Time, error) {
	from := max(base, log.first)
	if from >= log.end {
		return time.Time{}, nil
	}
	got, err := (&reader{client: c, topic: topic}).fetch(ctx, partition, from, from+1, fetchWait)
	if errors.Is(err, errLogMoved) || err == nil && len(got.messages) == 0 {
		return time.UnixMilli(0).UTC(), nil // it is not known: as old as can be
	}
	if err != nil {
		return time.Time{}, err
	}
	return got.messages[0].time.UTC(), nil
}

func (s *state) audit(list string, log logRange) PartitionAudit {
	a := PartitionAudit{List: list, Lineage: s.Lineage, Taken: uint64(s.next() - s.Start), Lost: s.Lost, Sinks: map[string]SinkAudit{}}
	if text, err := s.encode(); err == nil {
		a.Bytes = len(text)
	}
	a.Waiting = uint64(max(0, log.end-s.next()))
	if log.end < s.next() {
		a.Strange = append(a.Strange, "the log ends before what was taken: the topic went back, or was made anew")
	}
	if log.first > s.base {
		a.Strange = append(a.Strange, "the log begins behind what is settled: messages fell to the topic's retention")
	}
	for name, l := range s.Sinks {
		a.Sinks[name] = SinkAudit{Taken: l.Taken, Counts: pipeline.Counts{Effective: l.Effective, Duplicates: l.Duplicates,
			Filtered: l.Filtered, DeadLetters: l.DeadLetters}}
	}
	for i := range s.Claims {
		c := &s.Claims[i]
		a.Claims = append(a.Claims, ClaimAudit{ID: s.id(c), Len: c.Len, Time: time.UnixMilli(c.Ms).UTC(), Owes: c.Sinks, Cursors: c.Cursors})
		for _, name := range c.Sinks {
			k := a.Sinks[name]
			k.Pending += uint64(c.Len - c.Cursors[name])
			a.Sinks[name] = k
		}
	}
	return a
}

// Idle tells whether nothing is left for this process: no partition has anything that is not settled, but for those of
// other workers, which it names.
func (s *Source) Idle(ctx context.Context) (bool, []string, error) {
	all, err := s.Audit(ctx)
	if err != nil {
		return false, nil, err
	}
	s.mu.Lock()
	joined, ours := s.joined, map[int]bool{}
	for _, st := range s.streams {
		ours[st.partition] = true
	}
	s.mu.Unlock()
	var others []string
	for _, p := range all {
		switch {
		case len(p.Claims) == 0 && p.Waiting == 0:
		case !joined || ours[p.partition] || s.retries && len(ours) == 0:
			return false, nil, nil
		default:
			others = append(others, p.List+": another worker has it")
		}
	}
	return true, others, nil
}

// count books messages that were claimed just now.
func (s *Source) count(n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.rate = s.smoothed(now) + float64(n)/rateWindow.Seconds()
	s.taken, s.counted = s.taken+n, now
}

const rateWindow = 30 * time.Second

func (s *Source) smoothed(now time.Time) float64 {
	return s.rate * math.Exp(-now.Sub(s.counted).Seconds()/rateWindow.Seconds())
}

// Status is the source as it is now: waiting is the consumer lag in messages, the oldest age the lag in seconds.
func (s *Source) Status() pipeline.SourceStatus {
	s.mu.Lock()
	streams := s.streams
	out := pipeline.SourceStatus{Name: s.name, Type: "kafka", Connected: s.joined, Taken: s.taken, Rate: s.smoothed(time.Now()),
		Lists: []pipeline.ListStatus{}}
	if s.err != nil && !s.joined {
		out.Error = s.err.Error()
	}
	s.mu.Unlock()
	for _, st := range streams {
		out.Lists = append(out.Lists, st.status(time.Now()))
	}
	return out
}

func (s *stream) status(now time.Time) pipeline.ListStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := pipeline.ListStatus{Name: s.id.List, Owner: "us", Waiting: uint64(max(0, s.end-s.st.next())), OpenClaims: len(s.st.Claims),
		Taken: uint64(s.st.next() - s.st.Start), Held: s.held, Kept: s.kept.Seconds()}
	oldest := s.waits
	if len(s.windows) > 0 {
		oldest = s.windows[0].oldest
	}
	if !oldest.IsZero() {
		l.OldestAge = max(0, now.Sub(oldest).Seconds())
	}
	return l
}
