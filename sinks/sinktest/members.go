package sinktest

import (
	"context"
	"errors"

	"sluice/internal/pipeline"
)

// Members is a pipeline.Members in memory. It outlives the handles of a sink, as the registry does.
type Members struct {
	rec *pipeline.MemberRange
	// Fail makes the next Record fail, with (Lost) or without having recorded the range.
	Fail, Lost bool
}

// Recorded implements pipeline.Members.
func (m *Members) Recorded() (pipeline.MemberRange, bool) {
	if m.rec == nil {
		return pipeline.MemberRange{}, false
	}
	return *m.rec, true
}

// Record implements pipeline.Members.
func (m *Members) Record(ctx context.Context, r pipeline.MemberRange) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	fail, lost := m.Fail, m.Lost
	m.Fail, m.Lost = false, false
	if fail && !lost {
		return errors.New("members were not recorded")
	}
	if m.rec != nil && *m.rec != r {
		return errors.New("another range is recorded")
	}
	m.rec = &r
	if fail {
		return errors.New("the answer was lost")
	}
	return nil
}

// passed clears what a cursor has passed.
func (m *Members) passed(cursor pipeline.Position) {
	if m.rec != nil && m.rec.To.Compare(cursor) <= 0 {
		m.rec = nil
	}
}
