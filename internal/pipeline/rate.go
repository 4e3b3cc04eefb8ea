package pipeline

import "time"

// rate is a smoothed number a second over some ten seconds. The zero value is ready.
type rate struct {
	slots [11]uint64
	sec   int64 // of the newest slot
}

func (r *rate) add(n uint64, now time.Time) {
	r.move(now)
	r.slots[r.sec%int64(len(r.slots))] += n
}

func (r *rate) move(now time.Time) {
	sec := now.Unix()
	if sec-r.sec >= int64(len(r.slots)) {
		r.slots, r.sec = [11]uint64{}, sec
		return
	}
	for r.sec < sec {
		r.sec++
		r.slots[r.sec%int64(len(r.slots))] = 0
	}
}

// perSecond is the average over the last ten whole seconds.
func (r *rate) perSecond(now time.Time) float64 {
	r.move(now)
	var sum uint64
	for i, n := range r.slots {
		if int64(i) != r.sec%int64(len(r.slots)) {
			sum += n
		}
	}
	return float64(sum) / float64(len(r.slots)-1)
}
