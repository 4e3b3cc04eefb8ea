package main

import (
	"fmt"
	"io"
	"log/slog"
	"slices"

	"sluice/internal/config"
	"sluice/internal/pipeline"
	"sluice/internal/statedir"
	"sluice/sinks/csv"
	"sluice/sinks/discard"
	"sluice/sinks/kafka"
	"sluice/sinks/mongoagg"
	"sluice/sinks/mongoraw"
	"sluice/sinks/opensearch"
	"sluice/sinks/s3csv"
	"sluice/sinks/sqlite"
	"sluice/sinks/stdout"
)

// sinkDeps is what some sinks need beside their configuration.
type sinkDeps struct {
	state  *statedir.Dir
	stdout io.Writer
	log    *slog.Logger
}

// newSink makes a sink of its typed settings. A new kind of sink is a directory under sinks, a line here and one in the
// configuration's table.
func newSink(name string, settings any, d sinkDeps) (pipeline.Sink, error) {
	log := d.log
	switch c := settings.(type) {
	case mongoagg.Config:
		return mongoagg.New(name, c, log)
	case mongoraw.Config:
		return mongoraw.New(name, c, log)
	case opensearch.Config:
		return opensearch.New(name, c, log)
	case s3csv.Config:
		return s3csv.New(name, c, d.state.Scratch(name), log)
	case kafka.Config:
		return kafka.New(name, c, log)
	case csv.Config:
		return csv.New(name, c, d.state.Scratch(name), log)
	case sqlite.Config:
		return sqlite.New(name, c, log)
	case stdout.Config:
		return stdout.New(name, c, d.stdout, log)
	case discard.Config:
		return discard.New(name, c, log)
	default:
		return nil, fmt.Errorf("sink %s: no sink is made of %T", name, settings)
	}
}

// sinkSpecs makes every configured sink, in the order of their names.
func sinkSpecs(cfg *config.Config, d sinkDeps) ([]pipeline.SinkSpec, error) {
	var specs []pipeline.SinkSpec
	for _, name := range sortedKeys(cfg.Sinks) {
		c := cfg.Sinks[name]
		s, err := newSink(name, c.Settings, d)
		if err != nil {
			return nil, fmt.Errorf("sink %s: %w", name, err)
		}
		specs = append(specs, pipeline.SinkSpec{
			Name: name, Type: c.Type, Sink: s, Filters: c.Filters.Pipeline(), Timeout: c.Timeout.D(),
			Spools: c.OnFull == config.Spool, Sheds: c.Shed == config.Oldest,
			Retry: pipeline.Backoff{Min: c.Retry.Min.D(), Max: c.Retry.Max.D()},
		})
	}
	return specs, nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
