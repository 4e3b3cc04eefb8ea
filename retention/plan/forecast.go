package plan

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"sluice/internal/units"
)

// growthDays is how many whole days the growth is taken from.
const growthDays = 7

// farAway bounds a forecast: what lies behind it is not foreseeable.
const farAway = 100 * 365 * units.Day

// forecast tells where a store is heading at its present growth: what came in during the last whole days, by the records'
// own times.
func (p *planner) forecast(actions []Action) Forecast {
	f := Forecast{Store: p.inv.Store, Kind: p.inv.Kind, Free: p.inv.Free}
	today := p.in.Now.UTC().Truncate(units.Day)
	from := today.Add(-growthDays * units.Day)
	var recent int64
	byDay := map[time.Time]int64{}
	for i := range p.inv.Items {
		it := &p.inv.Items[i]
		f.Bytes += it.Bytes
		f.Items += it.Records
		if f.Oldest.IsZero() || it.From.Before(f.Oldest) {
			f.Oldest = it.From
		}
		if it.To.After(f.Newest) {
			f.Newest = it.To
		}
		byDay[it.To.Add(-time.Nanosecond).UTC().Truncate(units.Day)] += it.Bytes
		if !it.From.Before(from) && it.From.Before(today) {
			recent += it.Bytes
		}
	}
	f.Built = built(byDay, today)
	for i := range actions {
		if a := &actions[i]; !a.Held() {
			f.Cut += a.Bytes
		}
	}
	days := int64(growthDays)
	if f.Oldest.After(from) {
		days = max(1, int64(today.Sub(f.Oldest.Truncate(units.Day))/units.Day))
	}
	f.Growth = recent / days
	f.Levels = p.level(&f)
	f.Why = p.full(&f, days)
	f.Warning = p.warning(&f)
	return f
}

// builtDays is how far back it is told how today's content came together.
const builtDays = 60

// built adds up what lies there by the records' own days.
func built(byDay map[time.Time]int64, today time.Time) []Point {
	first := today.Add(-(builtDays - 1) * units.Day)
	var sum int64
	for d, n := range byDay {
		if d.Before(first) {
			sum += n
		}
	}
	out := make([]Point, 0, builtDays)
	for d := first; !d.After(today); d = d.Add(units.Day) {
		sum += byDay[d]
		out = append(out, Point{d.Add(units.Day), sum})
	}
	return out
}

// outgrown is the factor by which a store is beyond what its rules let it grow to when somebody should look: whole units go,
// some days late.
const outgrown = 1.5

// warning says that a store will be full soon though its rules are kept, or since they are not.
func (p *planner) warning(f *Forecast) string {
	within := p.in.Rules.WarnWithin
	if within == 0 || f.Full.IsZero() || f.Full.After(p.in.Now.Add(within)) {
		return ""
	}
	at := fmt.Sprintf("it is full on %s, in %.1f days", f.Full.Format(time.DateOnly), f.Full.Sub(p.in.Now).Hours()/24)
	switch room := f.Bytes + f.Free; {
	case f.Levels == 0:
		return at + ": no rule bounds it; give it one (retention." + string(f.Kind) + "), or more room"
	case f.Levels > room:
		return fmt.Sprintf("%s: its rules let it grow to %s and there is room for %s; shorten them, or give it more room", at, size(f.Levels), size(room))
	case float64(f.Bytes) > outgrown*float64(f.Levels):
		return fmt.Sprintf("%s: it has %s, its rules allow %s; see that retain --apply runs, and what holds rows back", at, size(f.Bytes), size(f.Levels))
	}
	return ""
}

// Project tells how the store goes on, a point a day from now on: uncut if nothing is deleted, and ruled if the actions that
// are due are done now and the rules are kept.
func (f *Forecast) Project(now time.Time, days int) (uncut, ruled []Point) {
	ruledBytes := max(0, f.Bytes-f.Cut)
	for d := range days + 1 {
		at := now.Add(time.Duration(d) * units.Day)
		uncut = append(uncut, Point{at, f.Bytes + int64(d)*f.Growth})
		b := ruledBytes + int64(d)*f.Growth
		if f.Levels > 0 {
			b = min(b, max(f.Levels, ruledBytes))
		}
		ruled = append(ruled, Point{at, b})
	}
	return uncut, ruled
}

