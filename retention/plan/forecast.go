package plan

import (
	"fmt"
	"time"

	"sluice/internal/units"
)

// growthDays is how many whole days the growth is taken from.
const growthDays = 7

// farAway bounds a forecast: what lies behind it is not foreseeable.
const farAway = 100 * 365 * units.Day

// forecast tells where a store is heading at its present growth: what came in during the last whole days, by the records'
// own times.
func (p *planner) forecast() Forecast {
	f := Forecast{Store: p.inv.Store, Kind: p.inv.Kind, Free: p.inv.Free}
	today := p.in.Now.UTC().Truncate(units.Day)
	from := today.Add(-growthDays * units.Day)
	var recent int64
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
		if !it.From.Before(from) && it.From.Before(today) {
			recent += it.Bytes
		}
	}
	days := int64(growthDays)
	if f.Oldest.After(from) {
		days = max(1, int64(today.Sub(f.Oldest.Truncate(units.Day))/units.Day))
	}
	f.Growth = recent / days
	f.Levels = p.level(&f)
	f.Why = p.full(&f, days)
	return f
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
	case Aggregate:
		return 0 // of two widths with different sizes; their own growth is what counts
	case Archive:
		keep = p.in.Rules.longest(Archive).keep
	default:
		keep = p.in.Rules.longest(p.inv.Kind).keep
	}
	return int64(float64(f.Growth) * (keep.Hours() / 24))
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
