package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"sluice/internal/pipeline"
	"sluice/sources/kafka"
	"sluice/sources/redislist"
)

// topicSource shows the partitions of a topic as lists, and beside them that of the dead letters of it that were put back.
type topicSource struct {
	*kafka.Source
	again *kafka.Source
}

func newTopicSource(name string, c kafka.Config, deps kafka.Deps) (source, error) {
	s, err := kafka.New(name, c, deps)
	if err != nil {
		return nil, err
	}
	again, err := kafka.NewRetries(name, c, deps)
	return topicSource{s, again}, err
}

// Run implements source.
func (s topicSource) Run(ctx context.Context, p pipeline.Drain) error {
	beside, end := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.again.Run(beside, p) }) // it never asks for an operator
	err := s.Source.Run(ctx, p)
	end()
	wg.Wait()
	return err
}

// StopClaiming implements source.
func (s topicSource) StopClaiming() {
	s.Source.StopClaiming()
	s.again.StopClaiming()
}

// Status implements source. Whether it is connected is said of the topic that edges write to.
func (s topicSource) Status() pipeline.SourceStatus {
	out, again := s.Source.Status(), s.again.Status()
	out.Taken, out.Rate, out.Lists = out.Taken+again.Taken, out.Rate+again.Rate, append(out.Lists, again.Lists...)
	return out
}

// Idle implements source.
func (s topicSource) Idle(ctx context.Context) (bool, []string, error) {
	idle, others, err := s.Source.Idle(ctx)
	if err != nil || !idle {
		return false, nil, err
	}
	idle, more, err := s.again.Idle(ctx)
	return idle, append(others, more...), err
}

// Release lets a partition go on.
func (s topicSource) Release(ctx context.Context, list string) (kafka.Released, error) {
	if strings.HasPrefix(list, s.again.Topic()+"/") {
		return s.again.Release(ctx, list)
	}
	return s.Source.Release(ctx, list)
}

// has tells whether the partition is of one of its topics.
func (s topicSource) has(list string) bool {
	return strings.HasPrefix(list, s.Topic()+"/") || strings.HasPrefix(list, s.again.Topic()+"/")
}

// Audit implements source.
func (s topicSource) Audit(ctx context.Context) ([]redislist.ListAudit, error) {
	partitions, err := s.Source.Audit(ctx)
	if err != nil {
		return nil, err
	}
	again, err := s.again.Audit(ctx)
	if err != nil {
		return nil, err
	}
	partitions = append(partitions, again...)
	out := make([]redislist.ListAudit, len(partitions))
	for i, p := range partitions {
		l := redislist.ListAudit{List: p.List, Lineage: p.Lineage, Taken: p.Taken, Waiting: p.Waiting, Strange: p.Strange,
			FieldSize: p.Bytes, Lost: p.Lost, Oldest: p.Oldest, Sinks: map[string]redislist.SinkAudit{}}
		for name, k := range p.Sinks {
			l.Sinks[name] = redislist.SinkAudit{Taken: k.Taken, Counts: k.Counts}
		}
		for _, c := range p.Claims {
			l.Claims = append(l.Claims, redislist.ClaimAudit{ID: c.ID.String(), Len: c.Len, Time: c.Time, Owes: c.Owes, Cursors: c.Cursors})
		}
		out[i] = l
	}
	return out, nil
}

// Check implements source.
func (s topicSource) Check(ctx context.Context) (found []redislist.Finding) {
	partitions, err := s.Source.Audit(ctx)
	switch {
	case err != nil:
		return []redislist.Finding{{Level: redislist.Fail, Text: err.Error(), Cure: "see brokers, tls and sasl, and the rights on topic and group"}}
	case len(partitions) == 0:
		return []redislist.Finding{{Level: redislist.Warn, Text: "the topic is not there yet", Cure: "an edge makes it when it starts"}}
	}
	var waiting uint64
	for _, p := range partitions {
		waiting += p.Waiting
	}
	found = append(found, redislist.Finding{Level: redislist.OK,
		Text: fmt.Sprintf("the topic has %d partitions; the group may be read, and %d messages wait for it", len(partitions), waiting)})
	i := slices.IndexFunc(partitions, func(p kafka.PartitionAudit) bool { return len(p.Strange) > 0 })
	if i >= 0 {
		found = append(found, redislist.Finding{Level: redislist.Fail, Text: partitions[i].List + ": " + partitions[i].Strange[0],
			Cure: "what is missing is given up with sluice release " + partitions[i].List})
	}
	return found
}