// level is what the rules let the store grow to.
func (p *planner) level(f *Forecast) int64 {
	if c := p.inv.Capped; c != nil {
		if size := roundCapped(p.in.Rules.CappedSize); size > 0 {
			return size
		}
		return c.Size
	}
	var keep time.Duration
	switch p.inv.Kind {
	case Spool:
		return 0 // what comes in depends on outages
	case Aggregate:
		return p.aggregateLevel()
	case Archive:
		keep = p.in.Rules.longest(Archive).keep
	default:
		keep = p.in.Rules.longest(p.inv.Kind).keep
	}
	level := int64(float64(f.Growth) * (keep.Hours() / 24))
	if bound := p.in.Rules.MaxSize[p.inv.Kind]; bound > 0 && (level == 0 || bound < level) {
		return bound
	}
	return level
}

// aggregateLevel adds up what each width of documents grows to: what a day of them takes, for as long as they are kept. Of a width that
// others are rolled up to that is the time since these went. It is 0 while a width has no documents yet to tell from, or no bound.
func (p *planner) aggregateLevel() (level int64) {
	type width struct {
		bytes    int64
		from, to time.Time
	}
	widths := map[time.Duration]*width{}
	for i := range p.inv.Items {
		it := &p.inv.Items[i]
		if !it.Emptied.IsZero() {
			continue
		}
		w := widths[it.Width]
		if w == nil {
			w = &width{from: it.From, to: it.To}
			widths[it.Width] = w
		}
		w.bytes += it.Bytes
		if it.From.Before(w.from) {
			w.from = it.From
		}
		if it.To.After(w.to) {
			w.to = it.To
		}
	}
	sorted := slices.Sorted(maps.Keys(widths))
	if len(sorted) == 0 {
		return 0
	}
	if p.in.Rules.RollUp {
		for w, keep := range p.in.Rules.Widths {
			if w > sorted[0] && widths[w] == nil && (keep == 0 || keep > p.in.Rules.longestOf(sorted[0])) {
				return 0 // nothing was rolled up to it yet
			}
		}
	}
	var finer time.Duration // how long the width before is kept
	for _, w := range sorted {
		keep := p.in.Rules.longestOf(w)
		if keep == 0 {
			return 0
		}
		days := max(1, widths[w].to.Sub(widths[w].from).Hours()/24)
		level += int64(float64(widths[w].bytes) / days * max(0, (keep-finer).Hours()/24))
		if p.in.Rules.RollUp {
			finer = keep
		}
	}
	return level
}

// full says when the store is full, and why that is thought.
func (p *planner) full(f *Forecast, days int64) string {
	if f.Items > 0 && !f.Oldest.Before(p.in.Now.UTC().Truncate(units.Day)) {
		return "there is no whole day yet to tell its growth from"
	}
	if f.Growth <= 0 {
		return fmt.Sprintf("nothing came in during the last %d whole days", days)
	}
	why := fmt.Sprintf("%s a day over the last %d whole days", size(f.Growth), days)
	if p.inv.Capped != nil {
		return why + fmt.Sprintf("; the capped collection turns over in %.1f days", float64(f.Levels)/float64(f.Growth))
	}
	if f.Levels > 0 {
		why += fmt.Sprintf("; with the rules applied it levels at %s", size(f.Levels))
	}
	if f.Free < 0 {
		return why + "; how much it can take is not known"
	}
	left := float64(f.Free) / float64(f.Growth)
	if left*float64(units.Day) > float64(farAway) {
		return why + fmt.Sprintf("; %s are free %s", size(f.Free), p.inv.Ahead)
	}
	f.Full = p.in.Now.Add(time.Duration(left * float64(units.Day))).UTC().Truncate(time.Second)
	return why + fmt.Sprintf("; %s are free %s, enough for %.0f days if nothing is deleted", size(f.Free), p.inv.Ahead, left)
}

// size writes a number of bytes with three digits.
func size(n int64) string {
	for _, u := range []struct {
		of   units.Size
		name string
	}{{units.GiB, "GiB"}, {units.MiB, "MiB"}, {units.KiB, "KiB"}} {
		if n >= int64(u.of) {
			return fmt.Sprintf("%.3g %s", float64(n)/float64(u.of), u.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}
