package redislist

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// reachTries bounds how often a list is looked for whose slot is on its way, reachPause is between them.
	reachTries = 20
	reachPause = 150 * time.Millisecond
)

// reach has connections to the servers of lists, for what looks or acts once. One goroutine uses it at a time.
type reach struct {
	s     *Source
	one   *control // but for a Cluster
	slots *topology
	nodes map[string]*control // by address, in a Cluster
	clock map[*control]time.Time
}

// reach connects to the primary, or learns what the Cluster is like.
func (s *Source) reach(ctx context.Context) (*reach, error) {
	r := &reach{s: s, nodes: map[string]*control{}, clock: map[*control]time.Time{}}
	var err error
	if s.cfg.Mode == ModeCluster {
		r.slots, err = s.dialer.topology(ctx)
	} else {
		r.one, err = s.dialer.control(ctx)
	}
	if err != nil {
		return nil, loginError(err)
	}
	return r, nil
}

func (r *reach) close() {
	if r.one != nil {
		r.one.close()
	}
	for _, c := range r.nodes {
		c.close()
	}
}

// on does something on the server that has a list. While a slot moves, it is done again where the list has gone.
func (r *reach) on(ctx context.Context, l list, f func(*control) error) error {
	if r.one != nil {
		return f(r.one)
	}
	for try := 1; ; try++ {
		c, err := r.node(ctx, l)
		if err == nil {
			err = f(c)
		}
		if err == nil || try == reachTries || ctx.Err() != nil || c != nil && !c.failed() && !underway(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(reachPause):
		}
		if fresh, e := r.s.dialer.topology(ctx, r.slots.addrs()...); e == nil {
			r.slots = fresh
		}
	}
}

// node connects to the node that has a list.
func (r *reach) node(ctx context.Context, l list) (*control, error) {
	nodes := r.slots.owner(slotOf(l.name))
	if len(nodes) == 0 {
		return nil, fmt.Errorf("no node of the Cluster has the slot of list %s", l.name)
	}
	addr := nodes[0].addr
	if c := r.nodes[addr]; c != nil && !c.failed() {
		return c, nil
	}
	c, err := r.s.dialer.controlAt(ctx, addr)
	if err != nil {
		return nil, loginError(err)
	}
	if old := r.nodes[addr]; old != nil {
		old.close()
	}
	r.nodes[addr] = c
	return c, nil
}

// now is a server's clock, asked for once.
func (r *reach) now(ctx context.Context, c *control) (time.Time, error) {
	if t, ok := r.clock[c]; ok {
		return t, nil
	}
	t, err := serverTime(ctx, c)
	if err == nil {
		r.clock[c] = t
	}
	return t, err
}
