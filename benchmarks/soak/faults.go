package main

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/redis/rueidis"

	"sluice/internal/fault"
)

// faultKind is one way to hurt one target. A target has one fault at a time.
type faultKind struct {
	name        string
	target      string
	least, most time.Duration // how long it lasts
	apply       func(ctx context.Context, rnd *rand.Rand) error
	heal        func(ctx context.Context) error
}

// faults are those to inject.
func (w *world) faults() (out []faultKind) {
	for _, name := range sortedKeys(w.ways) {
		out = append(out, w.onTheWay(name)...)
		if w.ways[name].gate != nil {
			out = append(out, w.ofHTTP(name)...)
		}
	}
	for _, p := range w.pumps {
		out = append(out, w.ofPump(p)...)
	}
	out = append(out, w.ofRedis()...)
	return slices.DeleteFunc(out, func(k faultKind) bool { return w.opts.only != nil && !w.opts.only.MatchString(k.name) })
}

// onTheWay are faults of the connections to a server.
func (w *world) onTheWay(name string) (out []faultKind) {
	y := w.ways[name]
	add := func(kind string, least, most time.Duration, rule func(*rand.Rand) fault.Rule) {
		out = append(out, faultKind{name: name + ": " + kind, target: name + " way", least: least, most: most,
			apply: func(_ context.Context, rnd *rand.Rand) error { y.proxy.Set(rule(rnd)); return nil },
			heal:  func(context.Context) error { y.proxy.Set(fault.Rule{}); return nil }})
	}
	add("reply cut in its middle", time.Second, 3*time.Second, func(rnd *rand.Rand) fault.Rule {
		return fault.Rule{Cut: 0.02 + 0.3*rnd.Float64()}
	})
	add("request carried out, reply lost", time.Second, 4*time.Second, func(*rand.Rand) fault.Rule { return fault.Rule{Deaf: true} })
	add("black hole", time.Second, 6*time.Second, func(*rand.Rand) fault.Rule { return fault.Rule{Silent: true} })
	add("latency", time.Second, 5*time.Second, func(rnd *rand.Rand) fault.Rule {
		return fault.Rule{Latency: time.Duration(50+rnd.IntN(2500)) * time.Millisecond}
	})
	// Longer than a call may take and than a lease: what a pump gave up takes effect after another took over.
	add("requests delivered late", 2*time.Second, 8*time.Second, func(rnd *rand.Rand) fault.Rule {
		return fault.Rule{Hold: 3*time.Second + time.Duration(rnd.IntN(5000))*time.Millisecond}
	})
	add("slow drip", time.Second, 4*time.Second, func(rnd *rand.Rand) fault.Rule { return fault.Rule{Drip: 1 + rnd.IntN(200)} })
	out = append(out, faultKind{name: name + ": connections reset", target: name + " way",
		apply: func(context.Context, *rand.Rand) error { y.proxy.Reset(); return nil }})
	return out
}

// ofHTTP are faults of a server, or of a proxy before it, that speaks HTTP.
func (w *world) ofHTTP(name string) (out []faultKind) {
	y := w.ways[name]
	add := func(kind string, rule fault.HTTPRule) {
		out = append(out, faultKind{name: name + ": " + kind, target: name + " server", least: time.Second, most: 5 * time.Second,
			apply: func(_ context.Context, rnd *rand.Rand) error {
				r := rule
				r.Chance = 0.3 + 0.7*rnd.Float64()
				y.gate.Set(r)
				return nil
			},
			heal: func(context.Context) error { y.gate.Set(fault.HTTPRule{}); return nil }})
	}
	add("503", fault.HTTPRule{Status: 503})
	add("429 with Retry-After", fault.HTTPRule{Status: 429, RetryAfter: time.Second})
	add("500", fault.HTTPRule{Status: 500})
	add("400 of a proxy", fault.HTTPRule{Status: 400})
	add("500 after it was stored", fault.HTTPRule{Status: 500, After: true})
	add("503 after it was stored", fault.HTTPRule{Status: 503, After: true})
	add("reset after it was stored", fault.HTTPRule{After: true})
	add("reset before", fault.HTTPRule{})
	add("answer cut in its middle", fault.HTTPRule{Half: true})
	if name == "search" { // its requests can be made smaller; an object of the archive cannot
		add("413 for large requests", fault.HTTPRule{Status: 413, MaxBody: largeRequest})
	}
	return out
}

// largeRequest is above every single record, so that a request can always be made small enough.
const largeRequest = 16 << 10

// ofPump are faults of a process.
func (w *world) ofPump(p *pump) []faultKind {
	start := func(context.Context) error { return p.start() }
	return []faultKind{
		{name: "pump: kill -9", target: p.name, least: 0, most: 4 * time.Second, heal: start,
			apply: func(context.Context, *rand.Rand) error { return p.kill() }},
		{name: "pump: kill -9, at once started", target: p.name, least: 0, most: 50 * time.Millisecond, heal: start,
			apply: func(context.Context, *rand.Rand) error { return p.kill() }},
		{name: "pump: frozen past its lease", target: p.name, least: lease + lease/2, most: 4 * lease,
			apply: func(context.Context, *rand.Rand) error { return p.freeze() },
			heal:  func(context.Context) error { p.thaw(); return nil }},
		{name: "pump: SIGTERM, and killed when busy", target: p.name, least: 0, most: time.Second, heal: start,
			apply: func(_ context.Context, rnd *rand.Rand) error {
				return p.hurry(time.Duration(rnd.IntN(1500)) * time.Millisecond)
			}},
	}
}

// ofRedis are faults of the server itself.
func (w *world) ofRedis() []faultKind {
	run := func(args ...string) func(context.Context, *rand.Rand) error {
		return func(ctx context.Context, _ *rand.Rand) error { return w.command(ctx, args...) }
	}
	heal := func(args ...string) func(context.Context) error {
		return func(ctx context.Context) error { return w.command(ctx, args...) }
	}
	const server = "redis server"
	return []faultKind{
		{name: "redis: kill -9 and restart", target: server, least: 0, most: 2 * time.Second,
			apply: func(context.Context, *rand.Rand) error { return w.redis.Kill() }, heal: w.redis.Start},
		{name: "redis: frozen", target: server, least: 500 * time.Millisecond, most: 2 * lease,
			apply: func(context.Context, *rand.Rand) error { return w.redis.Pause() },
			heal:  func(context.Context) error { return w.redis.Continue() }},
		{name: "redis: scripts flushed", target: server, apply: run("SCRIPT", "FLUSH", "SYNC")},
		// Gateways cannot write, pumps must be able to drain.
		{name: "redis: at maxmemory", target: server, least: time.Second, most: 4 * time.Second,
			apply: run("CONFIG", "SET", "maxmemory", "1mb"), heal: heal("CONFIG", "SET", "maxmemory", "0")},
		// Nothing listens there, so that it keeps its data; afterwards it is another server to those who look.
		{name: "redis: read-only, then promoted", target: server, least: time.Second, most: 3 * time.Second,
			apply: run("REPLICAOF", "127.0.0.1", "1"), heal: heal("REPLICAOF", "NO", "ONE")},
	}
}

// command sends one to Redis, again while its connection is one that a restart has ended.
func (w *world) command(ctx context.Context, args ...string) error {
	for try := 0; ; try++ {
		err := w.client.Do(ctx, w.client.B().Arbitrary(args...).Build()).Error()
		if _, refused := rueidis.IsRedisErr(err); err == nil || refused || try == 20 {
			return err
		}
		time.Sleep(pushEvery)
	}
}
