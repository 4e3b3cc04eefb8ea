package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"time"

	"github.com/redis/rueidis"

	"sluice/internal/fault"
	"sluice/internal/record"
	"sluice/internal/testenv/launch"
)

// world is everything a soak runs with: servers, ways to them, pumps, generator.
type world struct {
	opts     settings
	began    time.Time
	redis    *launch.Server
	second   *launch.Server   // a Redis that follows the first, if the shape has one
	nodes    []*launch.Server // of a Cluster, in place of these
	watchers []*launch.Server // Sentinels
	secure   string           // where the first Redis takes TLS, if the shape has it
	broker   *launch.Server   // Kafka
	topic    string
	client   rueidis.Client // past the proxies of the pumps
	gateway  *fault.Proxy   // the client's way: it moves with the primary
	link     *fault.Proxy   // between the first Redis and the one that follows it
	mongo    mongoSet
	ways     map[string]*way
	stores   *stores
	pumps    []*pump
	gen      *generator
	found    verdict

	refused map[*debt]int           // what the store that refuses has not taken, by how often
	putBack map[record.ID]record.ID // new names of records whose letters were put back masked, and their old ones
	retried int                     // dead letters that were put back: taken again, for one sink
}

// way is how the pumps reach one server: a proxy of bytes, and behind it, for HTTP, a gate.
type way struct {
	proxy *fault.Proxy
	gate  *fault.Gate
}

// lease is short, so that take-overs are frequent and a pump can be frozen past it.
const lease = 2 * time.Second

func newWorld(ctx context.Context, o settings) (w *world, err error) {
	w = &world{opts: o, began: time.Now(), ways: map[string]*way{}, found: newVerdict()}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	uri, err := w.startMongo(ctx)
	if err != nil {
		return w, err
	}
	if w.stores, err = openStores(ctx, uri); err != nil {
		return w, err
	}
	if err := w.startRedis(ctx); err != nil {
		return w, err
	}
	if err := w.openWays(); err != nil {
		return w, err
	}
	if err := w.startBus(ctx); err != nil {
		return w, err
	}
	w.gen = newGenerator(w.client, o.seed)
	w.gen.unique = o.shape.unique
	if o.shape.ttl > 0 {
		w.gen.ttl = o.shape.ttl
	}
	if w.second != nil || len(w.nodes) > 0 {
		w.gen.settled = replicated
	}
	w.gen.spread, w.gen.analyticsOnly = len(w.nodes) > 0, o.shape.Bus
	for i := range o.pumps {
		p, err := newPump(w, i)
		if err != nil {
			return w, err
		}
		w.pumps = append(w.pumps, p)
		if err := w.mountSmall(p); err != nil {
			return w, err
		}
		if o.shape.idle {
			continue
		}
		if err := p.start(); err != nil {
			return w, err
		}
	}
	return w, nil
}

// openWays puts a proxy before every server. Each sink has its own, so that faults meet them apart.
func (w *world) openWays() error {
	targets := map[string]string{"search": host(w.stores.search), "archive": host(w.stores.endpoint)}
	switch w.opts.shape.Mode {
	case bySentinel, asCluster: // which pumps find by themselves, past any proxy
	case withTLS:
		targets["redis"] = w.secure
	default:
		targets["redis"] = w.redis.Addr
	}
	if w.opts.shape.mongo != "set" { // whose members a driver finds by themselves, past any proxy
		targets["dashboard"], targets["raw"] = w.stores.mongoAddr, w.stores.mongoAddr
	}
	for i, name := range sortedKeys(targets) {
		y, target, seed := &way{}, targets[name], w.opts.seed+uint64(i)
		w.ways[name] = y
		var err error
		if name == "search" || name == "archive" {
			if y.gate, err = fault.NewGate(target, seed); err != nil {
				return err
			}
			y.gate.Watch(blocked)
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
	for _, p := range []*fault.Proxy{w.gateway, w.link} {
		if p != nil {
			errs = append(errs, p.Close())
		}
	}
	for _, r := range slices.Concat(w.nodes, w.watchers, []*launch.Server{w.redis, w.second, w.broker}) {
		if r != nil {
			errs = append(errs, r.Kill())
		}
	}
	if w.stores != nil {
		errs = append(errs, w.stores.remove())
	}
	for _, m := range w.mongo {
		errs = append(errs, m.Kill())
	}
	for _, p := range w.pumps {
		errs = append(errs, p.unmount(), p.log.Close())
	}
	return errors.Join(errs...)
}

// clock is the time since the beginning, for the timeline.
func (w *world) clock() string { return fmt.Sprintf("%7.1fs", time.Since(w.began).Seconds()) }

func unique() string { return fmt.Sprintf("soak%08x", rand.Uint32()) }

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
