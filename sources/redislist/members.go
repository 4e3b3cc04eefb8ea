package redislist

import (
	"context"
	"fmt"

	"sluice/internal/pipeline"
)

// members implements pipeline.Members for a sink of a stream.
type members struct {
	st   *stream
	sink string
}

// recordedMembers is a range that the registry has; replicas have it when the write seq is covered.
type recordedMembers struct {
	rng pipeline.MemberRange
	seq uint64
}

// Members implements pipeline.Stream.
func (st *stream) Members(sink string) pipeline.Members { return members{st, sink} }

// Recorded implements pipeline.Members. It does not show a range before replicas hold it: whoever went by it would
// make objects that nobody can make again after a failover. Until then, Record of the same range waits for them again.
func (m members) Recorded() (pipeline.MemberRange, bool) {
	m.st.mu.Lock()
	defer m.st.mu.Unlock()
	r, ok := m.st.members[m.sink]
	if !ok || r.seq > m.st.covered {
		return pipeline.MemberRange{}, false
	}
	return r.rng, true
}

// Record implements pipeline.Members. It returns once replicas hold the range.
func (m members) Record(ctx context.Context, r pipeline.MemberRange) error {
	st := m.st
	if err := st.failed(); err != nil {
		return err
	}
	if r.From.Compare(r.To) >= 0 {
		return fmt.Errorf("record members of list %s: %s to %s is empty", st.list.name, r.From, r.To)
	}
	seq, err := recordMembers(ctx, st.se.c, st.se.owner(), st.list, st.id.Lineage, m.sink, r)
	if err != nil {
		return st.refused("record members of", err)
	}
	st.mu.Lock()
	if old, ok := st.members[m.sink]; !ok || old.rng != r {
		st.members[m.sink] = recordedMembers{r, seq}
	}
	st.mu.Unlock()
	return st.se.replicated(ctx, seq, st)
}
