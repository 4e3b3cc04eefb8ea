package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sluice/internal/fault"
	"sluice/internal/testenv/launch"
)

func topologyCases() []scenario {
	return []scenario{
		{name: "Sentinel: primary killed, then frozen", long: true, pumps: 2, shape: shape{Mode: bySentinel},
			means: "three Sentinels promote the replica each time; the frozen one wakes up and takes itself for the primary until they say no. " +
				"What the replica had confirmed to the gateway is owed",
			run: sentinelFailover},
		{name: "Cluster: a primary killed, slots moved", long: true, pumps: 2, shape: shape{Mode: asCluster},
			means: "three primaries with a replica each; one is killed under the drain, and the slots of three lists move to other nodes while a pump is killed",
			run:   clusterChanges},
		{name: "TLS to Redis", pumps: 2, shape: shape{Mode: withTLS},
			means: "connections are cut, reset, held back and silent in the midst of TLS records, and Redis is killed",
			run:   tlsFaults},
	}
}

// sentinelFailover takes the primary away twice.
func sentinelFailover(ctx context.Context, w *world) error {
	return w.load(ctx, func(ctx context.Context) error {
		for _, how := range []string{"primary killed", "primary frozen, and woken up when another is the primary"} {
			if err := w.pause(ctx, 3*time.Second); err != nil {
				return err
			}
			if err := w.catch(ctx, how); err != nil {
				return err
			}
			old, killed := w.redis, how == "primary killed"
			away, back := old.Pause, func(context.Context) error { return old.Continue() }
			if killed {
				away, back = old.Kill, old.Start
			}
			if err := away(); err != nil {
				return err
			}
			err := w.await(ctx, "the Sentinels name the replica", func() (bool, error) {
				at, err := w.namedPrimary(ctx)
				return at == w.second.Addr, err
			})
			if err != nil {
				return err
			}
			w.redis, w.second = w.second, w.redis
			w.gateway.Retarget(w.redis.Addr)
			if err := w.pumps[0].kill(); err != nil {
				return err
			}
			if err := errors.Join(w.pause(ctx, time.Second), w.pumps[0].start(), w.pause(ctx, time.Second)); err != nil {
				return err
			}
			if err := back(ctx); err != nil {
				return err
			}
			if err := w.inStep(ctx); err != nil {
				return err
			}
		}
		return w.pause(ctx, 3*time.Second)
	})
}

// clusterNode is a line of CLUSTER NODES.
type clusterNode struct {
	id, addr, primary string // primary is the ID of the node it follows, or -
}

// clusterNodes asks a node that is up.
func (w *world) clusterNodes(ctx context.Context, but *launch.Server) (out []clusterNode, err error) {
	var text string
	for _, n := range w.nodes {
		if n == but {
			continue
		}
		if text, err = w.on(ctx, n.Addr, "CLUSTER", "NODES"); err == nil {
			break
		}
	}
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) >= 8 && !strings.Contains(f[2], "fail") {
			addr, _, _ := strings.Cut(f[1], "@")
			out = append(out, clusterNode{f[0], addr, f[3]})
		}
	}
	return out, err
}

