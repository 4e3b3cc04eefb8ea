package redislist

import (
	"maps"
	"math"
	"time"

	"sluice/internal/pipeline"
)

// listState is what the console shows of a list.
type listState struct {
	owner   string
	waiting uint64
	open    int
	oldest  time.Time
	taken   uint64
}

// report keeps what the loop just saw for Status.
func (se *session) report() {
	s := se.src
	state := make(map[string]listState, len(se.slots))
	for _, sl := range se.slots {
		ls := listState{owner: "none", waiting: sl.waiting}
		switch {
		case sl.st != nil:
			ls.owner = "us"
			open, oldest, taken := sl.st.summary()
			ls.open, ls.taken = open, taken
			if oldest != nil {
				ls.oldest = oldest.Time
			}
		case sl.other:
			ls.owner = "other"
		case sl.waiting == 0:
			continue // nothing is there
		}
		state[sl.list.name] = ls
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sl := range se.slots {
		delete(s.state, sl.list.name)
	}
	maps.Copy(s.state, state)
}

// count books records that were claimed just now.
func (s *Source) count(n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rate.add(time.Now(), n)
}

// Status is the source as it is now. Taken counts what this process claimed; that of a list is from its registry.
func (s *Source) Status() pipeline.SourceStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	connected, why := s.connected()
	st := pipeline.SourceStatus{Name: s.name, Type: "redis", Connected: connected,
		Taken: s.rate.total, Rate: s.rate.at(now), Lists: []pipeline.ListStatus{}}
	if why != nil {
		st.Error = why.Error()
	}
	for _, l := range s.lists {
		ls, ok := s.state[l.name]
		if !ok {
			continue
		}
		out := pipeline.ListStatus{Name: l.name, Owner: ls.owner, Waiting: ls.waiting, OpenClaims: ls.open, Taken: ls.taken}
		if !ls.oldest.IsZero() {
			out.OldestAge = max(0, now.Sub(ls.oldest).Seconds())
		}
		st.Lists = append(st.Lists, out)
	}
	return st
}

// rateMeter is a number of events and their rate, smoothed over half a minute.
type rateMeter struct {
	total uint64
	rate  float64
	last  time.Time
}

const rateWindow = 30 * time.Second

func (r *rateMeter) add(now time.Time, n uint64) {
	r.rate = r.at(now) + float64(n)/rateWindow.Seconds()
	r.total, r.last = r.total+n, now
}

func (r *rateMeter) at(now time.Time) float64 {
	return r.rate * math.Exp(-now.Sub(r.last).Seconds()/rateWindow.Seconds())
}
