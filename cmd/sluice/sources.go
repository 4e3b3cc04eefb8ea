package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"sluice/internal/config"
	"sluice/internal/pipeline"
	"sluice/sources/archive"
	"sluice/sources/kafka"
	"sluice/sources/redislist"
)

// source is what the commands ask of any kind of source.
type source interface {
	pipeline.Source
	StopClaiming()
	Status() pipeline.SourceStatus
	// Idle tells whether nothing is left for this process to drain, and names what belongs to others.
	Idle(ctx context.Context) (bool, []string, error)
	// Audit reads the ledger, list by list; a topic's partition is a list as well. It disturbs nobody.
	Audit(ctx context.Context) ([]redislist.ListAudit, error)
	Check(ctx context.Context) []redislist.Finding
}

// newSources makes the sources in the order of their names. alarm, if not nil, is told what needs an operator.
func newSources(cfg *config.Config, deps redislist.Deps, alarm func(string)) ([]source, error) {
	if err := followable(cfg); err != nil {
		return nil, err
	}
	var out []source
	for _, name := range sortedKeys(cfg.Sources) {
		var s source
		var err error
		switch settings := cfg.Sources[name].Settings.(type) {
		case redislist.Config:
			s, err = redislist.New(name, settings, deps)
		case kafka.Config:
			var k *kafka.Source
			k, err = kafka.New(name, settings, kafka.Deps{Log: deps.Log, BatchRecords: deps.BatchRecords, Alarm: alarm})
			s = topicSource{k}
		case archive.Config:
			var a *archive.Source
			a, err = archive.New(name, settings, archive.Deps{Log: deps.Log, Token: deps.Token, Sinks: followingSinks(cfg), Sums: summingSinks(cfg), Alarm: alarm})
			s = archiveSource{a}
		default:
			err = fmt.Errorf("no source is made of %T", settings)
		}
		if err != nil {
			return nil, fmt.Errorf("source %s: %w", name, err)
		}
		out = append(out, s)
	}
	return out, nil
}

// onlookingSources are sources for commands that look, or that act for an operator: they own no state directory, take no
// leases and join no group.
func onlookingSources(cfg *config.Config, log *slog.Logger) ([]source, error) {
	return newSources(cfg, redislist.Deps{Token: "onlooker", Home: "onlooker", Log: log, Sinks: sortedKeys(cfg.Sinks)}, nil)
}

// ofRedis are the sources that drain lists.
func ofRedis(sources []source) (out []*redislist.Source) {
	for _, s := range sources {
		if r, ok := s.(*redislist.Source); ok {
			out = append(out, r)
		}
	}
	return out
}

// topicSource shows a topic's partitions as lists.
type topicSource struct{ *kafka.Source }

// Audit implements source.
func (s topicSource) Audit(ctx context.Context) ([]redislist.ListAudit, error) {
	partitions, err := s.Source.Audit(ctx)
	if err != nil {
		return nil, err
	}
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
