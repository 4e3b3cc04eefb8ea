package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sluice/internal/fault"
	"sluice/internal/record"
	"sluice/internal/testenv/install"
	"sluice/internal/testenv/launch"
)

// Roles of pumps when Kafka is between.
const (
	edge   = "edge"
	worker = "worker"
)

// partitions of the topic: more than workers, so that each has some and a take-over moves some.
const partitions = 4

// startBus starts a broker that edges and workers reach by a proxy each, if the shape has one.
func (w *world) startBus(ctx context.Context) error {
	if !w.opts.shape.Bus {
		return nil
	}
	java, jars, err := install.Kafka()
	if err != nil {
		return err
	}
	var listeners []launch.KafkaListener
	for i, role := range []string{edge, worker} {
		port, err := launch.FreePort()
		if err != nil {
			return err
		}
		y := &way{}
		w.ways[role] = y
		if y.proxy, err = fault.NewProxy(fmt.Sprintf("127.0.0.1:%d", port), w.opts.seed+uint64(100+i)); err != nil {
			return err
		}
		listeners = append(listeners, launch.KafkaListener{Name: strings.ToUpper(role), Port: port, Advertised: y.proxy.Addr(), Protocol: "PLAINTEXT"})
	}
	dir := filepath.Join(w.opts.dir, "kafka")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	w.topic = unique()
	w.broker, err = launch.Kafka(ctx, java, jars, dir, launch.KafkaConfig{Listeners: listeners})
	return err
}

// roleOf is the role of a pump; empty when there is no Kafka between.
func (w *world) roleOf(index int) string {
	switch {
	case !w.opts.shape.Bus:
		return ""
	case index < w.opts.pumps/2:
		return edge
	}
	return worker
}

// busSource and busSink are the lines of a configuration that has Kafka between.
func (w *world) busSource() string {
	if !w.opts.shape.Bus {
		return ""
	}
	return fmt.Sprintf("  topic: {type: kafka, brokers: [%q], topic: %s, group: %s, session_timeout: 2s, linger: 200ms}\n",
		w.ways[worker].proxy.Addr(), w.topic, w.topic)
}

func (w *world) busSink() string {
	if !w.opts.shape.Bus {
		return ""
	}
	return fmt.Sprintf("  bus: {type: kafka, timeout: 4s, retry: {min: 50ms, max: 1s}, brokers: [%q], topic: %s, partitions: %d, replication: 1}\n",
		w.ways[edge].proxy.Addr(), w.topic, partitions)
}

// column is a sink's part of a ledger.
type column struct {
	Effective, Duplicates, Filtered, Spooled, Pending uint64
	DeadLetters                                       uint64 `json:"dead_letters"`
}

// ledger is what a pump says of its role.
type ledger struct {
	Taken    uint64
	Balanced bool
	Sinks    map[string]column
	Strange  []string
	Sources  map[string][]struct{ Waiting uint64 }
}

func (p *pump) ledger(ctx context.Context) (l ledger, err error) {
	code, out, err := p.output(ctx, "audit", "--output", "json")
	if err != nil {
		return l, err
	}
	if err := json.Unmarshal(out, &l); err != nil {
		return l, fmt.Errorf("audit of %s ends with %d: %w", p.name, code, err)
	}
	if (code == 0) != l.Balanced {
		l.Strange = append(l.Strange, fmt.Sprintf("exit code %d", code))
	}
	return l, nil
}

// waits is 1 when something lies in the topic that a worker's stores do not all have.
func (w *world) waits(ctx context.Context) int64 {
	l, err := w.pumps[len(w.pumps)-1].ledger(ctx)
	n := uint64(0)
	for _, s := range l.Sources {
		for _, p := range s {
			n += p.Waiting
		}
	}
	for _, c := range l.Sinks {
		n += c.Pending
	}
	if err != nil || n == 0 {
		return 0
	}
	return 1
}

// judgeBus demands the ledgers of both roles: the edges', of all that was pushed, and the workers', of what was in the topic,
// where a message may be more than once.
func (w *world) judgeBus(ctx context.Context) error {
	up, err := w.pumps[0].ledger(ctx)
	if err != nil {
		return err
	}
	d := w.gen.debts
	records, poisons := uint64(d.records), uint64(d.poisons)
	want := column{Effective: records, DeadLetters: poisons}
	if !up.Balanced || up.Taken != records+poisons || up.Sinks["bus"] != want {
		w.violated("ledger of the edges: %+v, want %d taken and %+v", up, records+poisons, want)
	}
	down, err := w.pumps[len(w.pumps)-1].ledger(ctx)
	if err != nil {
		return err
	}
	if !down.Balanced || len(down.Strange) > 0 {
		w.violated("ledger of the workers: balanced %v: %s", down.Balanced, strings.Join(down.Strange, "; "))
	}
	for name, takes := range map[string]func(*record.Record) bool{"dashboard": inAggregates, "raw": inRaw, "search": inSearch, "archive": everywhere} {
		got, n := down.Sinks[name], d.count(takes)
		want := column{Effective: n, Filtered: records - n, Duplicates: down.Taken - records}
		if got != want {
			w.violated("ledger of the workers' %s: %+v, want %+v", name, got, want)
		}
	}
	w.opts.log("%s judge: of %d messages in the topic %d came again", w.clock(), down.Taken, down.Taken-records)
	return nil
}
