package traffic

import (
	"iter"
	"math"
	"time"
)

// The day's events lie within a cycle that repeats from Options.Start on, as fractions of it: so a short demonstration
// and a long run both see all of them.
const (
	spikeFrom, spikeTo = 0.20, 0.32 // a campaign: three times the requests, mostly to the catalogue
	slowFrom, slowTo   = 0.45, 0.60 // the upstream of payments answers slowly
	burstFrom, burstTo = 0.75, 0.81 // the upstream of orders fails
)

// phase is where in the cycle a time lies, in [0, 1).
func (g *Generator) phase(at time.Time) float64 {
	p := math.Mod(float64(at.Sub(g.opts.Start))/float64(g.opts.Cycle), 1)
	if p < 0 {
		p++
	}
	return p
}

// within is 0 outside the window and rises to 1 in its middle, without a step at its ends.
func within(p, from, to float64) float64 {
	if p <= from || p >= to {
		return 0
	}
	return math.Sin(math.Pi * (p - from) / (to - from))
}

// Load is the rate at a time in records a second: Options.Rate bent by the daily curve (least at four in the morning UTC,
// most in the late afternoon) and by the spike.
func (g *Generator) Load(at time.Time) float64 {
	u := at.UTC()
	hour := float64(u.Hour()) + float64(u.Minute())/60 + float64(u.Second())/3600
	day := 1 - 0.45*math.Cos(2*math.Pi*(hour-4)/24)
	return g.opts.Rate * day * (1 + 2*within(g.phase(at), spikeFrom, spikeTo))
}

// Spread gives n times from from up to to, in order, as dense as Load is there. It draws nothing from the generator.
func (g *Generator) Spread(from, to time.Time, n int) iter.Seq[time.Time] {
	const slots = 2048
	width := to.Sub(from) / slots
	var sum [slots + 1]float64
	for i := range slots {
		sum[i+1] = sum[i] + g.Load(from.Add(time.Duration(i)*width))
	}
	return func(yield func(time.Time) bool) {
		slot := 0
		for i := range n {
			want := (float64(i) + 0.5) / float64(n) * sum[slots]
			for slot < slots-1 && sum[slot+1] < want {
				slot++
			}
			into := (want - sum[slot]) / (sum[slot+1] - sum[slot])
			at := from.Add(time.Duration(slot)*width + time.Duration(into*float64(width)))
			if !yield(at) {
				return
			}
		}
	}
}
