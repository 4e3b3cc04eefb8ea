package redislist

import (
	"slices"

	"sluice/internal/pipeline"
	"sluice/internal/record"
)

// spansKept is the number of readers of a stream that can go on within a span without hashing its beginning again.
// A state is some 16 kB.
const spansKept = 4

// spanStates remembers what is known of the spans that reads ended within, each for exactly the index it ended at.
type spanStates struct{ kept []spanState }

type spanState struct {
	claim pipeline.ClaimID
	index uint32
	ord   *record.Ordinals
}

// take removes and returns the state at an index, or nil.
func (s *spanStates) take(claim pipeline.ClaimID, index uint32) *record.Ordinals {
	for i, k := range s.kept {
		if k.claim == claim && k.index == index {
			s.kept = slices.Delete(s.kept, i, i+1)
			return k.ord
		}
	}
	return nil
}

// put keeps the state at an index. At a span's first index there is none.
func (s *spanStates) put(claim pipeline.ClaimID, index uint32, ord *record.Ordinals) {
	if index%record.Span == 0 {
		return
	}
	if len(s.kept) == spansKept {
		s.kept = slices.Delete(s.kept, 0, 1)
	}
	s.kept = append(s.kept, spanState{claim, index, ord})
}

// forget drops what is known of a claim.
func (s *spanStates) forget(claim pipeline.ClaimID) {
	s.kept = slices.DeleteFunc(s.kept, func(k spanState) bool { return k.claim == claim })
}
