package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/redis/rueidis"

	"sluice/internal/fault"
	"sluice/internal/testenv/install"
	"sluice/internal/testenv/launch"
)

// world is everything a soak runs with: servers, ways to them, pumps, generator.
type world struct {
	opts   settings
	began  time.Time
	redis  *launch.Server
	client rueidis.Client // straight to Redis, past the proxy
	ways   map[string]*way
	stores *stores
	pumps  []*pump
	gen    *generator
	found  verdict
}

// way is how the pumps reach one server: a proxy of bytes, and behind it, for HTTP, a gate.
type way struct {
	proxy *fault.Proxy
	gate  *fault.Gate
}

// lease is short, so that take-overs are frequent and a pump can be frozen past it.
const lease = 2 * time.Second

func newWorld(ctx context.Context, o settings) (w *world, err error) {
	w = &world{opts: o, began: time.Now(), ways: map[string]*way{}, found: verdict{Faults: map[string]int{}, Violations: []string{}}}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	if w.stores, err = openStores(ctx); err != nil {
		return w, err
	}
	if err := w.startRedis(ctx); err != nil {
		return w, err
	}
	if err := w.openWays(); err != nil {
		return w, err
	}
	w.gen = newGenerator(w.client, o.seed)
	for i := range o.pumps {
		p, err := newPump(w, i)
		if err != nil {
			return w, err
		}
		w.pumps = append(w.pumps, p)
		if err := p.start(); err != nil {
			return w, err
		}
	}
	return w, nil
}

// startRedis starts a Redis that keeps what it acknowledged when it is killed.
func (w *world) startRedis(ctx context.Context) error {
	bin, err := install.RedisServer()
	if err != nil {
		return err
	}
	dir := filepath.Join(w.opts.dir, "redis")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if w.redis, err = launch.Redis(ctx, bin, dir, "--appendonly", "yes", "--appendfsync", "always"); err != nil {
		return err
	}
	w.client, err = rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{w.redis.Addr}, DisableCache: true,
		ForceSingleClient: true, DisableRetry: true})
	return err
}

// openWays puts a proxy before every server. Each sink has its own, so that faults meet them apart.
func (w *world) openWays() error {
	targets := map[string]string{
		"redis": w.redis.Addr, "dashboard": w.stores.mongoAddr, "raw": w.stores.mongoAddr,
		"search": host(w.stores.search), "archive": host(w.stores.endpoint),
	}
	for i, name := range sortedKeys(targets) {
		y, target, seed := &way{}, targets[name], w.opts.seed+uint64(i)
		w.ways[name] = y
		var err error
		if name == "search" || name == "archive" {
			if y.gate, err = fault.NewGate(target, seed); err != nil {
				return err
			}
			target = y.gate.Addr()
		}
		if y.proxy, err = fault.NewProxy(target, seed); err != nil {
			return err
		}
	}
	return nil
}

func host(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return address
	}
	return u.Host
}

func (w *world) heal() {
	for _, y := range w.ways {
		y.heal()
	}
	for _, p := range w.pumps {
		p.thaw()
	}
}

func (y *way) heal() {
	y.proxy.Set(fault.Rule{})
	if y.gate != nil {
		y.gate.Set(fault.HTTPRule{})
	}
}

func (w *world) hits() (n int64) {
	for _, y := range w.ways {
		n += y.proxy.Hits()
		if y.gate != nil {
			n += y.gate.Hits()
		}
	}
	return n
}

// close ends and removes everything.
func (w *world) close() error {
	var errs []error
	for _, p := range w.pumps {
		errs = append(errs, p.kill())
	}
	for _, y := range w.ways {
		if y.proxy != nil {
			errs = append(errs, y.proxy.Close())
		}
		if y.gate != nil {
			errs = append(errs, y.gate.Close())
		}
	}
	if w.client != nil {
		w.client.Close()
	}
	if w.redis != nil {
		errs = append(errs, w.redis.Kill())
	}
	if w.stores != nil {
		errs = append(errs, w.stores.remove())
	}
	return errors.Join(errs...)
}

// clock is the time since the beginning, for the timeline.
func (w *world) clock() string { return fmt.Sprintf("%7.1fs", time.Since(w.began).Seconds()) }

func unique() string { return fmt.Sprintf("soak%08x", rand.Uint32()) }

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
