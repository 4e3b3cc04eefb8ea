package redislist

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"sluice/internal/pipeline"
)

const (
	// topologyLook is how often a quiet Cluster is asked who has which slot, topologyHurry how often while something is
	// wrong with it. A slot that moves is noticed at once, by the answer of the node that gave it away.
	topologyLook  = 5 * time.Second
	topologyHurry = 300 * time.Millisecond
)

// place is where a session works: at a Cluster node with the lists it has, or at the primary with all of them.
type place struct {
	addr  string // empty: wherever the primary is
	lists []list
	shard *shard
}

// shard is a primary and its replicas, whichever of them is the primary now. It outlives connections.
type shard struct {
	replicas replicaCount
	room     room
}

// coordinator keeps one worker for each Cluster node that has lists of ours.
type coordinator struct {
	s       *Source
	drain   pipeline.Drain
	slots   *topology
	workers map[string]*worker
	shards  map[string]*shard // by the IDs of their nodes
	stirred chan struct{}     // wakes the coordinator: a session ended
	fatal   chan error
}

// worker is a session after the other at one node.
type worker struct {
	lists  []list
	cancel context.CancelFunc
	done   chan struct{}
}

// runCluster is Run for a Cluster.
func (s *Source) runCluster(ctx context.Context, drain pipeline.Drain) error {
	k := &coordinator{s: s, drain: drain, slots: &topology{}, workers: map[string]*worker{}, shards: map[string]*shard{},
		stirred: make(chan struct{}, 1), fatal: make(chan error, 1)}
	defer func() { k.end(func(string, *worker) bool { return true }) }()
	for {
		pause := topologyLook
		err := k.look(ctx)
		if class, _ := pipeline.Classify(err); class == pipeline.FatalError && !s.worked.Load() {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
		s.setSession(topologyPlace, nil, err)
		if err != nil {
			s.say("topology", "the Redis Cluster does not show who has which slot, trying again", "err", err)
		}
		if err != nil || !s.Status().Connected {
			pause = topologyHurry
		}
		if err := k.wait(ctx, pause); err != nil || ctx.Err() != nil {
			return err
		}
	}
}

// topologyPlace is what errors of the Cluster as a whole are kept under.
const topologyPlace = "topology"

// wait returns when it is time to look again, with the error of a worker that needs an operator.
func (k *coordinator) wait(ctx context.Context, pause time.Duration) error {
	select {
	case <-ctx.Done():
	case err := <-k.fatal:
		return err
	case <-time.After(pause):
	case <-k.stirred:
		select { // others are likely to follow
		case <-ctx.Done():
		case <-time.After(topologyHurry / 3):
		}
	}
	return nil
}

// look asks for the topology and makes the workers follow it.
func (k *coordinator) look(ctx context.Context) error {
	slots, err := k.s.dialer.topology(ctx, k.slots.addrs()...)
	if err != nil {
		return loginError(err)
	}
	k.slots = slots
	want, homeless := map[string]place{}, ""
	for _, l := range k.s.lists {
		nodes := slots.owner(slotOf(l.name))
		if len(nodes) == 0 {
			homeless = l.name
			continue
		}
		at := want[nodes[0].addr]
		at.addr, at.shard = nodes[0].addr, k.shard(nodes)
		at.lists = append(at.lists, l)
		want[at.addr] = at
	}
	k.end(func(addr string, w *worker) bool {
		return !slices.EqualFunc(w.lists, want[addr].lists, func(a, b list) bool { return a.name == b.name })
	})
	for addr, at := range want {
		if k.workers[addr] == nil {
			k.start(ctx, at)
		}
	}
	if homeless != "" {
		return fmt.Errorf("no node of the Cluster has the slot of list %s", homeless)
	}
	return nil
}

// shard finds what is known of nodes, under whichever of them was the primary before.
func (k *coordinator) shard(nodes []clusterNode) *shard {
	var found *shard
	for _, n := range nodes {
		if found == nil {
			found = k.shards[n.id]
		}
	}
	if found == nil {
		found = &shard{}
	}
	for _, n := range nodes {
		k.shards[n.id] = found
	}
	return found
}

func (k *coordinator) start(ctx context.Context, at place) {
	wctx, cancel := context.WithCancel(ctx)
	w := &worker{lists: at.lists, cancel: cancel, done: make(chan struct{})}
	k.workers[at.addr] = w
	go func() {
		defer close(w.done)
		if err := k.s.keep(wctx, k.drain, at, k.stir); err != nil {
			select {
			case k.fatal <- err:
			default:
			}
		}
	}()
}

func (k *coordinator) stir() {
	select {
	case k.stirred <- struct{}{}:
	default:
	}
}

// end stops the workers that are not wanted any more, and waits for them: two must not work on one list.
func (k *coordinator) end(unwanted func(string, *worker) bool) {
	var wg sync.WaitGroup
	for addr, w := range k.workers {
		if unwanted(addr, w) {
			delete(k.workers, addr)
			w.cancel()
			wg.Go(func() { <-w.done; w.cancel(); k.s.forget(addr) })
		}
	}
	wg.Wait()
}
