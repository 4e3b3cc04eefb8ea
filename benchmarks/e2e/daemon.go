package main

import (
	"context"
	"fmt"
	"time"

	"sluice/benchmarks/sample"
)

// daemon runs sluice without --once while do works with it, and ends it in order.
func (b *bench) daemon(ctx context.Context, sinks, keys []string, do func(*run, *child) error) (u usage, missing []string, err error) {
	r, err := b.newRun(sinks, keys...)
	if err != nil || len(r.missing) > 0 {
		return u, r.missing, err
	}
	defer func() {
		if e := r.drop(ctx); err == nil {
			err = e
		}
	}()
	c, err := start(ctx, r.dir, b.sluice, nil, "run", "--config", "sluice.yaml")
	if err != nil {
		return u, nil, err
	}
	defer c.kill()
	if err := do(r, c); err != nil {
		return u, nil, fmt.Errorf("%w\n%s", err, tail(c.errs.String()))
	}
	u, err = c.end()
	return u, nil, err
}

// feed is traffic of a constant rate.
type feed struct {
	name    string
	rate    int // records a second
	time    time.Duration
	lists   int
	options sample.Options
}

// trickle pushes traffic into aggregates, and tells what both sides of the connection to MongoDB pay for it.
func (b *bench) trickle(ctx context.Context, f feed) (result, error) {
	out := result{Name: f.name, Records: int(float64(f.rate) * f.time.Seconds())}
	if err := b.clean(ctx); err != nil {
		return out, err
	}
	u, missing, err := b.daemon(ctx, []string{"aggregate"}, nil, func(r *run, c *child) error {
		updates, err := b.mongoUpdates(ctx)
		if err != nil {
			return err
		}
		mongod := b.mongodCPU()
		if err := b.push(ctx, f, out.Records); err != nil {
			return err
		}
		err = until(ctx, time.Minute, func() (bool, error) {
			n := 0
			for i := range f.lists {
				m, err := b.effective(ctx, f.list(i), "aggregate")
				if err != nil {
					return false, err
				}
				n += m
			}
			return n >= out.Records, nil
		})
		if err != nil {
			return fmt.Errorf("%s: what was pushed did not take effect: %w", f.name, err)
		}
		after, err := b.mongoUpdates(ctx)
		out.Extra = map[string]float64{
			"mongod CPU s":            (b.mongodCPU() - mongod).Seconds(),
			"updates/s of aggregates": float64(after-updates) / f.time.Seconds(),
		}
		return err
	})
	out.Wall, out.CPU, out.RSS = u.wall.Seconds(), u.cpu.Seconds(), float64(u.rss)/(1<<20)
	out.Missing = missing
	if out.CPU > 0 {
		out.Rate = float64(out.Records) / out.CPU
		out.Allocs = float64(u.allocations.Count) / float64(out.Records)
		out.Garbage = float64(u.allocations.Bytes) / float64(out.Records)
	}
	return out, err
}

// list is the name of a list of the feed.
func (f feed) list(i int) string {
	if i == 0 {
		return list
	}
	return fmt.Sprintf("%s_%d", list, i-1)
}

// push writes n records at the feed's rate, list by list as a gateway does.
func (b *bench) push(ctx context.Context, f feed, n int) error {
	f.options.Start = time.Now().UTC()
	m, err := sample.New(f.options)
	if err != nil {
		return err
	}
	const step = 50 * time.Millisecond
	tick := time.NewTicker(step)
	defer tick.Stop()
	began := time.Now()
	for i, turn := 0, 0; i < n; turn++ {
		due := min(n, int(float64(f.rate)*time.Since(began).Seconds()))
		var values []any
		for ; i < due; i++ {
			values = append(values, string(m.Next(i)))
		}
		if len(values) > 0 {
			if err := b.client.RPush(ctx, f.list(turn%f.lists), values...).Err(); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// idle is what a pump costs that has nothing to do.
func (b *bench) idle(ctx context.Context, span time.Duration) (result, error) {
	out := result{Name: "idle"}
	if err := b.clean(ctx); err != nil {
		return out, err
	}
	_, _, err := b.daemon(ctx, []string{"discard"}, nil, func(_ *run, c *child) error {
		const settle = 3 * time.Second
		if err := pause(ctx, settle); err != nil {
			return err
		}
		before := c.cpu()
		if err := pause(ctx, span); err != nil {
			return err
		}
		used := (c.cpu() - before).Seconds()
		out.Wall, out.CPU, out.RSS = span.Seconds(), used, float64(c.rss())/(1<<20)
		out.Extra = map[string]float64{"% of a core": 100 * used / span.Seconds()}
		return nil
	})
	return out, err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// first is the time from the start of the process until the first record is settled.
func (b *bench) first(ctx context.Context, rounds int) (result, error) {
	out := result{Name: "start to first record", Records: 1}
	var took []float64
	for range rounds {
		if err := b.fill(ctx, 1, sample.Options{}); err != nil {
			return out, err
		}
		if err := b.restore(ctx); err != nil {
			return out, err
		}
		u, _, err := b.daemon(ctx, []string{"discard"}, nil, func(_ *run, c *child) error {
			err := until(ctx, 30*time.Second, func() (bool, error) {
				n, err := b.effective(ctx, list, "discard")
				return n == 1, err
			})
			took = append(took, time.Since(c.started).Seconds())
			return err
		})
		if err != nil {
			return out, err
		}
		out.RSS = float64(u.rss) / (1 << 20)
	}
	out.Wall = median(took, func(s float64) float64 { return s })
	return out, nil
}

// down compares a sink's rate while another cannot be reached with its rate alone.
func (b *bench) down(ctx context.Context, n, rounds int) (result, error) {
	out := result{Name: downName, Records: n}
	if err := b.fill(ctx, n, sample.Options{}); err != nil {
		return out, err
	}
	type both struct{ alone, beside usage }
	var all []both
	for range rounds {
		var v both
		for _, t := range []struct {
			u     *usage
			sinks []string
		}{{&v.alone, []string{"csv-none"}}, {&v.beside, []string{"csv-none", "down"}}} {
			if err := b.restore(ctx); err != nil {
				return out, err
			}
			if err := b.besideTime(ctx, n, t.sinks, t.u); err != nil {
				return out, err
			}
		}
		all = append(all, v)
	}
	out.Wall = median(all, func(v both) float64 { return v.beside.wall.Seconds() })
	out.CPU = median(all, func(v both) float64 { return v.beside.cpu.Seconds() })
	out.RSS = median(all, func(v both) float64 { return float64(v.beside.rss) / (1 << 20) })
	out.Rate = float64(n) / out.CPU
	out.Extra = map[string]float64{
		"wall, alone/beside": median(all, func(v both) float64 { return v.alone.wall.Seconds() / v.beside.wall.Seconds() }),
		"CPU, alone/beside":  median(all, func(v both) float64 { return v.alone.cpu.Seconds() / v.beside.cpu.Seconds() }),
	}
	return out, nil
}

// besideTime measures until the sink csv-none has settled everything.
func (b *bench) besideTime(ctx context.Context, n int, sinks []string, u *usage) error {
	keys := []string{"pipeline: {shutdown_timeout: 1s}"}
	_, _, err := b.daemon(ctx, sinks, keys, func(_ *run, c *child) error {
		err := until(ctx, 2*time.Minute, func() (bool, error) {
			got, err := b.effective(ctx, list, "csv-none")
			return got == n, err
		})
		*u = usage{wall: time.Since(c.started), cpu: c.cpu(), rss: status(c.cmd.Process.Pid, "VmHWM")}
		return err
	})
	return err
}
