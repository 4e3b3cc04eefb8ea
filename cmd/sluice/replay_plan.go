package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"sluice/internal/config"
	"sluice/internal/pipeline"
	"sluice/sinks/csv"
	"sluice/sinks/discard"
	"sluice/sinks/kafka"
	"sluice/sinks/mongoagg"
	"sluice/sinks/mongoraw"
	"sluice/sinks/opensearch"
	"sluice/sinks/s3csv"
	"sluice/sinks/sqlite"
	"sluice/sinks/stdout"
	archivesource "sluice/sources/archive"
)

// replayPlan says where a replay goes, and how.
type replayPlan struct {
	names    []string                // of all sinks, sorted
	targets  []*archivesource.Target // that take records in the order of the archive
	rebuilds []*rebuildTarget
	locals   []*localTarget
	copies   []string // archives, which get whole objects
	prints   bool     // standard output gets the records
}

// planReplay makes the chosen sinks. Nothing connects; what cannot be right is refused with its cure.
func planReplay(cfg *config.Config, log *slog.Logger, archive string, req *replayRequest, out io.Writer) (*replayPlan, error) {
	plan := &replayPlan{names: slices.Clone(req.o.sinks)}
	asked := len(plan.names) > 0
	if !asked {
		for _, name := range sortedKeys(cfg.Sinks) {
			if name != archive {
				plan.names = append(plan.names, name)
			}
		}
	}
	slices.Sort(plan.names)
	plan.names = slices.Compact(plan.names)
	if len(plan.names) == 0 {
		return nil, usageError{fmt.Errorf("there is no sink to replay into beside archive %s", archive)}
	}
	var left []string
	for _, name := range plan.names {
		c, ok := cfg.Sinks[name]
		switch {
		case !ok:
			return nil, usageError{fmt.Errorf("--sink %s: there is no such sink", name)}
		case name == archive:
			return nil, usageError{fmt.Errorf("--sink %s is the archive that is read: choose another sink, or another --archive", name)}
		}
		err := plan.add(cfg, log, name, &c, req, out)
		_, topic := c.Settings.(kafka.Config)
		if !asked && errors.As(err, new(usageError)) && (topic || req.Filtered()) && len(left)+1 < len(plan.names) { // it fits others alone
			log.Warn("a sink is left out of the replay", "sink", name, "why", err)
			left = append(left, name)
			continue
		}
		if err != nil {
			return nil, err
		}
	}
	plan.names = slices.DeleteFunc(plan.names, func(name string) bool { return slices.Contains(left, name) })
	return plan, nil
}

// add takes one sink into the plan.
func (p *replayPlan) add(cfg *config.Config, log *slog.Logger, name string, c *config.Sink, req *replayRequest, out io.Writer) error {
	byID := false
	switch settings := c.Settings.(type) {
	case mongoraw.Config, opensearch.Config, discard.Config:
		byID = true
	case stdout.Config:
		p.prints = true
	case mongoagg.Config:
		t, err := planRebuild(log, name, settings, c, req)
		if err == nil {
			p.rebuilds = append(p.rebuilds, t)
		}
		return err
	case s3csv.Config, csv.Config:
		p.copies = append(p.copies, name)
		return planCopy(name, req)
	case kafka.Config:
		return usageError{fmt.Errorf("sink %s is a topic, whose workers drop what lies behind what they have: replay into the stores "+
			"themselves, and leave it out by naming the others with --sink", name)}
	case sqlite.Config:
		t, err := planLocal(log, name, settings, c, req)
		if err == nil {
			p.locals = append(p.locals, t)
		}
		return err
	}
	s, err := newSink(name, c.Settings, sinkDeps{stdout: out, log: log})
	if err != nil {
		return fmt.Errorf("sink %s: %w", name, err)
	}
	w, ok := s.(pipeline.Writer)
	if !ok {
		return usageError{fmt.Errorf("sink %s cannot be replayed into: leave it out by naming the others with --sink", name)}
	}
	shape := cfg.RecordShape()
	shape.Filters = c.Filters.Pipeline()
	p.targets = append(p.targets, &archivesource.Target{
		Name: name, Sink: w, Filter: archivesource.NewFilter(shape.Filters), Timeout: c.Timeout.D(), Patience: req.o.timeout, ByID: byID, Log: log,
		Retry: pipeline.Backoff{Min: c.Retry.Min.D(), Max: c.Retry.Max.D()},
		Shape: pipeline.Shape{Key: "replay " + name, JSON: s.Shape(), Record: shape},
	})
	return nil
}

// job names a replay: the same flags, sinks and archive are the same job.
func (p *replayPlan) job(archive string, req *replayRequest) (string, error) {
	key, err := json.Marshal(struct {
		Archive   string
		Sinks     []string
		Selection archivesource.Selection
	}{archive, p.names, req.Selection})
	if err != nil {
		return "", fmt.Errorf("name the replay: %w", err)
	}
	sum := sha256.Sum256(key)
	return "replay-" + hex.EncodeToString(sum[:8]), nil
}
