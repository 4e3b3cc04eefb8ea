package main

import (
	"context"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/redis/rueidis"
	"go.mongodb.org/mongo-driver/bson"

	"sluice/internal/testenv/launch"
)

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
	kinds := []faultKind{
		{name: "redis: kill -9 and restart", target: server, least: 0, most: 2 * time.Second,
			apply: func(context.Context, *rand.Rand) error { return w.redis.Kill() }, heal: w.redis.Start},
		{name: "redis: frozen", target: server, least: 500 * time.Millisecond, most: 2 * lease,
			apply: func(context.Context, *rand.Rand) error { return w.redis.Pause() },
			heal:  func(context.Context) error { return w.redis.Continue() }},
		{name: "redis: scripts flushed", target: server, least: 500 * time.Millisecond, most: 500 * time.Millisecond,
			met: w.refusedByRedis("NOSCRIPT"), apply: run("SCRIPT", "FLUSH", "SYNC")},
		// Gateways cannot write, pumps must be able to drain: what counts is scripts that ran meanwhile.
		{name: "redis: at maxmemory", target: server, least: time.Second, most: 4 * time.Second, met: w.scriptsRun,
			apply: run("CONFIG", "SET", "maxmemory", "1mb"), heal: heal("CONFIG", "SET", "maxmemory", "0")},
		// Nothing listens there, so that it keeps its data; afterwards it is another server to those who look.
		{name: "redis: read-only, then promoted", target: server, least: time.Second, most: 3 * time.Second,
			met:   w.refusedByRedis("READONLY"),
			apply: run("REPLICAOF", "127.0.0.1", "1"), heal: heal("REPLICAOF", "NO", "ONE")},
		{name: "redis: NOREPLICAS", target: server, least: time.Second, most: 3 * time.Second, met: w.refusedByRedis("NOREPLICAS"),
			apply: run("CONFIG", "SET", "min-replicas-to-write", "1"), heal: heal("CONFIG", "SET", "min-replicas-to-write", "0")},
		{name: "redis: password changed", target: server, least: time.Second, most: 3 * time.Second, met: w.refusedByRedis("WRONGPASS"),
			apply: func(ctx context.Context, _ *rand.Rand) error {
				if err := w.command(ctx, "ACL", "SETUSER", pumpUser, "resetpass", ">another"); err != nil {
					return err
				}
				return w.command(ctx, "CLIENT", "KILL", "USER", pumpUser)
			},
			heal: heal("ACL", "SETUSER", pumpUser, "resetpass", ">"+pumpPassword)},
	}
	if w.second != nil {
		return nil // cases do to a pair what they want to
	}
	return kinds
}

// refusedByRedis counts refusals of a kind that pumps have got.
func (w *world) refusedByRedis(code string) func(context.Context) int64 {
	return func(ctx context.Context) int64 {
		info, err := w.info(ctx, "errorstats")
		if err != nil {
			return 0
		}
		return figure(info["errorstat_"+code], "count") - w.gen.refusals(code)
	}
}

// scriptsRun counts what pumps did: the suite runs its own script by another command.
func (w *world) scriptsRun(ctx context.Context) int64 {
	info, err := w.info(ctx, "commandstats")
	if err != nil {
		return 0
	}
	return figure(info["cmdstat_evalsha"], "calls")
}

// blocked is in an answer of OpenSearch whose index takes no writes.
const blocked = "cluster_block_exception"

// ofSearch are faults of the indices.
func (w *world) ofSearch() []faultKind {
	block := func(ctx context.Context, value string) error {
		_, err := w.stores.ask(ctx, http.MethodPut, "/"+w.stores.index+"-*/_settings", `{"index.blocks.read_only_allow_delete":`+value+`}`)
		return err
	}
	gate := w.ways["search"].gate
	return []faultKind{{name: "search: index read-only, as on a full disk", target: "search index", least: 2 * time.Second, most: 7 * time.Second,
		met:   func(context.Context) int64 { return gate.Seen(blocked) },
		apply: func(ctx context.Context, _ *rand.Rand) error { return block(ctx, "true") },
		heal:  func(ctx context.Context) error { return block(ctx, "null") }}}
}

// ofMongo are faults of a replica set.
func (w *world) ofMongo() []faultKind {
	if len(w.mongo) < 3 {
		return nil
	}
	const set = "mongo set"
	var hurt []*launch.Server
	other := func(ctx context.Context, n int) (out []*launch.Server) {
		for p, i := w.mongo.primary(ctx), 0; len(out) < n && i < len(w.mongo); i++ {
			if w.mongo[i] != p {
				out = append(out, w.mongo[i])
			}
		}
		return out
	}
	freeze := func(n int) func(context.Context, *rand.Rand) error {
		return func(ctx context.Context, _ *rand.Rand) error {
			hurt = other(ctx, n)
			for _, m := range hurt {
				if err := m.Pause(); err != nil {
					return err
				}
			}
			return nil
		}
	}
	thaw := func(context.Context) error {
		for _, m := range hurt {
			if err := m.Continue(); err != nil {
				return err
			}
		}
		return nil
	}
	return []faultKind{
		{name: "mongo: step-down", target: set, apply: func(ctx context.Context, _ *rand.Rand) error {
			if p := w.mongo.primary(ctx); p != nil {
				// It may answer by closing the connection.
				_ = launch.AskMongo(ctx, p.Addr, bson.D{{Key: "replSetStepDown", Value: 5}, {Key: "force", Value: true}}, nil)
			}
			return nil
		}},
		{name: "mongo: primary killed", target: set, least: time.Second, most: 6 * time.Second,
			apply: func(ctx context.Context, _ *rand.Rand) error {
				if hurt = nil; w.mongo.primary(ctx) == nil {
					return nil
				}
				hurt = []*launch.Server{w.mongo.primary(ctx)}
				return hurt[0].Kill()
			},
			heal: func(ctx context.Context) error {
				for _, m := range hurt {
					if err := m.Start(ctx); err != nil {
						return err
					}
				}
				return nil
			}},
		{name: "mongo: one member frozen", target: set, least: 2 * time.Second, most: 6 * time.Second, apply: freeze(1), heal: thaw},
		// No majority confirms, though the primary has it: an unknown outcome.
		{name: "mongo: two members frozen", target: set, least: 2 * time.Second, most: 6 * time.Second, apply: freeze(2), heal: thaw},
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
