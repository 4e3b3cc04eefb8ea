package redislist

import (
	"context"
	"fmt"
	"time"
)

// probe is what a look at a list shows.
type probe struct {
	kind string // type of the key, none when there is none
	len  uint64
	ttl  time.Duration // negative: it has none
	at   string        // the Cluster node that has the key while its slot is on its way there; empty: ours
}

// probing are the commands that look at a list.
func (l list) probing(c *control) []cmd {
	b, n := c.conn.B, l.name
	return []cmd{b().Type().Key(n).Build(), b().Llen().Key(n).Build(), b().Pttl().Key(n).Build()}
}

// probe looks at all lists in one round trip.
func (se *session) probe(ctx context.Context) ([]probe, error) {
	var cmds []cmd
	for _, sl := range se.slots {
		cmds = append(cmds, sl.list.probing(se.c)...)
	}
	rs, err := se.c.doMulti(ctx, cmds...)
	if err != nil {
		return nil, err
	}
	out := make([]probe, len(se.slots))
	for i, sl := range se.slots {
		seen := rs[3*i : 3*i+3]
		if out[i], err = readProbe(seen); err == nil {
			continue
		}
		at := ""
		for _, r := range seen { // the list may have come into being there between two of them
			if at = redirected(r.Error(), "ASK"); at != "" {
				break
			}
		}
		if at == "" {
			return nil, err
		}
		out[i] = se.probeAt(ctx, sl.list, at)
	}
	return out, nil
}

// probeAt looks at a list whose slot is on its way to another node and that is not here any more, or not yet there.
func (se *session) probeAt(ctx context.Context, l list, at string) probe {
	var p probe
	c, err := se.asked.node(ctx, se.src.dialer, at)
	if err == nil {
		var rs []result
		if rs, err = c.ask(ctx, l.probing(c)...); err == nil {
			p, err = readProbe(rs)
		}
	}
	if err != nil {
		se.src.say("ask "+l.name, "a list whose slot is on its way cannot be looked at", "list", l.name, "node", at, "err", err)
		return probe{kind: "none", ttl: -1, at: at}
	}
	p.at = at
	return p
}

func readProbe(rs []result) (p probe, err error) {
	if p.kind, err = rs[0].ToString(); err != nil {
		return p, fmt.Errorf("TYPE: %w", err)
	}
	n, err := rs[1].ToInt64()
	if err != nil && !serverError(err, "WRONGTYPE") { // of any other answer nobody knows that the list is empty
		return p, fmt.Errorf("LLEN: %w", err)
	}
	ttl, err := rs[2].ToInt64()
	if err != nil {
		return p, fmt.Errorf("PTTL: %w", err)
	}
	p.len, p.ttl = uint64(n), time.Duration(ttl)*time.Millisecond // no length when it is no list
	return p, nil
}
