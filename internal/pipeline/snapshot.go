package pipeline

import (
	"cmp"
	"slices"
	"time"
)

// SinkStatuses are the sinks as they are now. What they still owe, and the ledger, is the registry's to say.
func (p *Pipeline) SinkStatuses() []SinkStatus {
	out := make([]SinkStatus, len(p.runners))
	for i, r := range p.runners {
		out[i] = r.status(time.Now())
	}
	return out
}

func (r *runner) status(now time.Time) SinkStatus {
	s := SinkStatus{Name: r.name, Type: r.kind, State: r.state(), SpoolFailing: r.trouble.failing()}
	r.stats.mu.Lock()
	defer r.stats.mu.Unlock()
	s.Errors, s.Counts, s.Rate = r.stats.errors, r.stats.counts, r.stats.rate.perSecond(now)
	if s.State != "ok" || now.Sub(r.stats.lastAt) < time.Hour {
		s.LastError, s.ErrorAt = r.stats.last, r.stats.lastAt
	}
	return s
}

func (r *runner) state() string {
	switch {
	case !r.isOpen():
		return "starting"
	case r.breaker.open():
		return "open"
	case r.breaker.failing():
		return "retrying"
	default:
		return "ok"
	}
}

// Busy tells whether a sink has a batch in hand, or more to read than it has read.
func (p *Pipeline) Busy() bool {
	for _, d := range p.drainages() {
		for _, l := range d.lanes {
			if !l.idle.Load() {
				return true
			}
		}
	}
	return false
}

// Resting tells whether every sink was opened, or could not be, and none that is open has something to flush.
func (p *Pipeline) Resting() bool {
	for _, r := range p.runners {
		if !r.isOpen() && r.openFails.Load() == 0 || r.isOpen() && r.gather != nil && r.gather.due.Load() {
			return false
		}
	}
	return true
}

// MemoryUsed is what the pipeline buffers, in bytes.
func (p *Pipeline) MemoryUsed() int64 { return p.store.mem.inUse() }

// Unready says why the process is not ready, a line each; empty when it is.
func (p *Pipeline) Unready() []string {
	var out []string
	for _, r := range p.runners {
		if s := r.state(); s != "ok" && s != "retrying" {
			line := "sink " + r.name + ": " + s
			if st := r.status(time.Now()); st.LastError != "" {
				line += ": " + st.LastError
			}
			out = append(out, line)
		}
	}
	return out
}

// LetterCounts are the dead letters that were stored since the start, sorted by sink and cause.
func (p *Pipeline) LetterCounts() []LetterCount {
	out := p.poison.letterCounts()
	for _, r := range p.runners {
		out = append(out, r.stats.letterCounts()...)
	}
	slices.SortFunc(out, func(a, b LetterCount) int { return cmp.Or(cmp.Compare(a.Sink, b.Sink), cmp.Compare(a.Cause, b.Cause)) })
	return out
}