// on sends a command to one server and returns what it answered as text.
func (w *world) on(ctx context.Context, addr string, args ...string) (string, error) {
	c, err := connect(addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	m, err := c.Do(ctx, c.B().Arbitrary(args...).Build()).ToMessage()
	if err != nil {
		return "", fmt.Errorf("%s at %s: %w", args[0], addr, err)
	}
	if n, err := m.AsInt64(); err == nil {
		return fmt.Sprint(n), nil
	}
	text, err := m.ToString()
	return strings.TrimPrefix(text, "txt:"), err // of a verbatim string
}

// ownerOf is the primary that has a list's slot.
func (w *world) ownerOf(ctx context.Context, name string, but *launch.Server) (clusterNode, error) {
	nodes, err := w.clusterNodes(ctx, but)
	for _, n := range nodes {
		if n.primary != "-" {
			continue
		}
		if _, err = w.on(ctx, n.addr, "EXISTS", name); err == nil { // the others say where it is
			return n, nil
		}
	}
	return clusterNode{}, errors.Join(err, errors.New("no node has the slot of "+name))
}

func clusterChanges(ctx context.Context, w *world) error {
	return w.load(ctx, func(ctx context.Context) error {
		if err := w.pause(ctx, 4*time.Second); err != nil {
			return err
		}
		if err := w.killNode(ctx, list+"_0"); err != nil {
			return err
		}
		for i := range 3 {
			if err := w.pause(ctx, time.Second); err != nil {
				return err
			}
			if err := w.moveSlot(ctx, fmt.Sprintf("%s_%d", list, i*3), w.pumps[i%len(w.pumps)]); err != nil {
				return err
			}
		}
		return w.pause(ctx, 3*time.Second)
	})
}

// killNode kills the primary that has a list until its replica has taken over.
func (w *world) killNode(ctx context.Context, name string) error {
	from, err := w.ownerOf(ctx, name, nil)
	if err != nil {
		return err
	}
	node := w.nodes[slices.IndexFunc(w.nodes, func(n *launch.Server) bool { return n.Addr == from.addr })]
	if err := errors.Join(w.catch(ctx, "primary of a Cluster killed"), node.Kill()); err != nil {
		return err
	}
	err = w.await(ctx, "its replica has taken over", func() (bool, error) {
		to, err := w.ownerOf(ctx, name, node)
		return err == nil && to.addr != from.addr, nil
	})
	if err != nil {
		return err
	}
	if err := errors.Join(w.pause(ctx, 2*time.Second), node.Start(ctx)); err != nil {
		return err
	}
	return w.await(ctx, "the Cluster is whole", func() (bool, error) {
		nodes, err := w.clusterNodes(ctx, nil)
		if err != nil || len(nodes) != len(w.nodes) {
			return false, err
		}
		for _, n := range nodes {
			text, err := w.on(ctx, n.addr, "INFO", "replication")
			if err != nil || n.primary == "-" && !strings.Contains(text, "state=online") {
				return false, err
			}
		}
		return true, nil
	})
}

// moveSlot moves a list's slot to another primary as redis-cli does, key by key, with a pump that dies in the midst of it.
func (w *world) moveSlot(ctx context.Context, name string, p *pump) error {
	from, err := w.ownerOf(ctx, name, nil)
	if err != nil {
		return err
	}
	slot, err := w.on(ctx, from.addr, "CLUSTER", "KEYSLOT", name)
	if err != nil {
		return err
	}
	nodes, err := w.clusterNodes(ctx, nil)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(nodes, func(n clusterNode) bool { return n.primary == "-" && n.addr != from.addr })
	if i < 0 {
		return errors.New("there is no other primary")
	}
	to := nodes[i]
	if err := w.catch(ctx, "slot moved under a drain"); err != nil {
		return err
	}
	_, err = w.on(ctx, to.addr, "CLUSTER", "SETSLOT", slot, "IMPORTING", from.id)
	if err == nil {
		_, err = w.on(ctx, from.addr, "CLUSTER", "SETSLOT", slot, "MIGRATING", to.id)
	}
	if err != nil {
		return err
	}
	host, port, _ := strings.Cut(to.addr, ":")
	for moved := 0; ; moved++ {
		keys, err := w.keysInSlot(ctx, from.addr, slot)
		if err != nil {
			return err
		}
		if len(keys) == 0 {
			break
		}
		if _, err := w.on(ctx, from.addr, "MIGRATE", host, port, keys[0], "0", "5000"); err != nil {
			return err
		}
		if moved == 1 { // some of a list's keys are here, some there
			if err := errors.Join(p.kill(), w.pause(ctx, time.Second), p.start()); err != nil {
				return err
			}
		}
	}
	for _, at := range []string{to.addr, from.addr} {
		if _, err := w.on(ctx, at, "CLUSTER", "SETSLOT", slot, "NODE", to.id); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) keysInSlot(ctx context.Context, addr, slot string) ([]string, error) {
	c, err := connect(addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Do(ctx, c.B().Arbitrary("CLUSTER", "GETKEYSINSLOT", slot, "1").Build()).AsStrSlice()
}

// tlsFaults hurts connections that are encrypted.
func tlsFaults(ctx context.Context, w *world) error {
	proxy := w.ways["redis"].proxy
	return w.load(ctx, func(ctx context.Context) error {
		for _, f := range []struct {
			kind string
			rule fault.Rule
		}{
			{"reply cut in its middle", fault.Rule{Cut: 0.3}},
			{"request carried out, reply lost", fault.Rule{Deaf: true}},
			{"black hole", fault.Rule{Silent: true}},
			{"latency", fault.Rule{Latency: 400 * time.Millisecond}},
			{"requests delivered late", fault.Rule{Hold: 3 * time.Second}},
			{"slow drip", fault.Rule{Drip: 50}},
		} {
			if err := w.pause(ctx, time.Second); err != nil {
				return err
			}
			if err := w.obstruct(ctx, f.kind, proxy, f.rule, 2*time.Second); err != nil {
				return err
			}
		}
		if err := w.pause(ctx, time.Second); err != nil {
			return err
		}
		if err := errors.Join(w.catch(ctx, "Redis killed"), w.redis.Kill(), w.redis.Start(ctx)); err != nil {
			return err
		}
		return w.pause(ctx, 2*time.Second)
	})
}
