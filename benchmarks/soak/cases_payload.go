package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"sluice/internal/record"
)

func payloadCases() []scenario {
	return []scenario{
		{name: "poison at every place of a batch", pumps: 1, shape: shape{quiet: true, batch: fmt.Sprintf("{records: %d}", smallBatch)},
			means: "one undecodable payload at the first, at each further and at the last place, one batch of nothing else, one alone",
			run:   poisonEverywhere},
		{name: "equal payloads", pumps: 2, shape: shape{quiet: true},
			means: "2,500 records equal to the byte in each of three lists, with a kill -9 between: each counts",
			run:   equalPayloads},
		{name: "records of 20 MB", long: true, pumps: 1, shape: shape{quiet: true, redis: []string{"--appendonly", "no"}},
			means: "twenty of them among small ones: archived whole, without their bodies where a store takes no such documents",
			run:   func(ctx context.Context, w *world) error { return w.large(ctx, 20<<20, 20) }},
		{name: "a record of 512 MB", long: true, pumps: 1, shape: shape{quiet: true, redis: []string{"--appendonly", "no"}},
			means: "the largest element that Redis takes: a dead letter with its first bytes; memory stays below 400 MiB",
			run: func(ctx context.Context, w *world) error {
				err := w.large(ctx, 512<<20-1<<20, 1)
				if w.found.Gauge.PeakRSS > 400<<20 {
					w.violated("memory was %d MiB", w.found.Gauge.PeakRSS>>20)
				}
				return err
			}},
		{name: "ten thousand organisations in one batch", long: true, pumps: 1,
			shape: shape{quiet: true, idle: true, mongo: "single", mongod: fewFiles(), batch: "{records: 10000}"},
			means: "every record belongs to another organisation: ten thousand documents and collections out of one batch",
			run:   manyOrganisations},
	}
}

const smallBatch = 8

// fewFiles are arguments of a mongod that closes what it does not use: it has a file for each collection and each index,
// some 60,000 here, and where it may not open as many it ends itself.
func fewFiles() []string {
	return []string{"--wiredTigerEngineConfigString", "file_manager=(close_handle_minimum=100,close_idle_time=2,close_scan_interval=1)",
		"--setParameter", "wiredTigerSessionCloseIdleTimeSecs=2", "--syncdelay", "5"}
}

func poisonEverywhere(ctx context.Context, w *world) error {
	return w.load(ctx, func(ctx context.Context) error {
		g := w.gen
		poison := func() payload { return payload{data: g.traffic.Poison(1, record.Msgpack)[0]} }
		for at := range smallBatch + 1 {
			var batch []payload
			for i := range 3 * smallBatch {
				if i%smallBatch == at || at == smallBatch {
					batch = append(batch, poison())
				} else {
					batch = append(batch, g.record(record.Msgpack))
				}
			}
			if err := g.put(ctx, list, record.Msgpack, batch); err != nil {
				return err
			}
			if err := w.settled(ctx); err != nil { // so that each push is a claim, whose batches begin with it
				return err
			}
		}
		w.count("poison", int64(g.debts.poisons+1))
		return g.put(ctx, list, record.Msgpack, []payload{poison()})
	})
}

func equalPayloads(ctx context.Context, w *world) error {
	return w.load(ctx, func(ctx context.Context) error {
		for i := range 3 {
			p := w.gen.record(record.Msgpack)
			var batch []payload
			for range 2500 {
				batch = append(batch, p)
			}
			if err := w.gen.put(ctx, fmt.Sprintf("%s_%d", list, i), record.Msgpack, batch); err != nil {
				return err
			}
			if err := w.catch(ctx, "kill -9"); err != nil {
				return err
			}
			if err := w.pumps[i%2].kill(); err != nil {
				return err
			}
			if err := w.pumps[i%2].start(); err != nil {
				return err
			}
		}
		return nil
	})
}

// large pushes n records of so many bytes, each with small ones around it.
func (w *world) large(ctx context.Context, size, n int) error {
	return w.load(ctx, func(ctx context.Context) error {
		body := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("a large body ", size*3/4/13)))
		for range n {
			p := w.gen.record(record.Msgpack)
			p.rec.RawResponse = body
			p.data = record.AppendMsgpack(nil, p.rec)
			batch := []payload{w.gen.record(record.Msgpack), p, w.gen.record(record.Msgpack)}
			if err := w.gen.put(ctx, list, record.Msgpack, batch); err != nil {
				return err
			}
			w.count("a large record", int64(len(p.data)>>20))
		}
		return w.settled(ctx)
	})
}

func manyOrganisations(ctx context.Context, w *world) error {
	for i := range 10 {
		var batch []payload
		for j := range 1000 {
			p := w.gen.record(record.Msgpack)
			p.rec.OrgID = fmt.Sprintf("org-%d-%d", i, j)
			p.rec.GraphQL, p.rec.MCP = record.GraphQLStats{}, record.MCPStats{}
			p.data = record.AppendMsgpack(nil, p.rec)
			batch = append(batch, p)
		}
		if err := w.gen.put(ctx, list, record.Msgpack, batch); err != nil {
			return err
		}
	}
	w.count("organisations", 10000)
	if err := w.startAll(); err != nil {
		return err
	}
	return w.load(ctx, func(ctx context.Context) error {
		for begin := time.Now(); time.Since(begin) < caseTime-time.Minute; {
			if n, err := w.unclaimed(ctx); err == nil && n == 0 && w.inWork(ctx) == 0 {
				return nil
			}
			if err := w.pause(ctx, time.Second); err != nil {
				return err
			}
		}
		return nil
	})
}
