package plan

import (
	"testing"
	"time"

	"sluice/internal/units"
)

// TestAggregatesLevel: hours for as long as they are kept, days for the time after that; nothing is said while it cannot be told.
func TestAggregatesLevel(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	today := now.Truncate(units.Day)
	var hours, days []Item
	for d := 1; d <= 90; d++ {
		from := today.AddDate(0, 0, -d)
		hours = append(hours, Item{Target: "c", Org: "o", Width: time.Hour, From: from, To: from.Add(units.Day), Bytes: 2400})
		from = from.AddDate(0, 0, -90)
		days = append(days, Item{Target: "c", Org: "o", Width: units.Day, From: from, To: from.Add(units.Day), Bytes: 300})
	}
	level := func(r Rules, items ...Item) int64 {
		return Make(Input{Now: now, Rules: r, Inventories: []Inventory{{Store: "s", Kind: Aggregate, Items: items, Free: -1}}}).Forecasts[0].Levels
	}
	keep := func(h, d time.Duration) Rules {
		return Rules{RollUp: true, Widths: map[time.Duration]time.Duration{time.Hour: h * units.Day, units.Day: d * units.Day}}
	}
	both := append(append([]Item{}, hours...), days...)
	longer := keep(90, 1000)
	longer.Organisations = map[string]OrgRules{"x": {Widths: map[time.Duration]time.Duration{time.Hour: 100 * units.Day}}}
	flat := keep(90, 1000)
	flat.RollUp = false
	for _, c := range []struct {
		what  string
		rules Rules
		items []Item
		want  int64
	}{
		{"rolled up", keep(90, 1000), both, 90*2400 + 910*300},
		{"one organisation longer", longer, both, 100*2400 + 900*300},
		{"not rolled up", flat, hours, 90 * 2400},
		{"days for ever", keep(90, 0), both, 0},
		{"nothing rolled up yet", keep(90, 1000), hours, 0},
		{"nothing", keep(90, 1000), nil, 0},
	} {
		if got := level(c.rules, c.items...); got != c.want {
			t.Errorf("%s: levels at %d, want %d", c.what, got, c.want)
		}
	}
}
