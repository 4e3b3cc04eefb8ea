package main

import (
	"context"
	"fmt"
	"log/slog"

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
			s, err = newTopicSource(name, settings, kafka.Deps{Log: deps.Log, BatchRecords: deps.BatchRecords, Alarm: alarm})
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
