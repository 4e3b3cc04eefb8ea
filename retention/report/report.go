// Package report is what retention says of its last run to those who look at it from elsewhere: the console and the metrics.
package report

import (
	"slices"
	"time"

	"sluice/internal/units"
	"sluice/retention/apply"
	"sluice/retention/plan"
)

// Report is a plan, what became of it, and how sizes went and will go.
type Report struct {
	Made     time.Time     `json:"made"`
	Applies  bool          `json:"applies"` // the plan was to be done
	Error    string        `json:"error,omitempty"`
	Due      int           `json:"due"`
	Done     int           `json:"done"`
	Held     int           `json:"held"`
	Frees    int64         `json:"frees"`
	Stores   []Store       `json:"stores"`
	Actions  []plan.Action `json:"actions"`        // the first of them
	More     int           `json:"more,omitempty"` // actions that are not among them
	Warnings []string      `json:"warnings,omitempty"`
	Advice   []string      `json:"advice,omitempty"`
	Problems []string      `json:"problems,omitempty"`
	Notes    []string      `json:"notes,omitempty"`
}

// Store is where one store is heading.
type Store struct {
	plan.Forecast
	Measured []plan.Point `json:"measured"` // sizes that runs found, oldest first
	Curve    []Day        `json:"curve"`
}

// Day is a point of the plot. What is not known of it is nil.
type Day struct {
	Time  time.Time `json:"time"`
	Size  *int64    `json:"size,omitempty"`  // measured, or how today's content came together
	Uncut *int64    `json:"uncut,omitempty"` // if nothing is deleted
	Ruled *int64    `json:"ruled,omitempty"` // with the planned cut, and the rules kept
}

const (
	maxActions = 200
	ahead      = 90 // days of the plot
	behind     = 60
	// samples are kept for each hour of two days and each day of a year.
	fineFor   = 2 * units.Day
	coarseFor = 365 * units.Day
)

// Make makes a report. before is the last one, nil if there is none: what it measured goes on.
func Make(p *plan.Plan, applies bool, applied []apply.Outcome, failed error, before *Report) *Report {
	due := p.Due()
	r := &Report{Made: p.Made, Applies: applies, Due: len(due), Held: len(p.Actions) - len(due), Warnings: p.Warnings, Advice: p.Advice,
		Problems: p.Problems, Notes: p.Notes, Actions: p.Actions}
	if n := len(r.Actions); n > maxActions {
		r.Actions, r.More = r.Actions[:maxActions], n-maxActions
	}
	for i := range due {
		r.Frees += due[i].Bytes
	}
	for i := range applied {
		if applied[i].Err == "" {
			r.Done++
		}
	}
	if failed != nil {
		r.Error = failed.Error()
	}
	for _, f := range p.Forecasts {
		s := Store{Forecast: f}
		if before != nil {
			if i := slices.IndexFunc(before.Stores, func(b Store) bool { return b.Store == f.Store }); i >= 0 {
				s.Measured = before.Stores[i].Measured
			}
		}
		s.Measured = thin(append(s.Measured, plan.Point{Time: p.Made, Bytes: f.Bytes}), p.Made)
		s.Curve = curve(&s, p.Made)
		r.Stores = append(r.Stores, s)
	}
	return r
}

// thin keeps the last sample of each hour, of older ones that of each day, and none that is older than a year.
func thin(in []plan.Point, now time.Time) (out []plan.Point) {
	for _, x := range in {
		age := now.Sub(x.Time)
		if age > coarseFor || age < 0 {
			continue
		}
		step := time.Hour
		if age > fineFor {
			step = units.Day
		}
		if n := len(out); n > 0 && out[n-1].Time.Truncate(step).Equal(x.Time.Truncate(step)) {
			out[n-1] = x
			continue
		}
		out = append(out, x)
	}
	return out
}

// curve is the plot of a store, a point a day: up to the first measurement how today's content came together, from then on
// what was measured, and from now on what will be.
func curve(s *Store, now time.Time) (out []Day) {
	sizes := map[time.Time]int64{}
	first := now
	if len(s.Measured) > 0 {
		first = s.Measured[0].Time
	}
	for _, b := range s.Built {
		if b.Time.Before(first) {
			sizes[b.Time.Add(-time.Nanosecond).Truncate(units.Day)] = b.Bytes
		}
	}
	for _, m := range s.Measured {
		sizes[m.Time.UTC().Truncate(units.Day)] = m.Bytes // the day's last one
	}
	today := now.UTC().Truncate(units.Day)
	for d := today.Add(-behind * units.Day); d.Before(today); d = d.Add(units.Day) {
		day := Day{Time: d}
		if n, ok := sizes[d]; ok {
			day.Size = &n
		}
		out = append(out, day)
	}
	uncut, ruled := s.Project(now, ahead)
	for i := range uncut {
		day := Day{Time: today.Add(time.Duration(i) * units.Day), Uncut: &uncut[i].Bytes, Ruled: &ruled[i].Bytes}
		if i == 0 {
			day.Size = &s.Bytes
		}
		out = append(out, day)
	}
	return out
}
