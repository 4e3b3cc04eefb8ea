package main

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/rueidis"

	"sluice/internal/fault"
)

func redisCases() []scenario {
	return []scenario{
		{name: "LOADING", pumps: 2,
			shape: shape{redis: []string{"--key-load-delay", "400", "--loading-process-events-interval-bytes", "1024"}, unbounded: true},
			means: "Redis is killed and reads a long file for some seconds, in which it answers -LOADING to all",
			run:   slowLoading},
		{name: "at maxmemory from a cold start", pumps: 2, rate: 4000,
			shape: shape{idle: true, redis: []string{"--maxmemory", "24mb", "--maxmemory-policy", "noeviction"}},
			means: "gateways write until Redis refuses them with -OOM; only then the first pumps ever start, and must make room",
			run:   coldAtMaxmemory},
		{name: "volatile-lru with the gateway's own keys", long: true, pumps: 1, rate: 1500,
			shape: shape{Spool: "dir", guard: "{memory: 30}", redis: []string{"--maxmemory", "40mb", "--maxmemory-policy", "volatile-lru",
				"--appendfsync", "everysec"}},
			means: "two sinks are down while more is pushed than Redis holds; none of the gateway's 2,000 keys, which have a TTL, is evicted",
			run:   volatileLRU},
	}
}

func slowLoading(ctx context.Context, w *world) error {
	for i := range 20 { // what the file has beside ours
		cmds := make(rueidis.Commands, 0, 500)
		for j := range 500 {
			cmds = append(cmds, w.client.B().Set().Key(fmt.Sprintf("ballast:%d:%d", i, j)).Value("x").Build())
		}
		for _, r := range w.client.DoMulti(ctx, cmds...) {
			if err := r.Error(); err != nil {
				return err
			}
		}
	}
	return w.load(ctx, func(ctx context.Context) error {
		for range 2 {
			if err := w.pause(ctx, 2*time.Second); err != nil {
				return err
			}
			if err := w.redis.Kill(); err != nil {
				return err
			}
			if err := w.redis.Start(ctx); err != nil {
				return err
			}
			var n int64
			err := w.await(ctx, "Redis tells of itself", func() (bool, error) {
				info, err := w.info(ctx, "errorstats")
				n = figure(info["errorstat_LOADING"], "count")
				return err == nil, err
			})
			if err != nil {
				return err
			}
			w.count("LOADING", n)
		}
		return w.pause(ctx, time.Second)
	})
}

func coldAtMaxmemory(ctx context.Context, w *world) error {
	return w.load(ctx, func(ctx context.Context) error {
		err := w.await(ctx, "Redis is full", func() (bool, error) { return w.gen.refusals("OOM") > 3, nil })
		if err != nil {
			return err
		}
		w.count("OOM before the first start", w.gen.refusals("OOM"))
		if err := w.startAll(); err != nil {
			return err
		}
		before := w.gen.pushed()
		return w.await(ctx, "gateways can write again", func() (bool, error) { return w.gen.pushed() > before+5, nil })
	})
}

// sessions are the gateway's own keys.
const sessions = 2000

func volatileLRU(ctx context.Context, w *world) error {
	value := make([]byte, 2000)
	for i := range sessions {
		c := w.client.B().Set().Key(fmt.Sprintf("apikey-%d", i)).Value(rueidis.BinaryString(value)).Ex(time.Hour).Build()
		if err := w.client.Do(ctx, c).Error(); err != nil {
			return err
		}
	}
	down := func(r fault.Rule) {
		w.ways["raw"].proxy.Set(r)
		w.ways["search"].proxy.Set(r)
	}
	err := w.load(ctx, func(ctx context.Context) error {
		down(fault.Rule{Refuse: true})
		defer down(fault.Rule{})
		return w.pause(ctx, 22*time.Second)
	})
	if err != nil {
		return err
	}
	w.count("batches in the spool, since Redis ran short of room", w.found.Spooled)
	if err := w.settled(ctx); err != nil {
		return err
	}
	keys, err := w.client.Do(ctx, w.client.B().Keys().Pattern("apikey-*").Build()).AsStrSlice()
	if err != nil {
		return err
	}
	info, err := w.info(ctx, "stats")
	if err != nil {
		return err
	}
	if len(keys) != sessions || info["evicted_keys"] != "0" {
		w.violated("of %d keys of the gateway %d are left, %s keys were evicted", sessions, len(keys), info["evicted_keys"])
	}
	return w.client.Do(ctx, w.client.B().Del().Key(keys...).Build()).Error()
}
