package archive

import "sluice/internal/pipeline"

// Copies tells whether a row may be one of several of the same record. After the history of a Redis went back, records
// are claimed again: they are archived again, under a new epoch or lineage of their list, with the ID they had.
type Copies struct {
	Region int // number of the region whose rows of the same list may be copies of this one; 0: there are none
	Slice  int // copies have the same one; slices come one after another
}

// History is a stretch of claims within which nothing comes again: two rows of one history with the same ID are two
// records that are equal to the byte, rows of different histories are copies of one record.
type History struct {
	Lineage string
	Epoch   pipeline.Epoch
}

// History is the one that the row was claimed in.
func (r *Row) History() History { return history(r.Stream.Lineage, r.Position) }

// history of a row; all that was imported under one lineage is one.
func history(lineage string, p pipeline.Position) History {
	if IsImport(lineage) {
		return History{Lineage: lineage}
	}
	return History{lineage, p.Claim.Epoch}
}

// Histories are those that an object has rows of.
func (m *Manifest) Histories() []History {
	out := make([]History, 0, len(m.Positions))
	for _, r := range m.Positions {
		if p, err := pipeline.ParsePosition(r.From); err == nil { // its reader has checked it
			out = append(out, history(r.Lineage, p))
		}
	}
	return out
}
