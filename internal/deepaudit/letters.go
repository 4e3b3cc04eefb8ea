package deepaudit

import (
	"strings"

	"sluice/internal/pipeline"
)

// letters are the dead letters at hand: records that a sink rightly does not have.
type letters struct {
	at    map[place]map[string]bool // sinks, by place
	ids   map[string]bool           // record ID and sink
	count map[string]uint64         // by sink
}

// place names a record's position.
type place struct{ lineage, position string }

func sortLetters(all []pipeline.Letter) letters {
	out := letters{at: map[place]map[string]bool{}, ids: map[string]bool{}, count: map[string]uint64{}}
	for i := range all {
		l := &all[i]
		p := place{l.Lineage, l.Position}
		if out.at[p] == nil {
			out.at[p] = map[string]bool{}
		}
		out.at[p][l.Sink] = true
		out.count[l.Sink]++
		id, _, _ := strings.Cut(l.ID, "-")
		out.ids[id+" "+l.Sink] = true
	}
	return out
}

// of is the number of letters that concern a sink.
func (l *letters) of(sink string) uint64 { return l.count[sink] + l.count[pipeline.EverySink] }

// dead tells whether a position became a dead letter of a sink.
func (l *letters) dead(lineage string, at pipeline.Position, sink string) bool {
	if len(l.at) == 0 {
		return false
	}
	sinks := l.at[place{lineage, at.String()}]
	return sinks[sink] || sinks[pipeline.EverySink]
}

// between counts the letters of a sink in a run of positions.
func (l *letters) between(lineage string, from, to pipeline.Position, sink string) (n int64) {
	low, high := from.String(), to.String()
	for p, sinks := range l.at {
		if p.lineage == lineage && p.position >= low && p.position < high && (sinks[sink] || sinks[pipeline.EverySink]) {
			n++
		}
	}
	return n
}
