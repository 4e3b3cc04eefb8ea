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

// Members implements pipeline.Stream.
func (st *stream) Members(sink string) pipeline.Members { return members{st, sink} }

// Recorded implements pipeline.Members.
func (m members) Recorded() (pipeline.MemberRange, bool) {
	m.st.mu.Lock()
	defer m.st.mu.Unlock()
	r, ok := m.st.members[m.sink]
	return r, ok
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
	seq, err := recordMembers(ctx, st.se.c, st.se.src.owner(), st.list, st.id.Lineage, m.sink, r)
	if err != nil {
		return st.refused("record members of", err)
	}
	st.mu.Lock()
	st.members[m.sink] = r
	st.mu.Unlock()
	return st.se.replicated(ctx, seq, st)
}
