package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"sluice/benchmarks/sample"
)

// scenario is a row of the table.
type scenario struct {
	name string
	run  func(context.Context, *bench) (result, error)
}

// Names of scenarios that goals are about.
const (
	fourSinks = "4 sinks: aggregate raw search archive"
	downName  = "csv beside a sink that is down"
)

// Numbers of records: large enough that starting and ending is little of the whole.
const (
	manyRecords  = 300_000
	storeRecords = 100_000 // for sinks whose servers take their time
	dimRecords   = 100_000
)

func scenarios(f flags) []scenario {
	all := drains(f)
	var out []scenario
	for _, d := range all {
		rounds := f.rounds
		if d.records > manyRecords || d.options.Paths >= 10_000 {
			rounds = 1 // only the memory is of interest, or minutes of mongod's time are enough
		}
		out = append(out, scenario{d.name, func(ctx context.Context, b *bench) (result, error) { return b.drain(ctx, d, rounds) }})
	}
	out = append(out,
		scenario{stagesName, func(ctx context.Context, b *bench) (result, error) { return b.stages(ctx, f.rounds) }},
		scenario{downName, func(ctx context.Context, b *bench) (result, error) { return b.down(ctx, manyRecords, f.rounds) }},
		scenario{"start to first record", func(ctx context.Context, b *bench) (result, error) { return b.first(ctx, f.rounds) }},
		scenario{"idle", func(ctx context.Context, b *bench) (result, error) { return b.idle(ctx, 20*time.Second) }},
	)
	if !f.short {
		out = append(out, scenario{largeName, func(ctx context.Context, b *bench) (result, error) { return b.large(ctx) }})
		for _, t := range feeds() {
			out = append(out, scenario{t.name, func(ctx context.Context, b *bench) (result, error) { return b.trickle(ctx, t) }})
		}
	}
	return out
}

func drains(f flags) []drain {
	// One after the other over the same list, so that it is filled once.
	all := []drain{
		{name: "discard", records: manyRecords, sinks: []string{"discard"}},
		{name: "csv, none", records: manyRecords, sinks: []string{"csv-none"}},
		{name: "csv, zstd", records: manyRecords, sinks: []string{"csv-zstd"}},
	}
	four := []string{"aggregate", "raw", "search", "archive"}
	for n := range four {
		all = append(all, drain{name: fmt.Sprintf("%d sinks: %s", n+1, strings.Join(four[:n+1], " ")), records: storeRecords, sinks: four[:n+1]})
	}
	backlogs := []int{10_000, 100_000, 1_000_000}
	if f.short {
		backlogs = backlogs[:2]
	}
	for _, n := range backlogs {
		all = append(all, drain{name: fmt.Sprintf("backlog %d, csv", n), records: n, sinks: []string{"csv-zstd"}})
	}
	for _, paths := range []int{10, 100, 1_000, 10_000, 100_000} {
		all = append(all, drain{
			name: fmt.Sprintf("aggregate, %d paths", paths), records: dimRecords, sinks: []string{"aggregate"},
			options: sample.Options{Paths: paths},
		})
	}
	return all
}

func feeds() []feed {
	return []feed{
		{
			name: "trickle, 1000/s", rate: 1000, time: time.Minute, lists: 1,
			options: sample.Options{Keys: 40, Paths: 10, APIs: 1},
		},
		{
			name: "rush, 10000/s, 11 lists", rate: 10_000, time: 20 * time.Second, lists: 11,
			options: sample.Options{Keys: 40, Paths: 10, APIs: 5, Orgs: 5},
		},
	}
}
