package deepaudit

import (
	"testing"
	"time"

	"sluice/internal/pipeline"
	"sluice/internal/record"
)

// followedList is a list whose archive is followed up to a position.
func followedList(to pipeline.Position, notOwed uint64) *List {
	return &List{Source: "lake", Name: "followed", Settled: map[string]pipeline.Position{}, Sinks: map[string]Booked{"s": {NotOwed: notOwed}},
		Followed: func(hour time.Time) pipeline.Position {
			if !hour.Equal(at) {
				return pipeline.Position{}
			}
			return to
		}}
}

// TestAuditKnowsWhatIsFollowed: of an archive that is followed a store must have what was delivered of the hour, and need not have the rest.
func TestAuditKnowsWhatIsFollowed(t *testing.T) {
	o := objectOf(1, 1, 13, 100) // dead letters of its region lie before
	o.m.Origin = 1
	half := func() *table { s := tableOf(o); s.held = s.held[:40]; return s }
	late := func() *table { s := tableOf(o); s.held = s.held[30:]; return s }
	for name, c := range map[string]struct {
		table *table
		list  *List
		from  time.Time
		want  string
	}{
		"all is delivered":       {tableOf(o), followedList(pos(1, 1, 113), 0), time.Time{}, ""},
		"not yet":                {half(), followedList(pos(1, 1, 53), 0), time.Time{}, ""},
		"delivered, and gone":    {half(), followedList(pos(1, 1, 60), 0), time.Time{}, "missing 7"},
		"nothing yet":            {&table{}, nil, time.Time{}, ""},
		"configured later":       {late(), followedList(pos(1, 1, 113), 25), time.Time{}, "missing 5"},
		"expired where it lay":   {withStranger(tableOf(o)), followedList(pos(1, 1, 113), 0), at.Add(time.Hour), "untold 1"},
		"of nobody that is read": {withStranger(tableOf(o)), followedList(pos(1, 1, 113), 0), at, "strange 1"},
	} {
		opt := options(&shelf{objects: []object{o}}, c.table, c.list)
		opt.FollowedFrom = c.from
		got, rep := counts(t, opt, 1000, "s")
		if got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if n := len(rep.Stores["a"].Findings); n > 0 {
			t.Errorf("%s: the archive: %+v", name, rep.Stores["a"].Findings)
		}
	}
}

// TestAuditLeavesGapsOfOthers: which positions became dead letters where an archive is written is known there alone.
func TestAuditLeavesGapsOfOthers(t *testing.T) {
	a, b := objectOf(1, 1, 0, 10), objectOf(1, 1, 13, 10)
	a.m.Origin, b.m.Origin = 1, 1
	opt := options(&shelf{objects: []object{a, b}}, &table{}, nil) // of what is followed already no range is looked at
	if got, rep := counts(t, opt, 1000, "a"); got != "" || !rep.InOrder {
		t.Errorf("%s: %+v", got, rep.Stores["a"].Findings)
	}
}

func withStranger(t *table) *table {
	t.held = append(t.held, Held{ID: record.MakeID(at, 77), Where: "table"})
	return t
}
