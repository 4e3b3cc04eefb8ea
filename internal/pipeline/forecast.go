package pipeline

import (
	"math"
	"time"
)

// Forecast tells, from how lists were before, when nothing will wait in them any more. It is not safe for concurrent use.
type Forecast struct{ lists map[[2]string]*trend }

// trend is what came to a list and what was taken from it, in records a second.
type trend struct {
	at             time.Time
	taken, waiting uint64
	comes, goes    float64
	known          bool
}

// forecastOver is over how long rates are smoothed.
const forecastOver = time.Minute

// NeverCatchesUp is what ListStatus.CatchUp says while more comes than is taken.
const NeverCatchesUp = -1

// Note takes in how the lists of sources are now, and fills in what is foreseen of them.
func (f *Forecast) Note(sources []SourceStatus, now time.Time) {
	before := f.lists
	f.lists = make(map[[2]string]*trend, len(before)) // a list that is gone is forgotten
	for i := range sources {
		for k := range sources[i].Lists {
			l := &sources[i].Lists[k]
			key := [2]string{sources[i].Name, l.Name}
			t := before[key]
			if t == nil || l.Taken < t.taken {
				t = &trend{}
			}
			t.note(l, now)
			f.lists[key] = t
			l.CatchUp = t.catchUp(l.Waiting)
		}
	}
}

func (t *trend) note(l *ListStatus, now time.Time) {
	d := now.Sub(t.at).Seconds()
	if first := t.at.IsZero(); !first && d > 0 {
		goes := float64(l.Taken-t.taken) / d
		comes := max(0, goes+(float64(l.Waiting)-float64(t.waiting))/d)
		part := 1.0
		if t.known {
			part = 1 - math.Exp(-d/forecastOver.Seconds())
		}
		t.goes += part * (goes - t.goes)
		t.comes += part * (comes - t.comes)
		t.known = true
	} else if !first {
		return
	}
	t.at, t.taken, t.waiting = now, l.Taken, l.Waiting
}

func (t *trend) catchUp(waiting uint64) float64 {
	switch {
	case waiting == 0 || !t.known:
		return 0
	case t.goes <= t.comes:
		return NeverCatchesUp
	}
	return float64(waiting) / (t.goes - t.comes)
}
