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
}

// probe looks at all lists in one round trip.
func (se *session) probe(ctx context.Context) ([]probe, error) {
	b := se.c.conn.B
	cmds := make([]cmd, 0, 3*len(se.slots))
	for _, sl := range se.slots {
		n := sl.list.name
		cmds = append(cmds, b().Type().Key(n).Build(), b().Llen().Key(n).Build(), b().Pttl().Key(n).Build())
	}
	rs, err := se.c.doMulti(ctx, cmds...)
	if err != nil {
		return nil, err
	}
	out := make([]probe, len(se.slots))
	for i := range out {
		kind, err := rs[3*i].ToString()
		if err != nil {
			return nil, fmt.Errorf("TYPE: %w", err)
		}
		ttl, err := rs[3*i+2].ToInt64()
		if err != nil {
			return nil, fmt.Errorf("PTTL: %w", err)
		}
		n, _ := rs[3*i+1].ToInt64() // an error when it is no list
		out[i] = probe{kind: kind, len: uint64(n), ttl: time.Duration(ttl) * time.Millisecond}
	}
	return out, nil
}
