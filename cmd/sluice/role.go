package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"sluice/internal/config"
	"sluice/sinks/csv"
	sinkkafka "sluice/sinks/kafka"
	"sluice/sinks/sqlite"
	"sluice/sources/kafka"
	"sluice/sources/redislist"
)

// role is the part of a configuration that a process plays: with Kafka in between, one file serves edges and workers.
type role string

const (
	roleAll    role = "all"
	roleEdge   role = "edge"
	roleWorker role = "worker"
)

// roleFlag adds --role to a command.
func roleFlag(c *cobra.Command, what string) *string {
	return c.Flags().String("role", string(roleAll), what)
}

// part is what of the configuration concerns the role. What does not fit together is a wrong usage, with its cure.
func (r role) part(cfg *config.Config) (*config.Config, error) {
	out := *cfg
	out.Sources, out.Sinks = map[string]config.Source{}, map[string]config.Sink{}
	lists, topics, buses := 0, 0, 0
	for _, s := range cfg.Sources {
		switch s.Settings.(type) {
		case redislist.Config:
			lists++
		case kafka.Config:
			topics++
		}
	}
	for _, s := range cfg.Sinks {
		if _, ok := s.Settings.(sinkkafka.Config); ok {
			buses++
		}
	}
	refuse := func(format string, args ...any) (*config.Config, error) {
		return nil, usageError{fmt.Errorf("%s: "+format, append([]any{cfg.File()}, args...)...)}
	}
	switch r {
	case roleAll:
		switch {
		case topics > 0 && lists > 0:
			return refuse("it has sources of type redis and of type kafka: say --role edge (Redis into Kafka) or --role worker (Kafka into the sinks)")
		case topics > 0 && buses > 0:
			return refuse("it has a source and a sink of type kafka: say --role worker, which leaves the sink to edges")
		case topics > 0:
			r = roleWorker
		}
	case roleEdge:
		switch {
		case lists == 0:
			return refuse("--role edge drains Redis, and there is no source of type redis: add one")
		case buses == 0:
			return refuse("--role edge writes into Kafka, and there is no sink of type kafka: add one, like bus: {type: kafka, brokers: [...], topic: tyk-analytics}")
		}
	case roleWorker:
		switch {
		case topics == 0:
			return refuse("--role worker reads Kafka, and there is no source of type kafka: add one, like bus: {type: kafka, brokers: [...], topic: tyk-analytics, group: sluice}")
		case buses == len(cfg.Sinks):
			return refuse("--role worker writes into sinks other than Kafka, and there is none: add one")
		}
	default:
		return nil, usageError{fmt.Errorf("--role %s is not known: use all, edge or worker", r)}
	}
	for name, s := range cfg.Sources {
		_, list := s.Settings.(redislist.Config)
		if r == roleAll || list == (r == roleEdge) {
			out.Sources[name] = s
		}
	}
	for name, s := range cfg.Sinks {
		if _, bus := s.Settings.(sinkkafka.Config); r == roleAll || bus == (r == roleEdge) {
			out.Sinks[name] = s
		}
	}
	if r == roleWorker {
		return &out, localSinks(&out)
	}
	return &out, nil
}

// localSinks refuses sinks that keep their store on one machine: partitions move between workers.
func localSinks(cfg *config.Config) error {
	var local []string
	for _, name := range sortedKeys(cfg.Sinks) {
		switch cfg.Sinks[name].Settings.(type) {
		case sqlite.Config, csv.Config:
			local = append(local, name)
		}
	}
	if len(local) == 0 {
		return nil
	}
	return usageError{fmt.Errorf("%s: a worker's partitions may move to another machine, and the stores of these sinks cannot: %s; "+
		"use s3-csv and MongoDB, or feed them by --role all from Redis", cfg.File(), strings.Join(local, ", "))}
}
