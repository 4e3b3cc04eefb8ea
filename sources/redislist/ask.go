package redislist

import (
	"context"
	"fmt"
	"sync"

	"github.com/redis/rueidis"
)

type result = rueidis.RedisResult

// asked are connections to nodes that slots are on their way to. Only single keys are looked for there, to keep them from
// their TTL: what needs more waits until the slot has arrived. It is safe for concurrent use.
type asked struct {
	mu    sync.Mutex
	nodes map[string]*control
}

// ask sends commands to a node that imports the slot of their key.
func (c *control) ask(ctx context.Context, cmds ...cmd) ([]result, error) {
	var all []cmd
	for _, x := range cmds {
		all = append(all, c.conn.B().Asking().Build(), x)
	}
	rs, err := c.doMulti(ctx, all...)
	if err != nil {
		return nil, fmt.Errorf("ask node %s: %w", c.addr, err)
	}
	var out []result
	for i := 1; i < len(rs); i += 2 {
		out = append(out, rs[i])
	}
	return out, nil
}

// node connects to a node.
func (a *asked) node(ctx context.Context, d *dialer, addr string) (*control, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.nodes[addr]; c != nil && !c.failed() {
		return c, nil
	}
	c, err := d.controlAt(ctx, addr)
	if err != nil {
		return nil, err
	}
	if old := a.nodes[addr]; old != nil {
		old.close()
	}
	if a.nodes == nil {
		a.nodes = map[string]*control{}
	}
	a.nodes[addr] = c
	return c, nil
}

func (a *asked) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.nodes {
		c.close()
	}
	a.nodes = nil
}
