package kafka

import "sluice/internal/pipeline"

// Verdict is what the rule says of a message.
type Verdict uint8

// The verdicts.
const (
	Take   Verdict = iota // it is the next one of its lineage in this partition
	Repeat                // it was taken already
	Gap                   // messages before it are missing: hold
)

// Passed is what was taken of a lineage in a partition.
type Passed struct {
	Position pipeline.Position // of the last message taken
	Number   uint64            // its number
}

// Judge is the consumers' rule: a message is taken if predecessor <= passed < position, dropped if position <= passed, and
// held if its predecessor lies behind what was passed. The verdicts over a partition follow from its content alone, so
// everyone who reads it from its beginning, or from a state that was kept, comes to the same ones.
func (p Passed) Judge(h *Header) Verdict {
	switch {
	case h.Position.Compare(p.Position) <= 0:
		return Repeat
	case h.Predecessor.Compare(p.Position) <= 0:
		return Take
	}
	return Gap
}
