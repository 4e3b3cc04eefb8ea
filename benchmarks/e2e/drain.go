package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sluice/benchmarks/sample"
)

// drain is a scenario in which a backlog goes into sinks by `run --once`, each run beside one of the floor over the same
// list.
type drain struct {
	name    string
	records int
	options sample.Options
	sinks   []string
	env     []string
}

// pair is one run and the floor's beside it, and what the run cost the MongoDB that it wrote to.
type pair struct {
	ours, floor usage
	mongod      time.Duration // of CPU
}

func (b *bench) drain(ctx context.Context, d drain, rounds int) (result, error) {
	if err := b.fill(ctx, d.records, d.options); err != nil {
		return result{}, err
	}
	var pairs []pair
	for range rounds {
		p, missing, err := b.drainOnce(ctx, d)
		if err != nil || len(missing) > 0 {
			return result{Name: d.name, Missing: missing}, err
		}
		pairs = append(pairs, p)
	}
	out := result{Name: d.name, Records: d.records}
	out.Wall = median(pairs, func(p pair) float64 { return p.ours.wall.Seconds() })
	out.CPU = median(pairs, func(p pair) float64 { return p.ours.cpu.Seconds() })
	out.RSS = median(pairs, func(p pair) float64 { return float64(p.ours.rss) / (1 << 20) })
	out.Allocs = median(pairs, func(p pair) float64 { return float64(p.ours.allocations.Count) }) / float64(d.records)
	out.Garbage = median(pairs, func(p pair) float64 { return float64(p.ours.allocations.Bytes) }) / float64(d.records)
	out.Rate = float64(d.records) / out.CPU
	out.Floor = float64(d.records) / median(pairs, func(p pair) float64 { return p.floor.cpu.Seconds() })
	out.Ratio = median(pairs, func(p pair) float64 { return p.floor.cpu.Seconds() / p.ours.cpu.Seconds() })
	if slices.Contains(d.sinks, "aggregate") {
		used := median(pairs, func(p pair) float64 { return p.mongod.Seconds() })
		out.Extra = map[string]float64{"mongod CPU s per million": used * 1e6 / float64(d.records)}
	}
	return out, nil
}

func (b *bench) drainOnce(ctx context.Context, d drain) (p pair, missing []string, err error) {
	r, err := b.newRun(d.sinks)
	if err != nil || len(r.missing) > 0 {
		return p, r.missing, err
	}
	defer func() {
		if e := r.drop(ctx); err == nil {
			err = e
		}
	}()
	if err := b.restore(ctx); err != nil {
		return p, nil, err
	}
	if p.floor, err = b.floorRun(ctx, d.records); err != nil {
		return p, nil, err
	}
	before := b.mongodCPU()
	c, err := start(ctx, r.dir, b.sluice, append(b.profile(d.name), d.env...), "run", "--once", "--config", "sluice.yaml")
	if err != nil {
		return p, nil, err
	}
	if p.ours, err = c.wait(); err != nil {
		return p, nil, err
	}
	p.mongod = b.mongodCPU() - before
	for _, s := range d.sinks {
		if n, err := b.effective(ctx, list, s); err != nil || n != d.records {
			return p, nil, fmt.Errorf("%s: sink %s has %d of %d records: %w", d.name, s, n, d.records, err)
		}
	}
	b.log("%-22s wall %6.2fs  cpu %6.2fs  rss %4d MiB  ratio %.2f", d.name, p.ours.wall.Seconds(), p.ours.cpu.Seconds(),
		p.ours.rss>>20, p.floor.cpu.Seconds()/p.ours.cpu.Seconds())
	return p, nil, nil
}

// profile is the environment in which a run writes its profile.
func (b *bench) profile(name string) []string {
	if b.profiles == "" {
		return nil
	}
	file := fmt.Sprintf("%s-%d.pprof", strings.ReplaceAll(name, " ", "-"), b.runs)
	return []string{"BENCH_PROFILE=" + filepath.Join(b.profiles, file)}
}

func (b *bench) floorRun(ctx context.Context, n int) (usage, error) {
	c, err := start(ctx, b.dir, b.floor, nil, "-addr", b.redis.Addr, "-key", list)
	if err != nil {
		return usage{}, err
	}
	u, err := c.wait()
	var got int
	if _, scan := fmt.Sscan(c.out.String(), &got); err == nil && (scan != nil || got != n) {
		err = fmt.Errorf("the floor counted %d of %d records", got, n)
	}
	return u, err
}

func median[T any](list []T, of func(T) float64) float64 {
	v := make([]float64, len(list))
	for i := range list {
		v[i] = of(list[i])
	}
	slices.Sort(v)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// until calls f every few milliseconds until it says that it is done.
func until(ctx context.Context, limit time.Duration, f func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		if ok, err := f(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
	}
}
