package plan

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/internal/units"
)

var testNow = time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)

// TestNothingYoungerThanItsRuleGoes: whatever the rules and the traffic, what a plan deletes was due, not held, above no
// floor; what it rolls up loses no record; and the plan after it has nothing left to do.
func TestNothingYoungerThanItsRuleGoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{now: testNow, rules: drawRules(t, testNow)}
		for range rapid.IntRange(0, 60).Draw(t, "heaps") {
			w.arrive(rapid.SampledFrom(testOrgs).Draw(t, "org"),
				testNow.Add(-time.Duration(rapid.IntRange(0, 24*30).Draw(t, "age"))*time.Hour), int64(rapid.IntRange(1, 50).Draw(t, "n")))
		}
		if rapid.Bool().Draw(t, "open claim") {
			w.claim = testNow.Add(-time.Duration(rapid.IntRange(0, 20).Draw(t, "claimed")) * testDay)
		}
		before := w.sorted()
		p := w.plan()
		if after := w.sorted(); len(before) != len(after) {
			t.Fatal("planning changed the world")
		}
		hits := w.hits()
		for _, a := range p.Due() {
			hit := w.apply(&a)
			var n int64
			for i := range hit {
				if why := w.broken(&hit[i]); why != "" {
					t.Fatalf("%+v takes %+v: %s", a, hit[i], why)
				}
				n += hit[i].n
			}
			if n != a.Records {
				t.Fatalf("%+v takes %d records, and says %d", a, n, a.Records)
			}
			if a.Verb == RollUp && w.hits() != hits {
				t.Fatalf("rolling up changed the sum from %d to %d", hits, w.hits())
			}
			hits = w.hits()
		}
		if again := w.plan().Due(); len(again) != 0 {
			t.Fatalf("after the plan was applied there is still to do: %+v", again)
		}
	})
}

// TestEverythingDueIsInThePlan: what is past its rule is in a row, done or held.
func TestEverythingDueIsInThePlan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{now: testNow, rules: drawRules(t, testNow)}
		for range rapid.IntRange(1, 30).Draw(t, "heaps") {
			w.arrive(rapid.SampledFrom(testOrgs).Draw(t, "org"), testNow.Add(-time.Duration(rapid.IntRange(0, 24*30).Draw(t, "age"))*time.Hour), 1)
		}
		p := w.plan()
		for _, h := range w.heaps {
			dayEnd := heap{kind: h.kind, org: h.org, width: h.width, at: dayOf(h.at).Add(23 * time.Hour)}
			free := w.broken(&dayEnd) == "" && len(w.rules.Organisations) == 0 && len(w.rules.Holds) == 0
			rows := 0
			for i := range p.Actions {
				if h.takes(&p.Actions[i]) {
					rows++
				}
			}
			if rows > 1 {
				t.Fatalf("%+v is in %d rows", h, rows)
			}
			if free && rows != 1 {
				t.Fatalf("%+v is past its rule and in no row", h)
			}
		}
	})
}

func TestArchiveThatLacksRecordsHoldsThem(t *testing.T) {
	w := &world{now: testNow, rules: Rules{Keep: map[Kind]time.Duration{Search: 2 * testDay, Archive: 100 * testDay}}}
	w.arrive("a", testNow.Add(-10*testDay), 5)
	in := Input{Now: w.now, Rules: w.rules, Inventories: w.inventories(), Archive: w.covered()}
	for h := range in.Archive.Hours {
		in.Archive.Hours[h] = 4
	}
	p := Make(in)
	if len(p.Actions) != 1 || !p.Actions[0].Held() || p.Actions[0].HeldBy[0] != "the archive archive holds 4 of 5 records of that time" {
		t.Errorf("%+v", p.Actions)
	}
	in.Archive.Err = "refused"
	if p := Make(in); len(p.Due()) != 0 || len(p.Problems) != 1 {
		t.Errorf("an archive that cannot be read: %+v", p)
	}
	in.Archive = nil
	if p := Make(in); len(p.Due()) != 1 || p.Actions[0].Verify {
		t.Errorf("without an archive: %+v", p.Actions)
	}
}

func TestUnknownClaimsHoldEverything(t *testing.T) {
	w := &world{now: testNow, rules: Rules{Keep: map[Kind]time.Duration{Search: testDay, Raw: testDay}}}
	w.arrive("a", testNow.Add(-50*testDay), 5)
	p := Make(Input{Now: w.now, Rules: w.rules, Inventories: w.inventories(), Claims: Claims{Err: "source main: refused"}})
	if len(p.Due()) != 0 || len(p.Actions) != 2 || len(p.Problems) != 1 {
		t.Errorf("%+v", p)
	}
}

func TestCapped(t *testing.T) {
	day := func(n int, bytes int64) Item {
		at := dayOf(testNow).Add(-time.Duration(n) * testDay)
		return Item{Target: "tyk_analytics", Org: "a", From: at, To: at.Add(testDay), Records: 10, Bytes: bytes}
	}
	base := Inventory{Store: "raw", Kind: Raw, Free: -1, Items: []Item{day(40, 600<<20), day(20, 600<<20), day(3, 600<<20)},
		Capped: &Capped{Target: "tyk_analytics", Size: 4 << 30, Used: 1800 << 20}}
	in := Input{Now: testNow, Inventories: []Inventory{base}, Rules: Rules{CappedSize: 5 << 30, Floor: testDay}}
	if as := Make(in).Actions; len(as) != 1 || as[0].Held() || as[0].Size != 5<<30 || as[0].Bytes != 0 || as[0].Verb != ResizeCapped {
		t.Errorf("growing: %+v", as)
	}
	in.Rules.CappedSize = 1400 << 20
	as := Make(in).Actions
	if len(as) != 1 || as[0].Held() || as[0].Records != 10 || as[0].Bytes != 400<<20 || !as[0].To.Equal(base.Items[0].To) {
		t.Errorf("shrinking: %+v", as)
	}
	in.Rules.Holds = []Hold{{Org: "a", From: base.Items[0].From, Reason: "court"}}
	if as := Make(in).Actions; len(as) != 1 || !as[0].Held() {
		t.Errorf("shrinking onto a hold: %+v", as)
	}
	in.Rules.Holds = []Hold{{Org: "b", Reason: "court"}}
	if as := Make(in).Actions; as[0].Held() {
		t.Errorf("a hold of another organisation: %+v", as)
	}
	in.Rules.CappedSize = 4 << 30
	if as := Make(in).Actions; len(as) != 0 {
		t.Errorf("the size it has: %+v", as)
	}
}

func TestDeadLettersGoInOrder(t *testing.T) {
	at := testNow.Add(-200 * testDay)
	item := func(name string, to time.Time, pinned string) Item {
		return Item{Target: name, AnyOrg: true, From: at, To: to, Records: 1, Bytes: 1, Queue: "letters", Pinned: pinned}
	}
	in := Input{Now: testNow, Rules: Rules{Keep: map[Kind]time.Duration{DeadLetters: 90 * testDay}},
		Inventories: []Inventory{{Store: "dead letters", Kind: DeadLetters, Items: []Item{
			item("1", at, ""), item("2", testNow, ""), item("3", at, "")}}}}
	due := Make(in).Due()
	if len(due) != 1 || due[0].Target != "1" || due[0].Verb != DeleteSegment {
		t.Errorf("the second is young, so the third waits: %+v", due)
	}
	in.Inventories[0].Items[1] = item("2", at, "in use")
	if due := Make(in).Due(); len(due) != 1 {
		t.Errorf("the second is in use, so the third waits: %+v", due)
	}
	in.Rules.Holds = []Hold{{Org: "x", Reason: "court"}}
	if due := Make(in).Due(); len(due) != 0 {
		t.Errorf("whose letters they are is not known: %+v", due)
	}
}

func TestForecast(t *testing.T) {
	inv := Inventory{Store: "search", Kind: Search, Free: 100 << 20, Ahead: "on its disks"}
	for n := 1; n <= 10; n++ {
		at := dayOf(testNow).Add(-time.Duration(n) * testDay)
		inv.Items = append(inv.Items, Item{Target: at.Format(time.DateOnly), From: at, To: at.Add(testDay), Records: 1, Bytes: 10 << 20, Whole: true})
	}
	f := Make(Input{Now: testNow, Rules: Rules{Keep: map[Kind]time.Duration{Search: 30 * testDay}}, Inventories: []Inventory{inv}}).Forecasts[0]
	if f.Growth != 10<<20 || f.Levels != 300<<20 || !f.Full.Equal(testNow.Add(10*units.Day)) || f.Bytes != 100<<20 {
		t.Errorf("%+v", f)
	}
	inv.Free = -1
	if f := Make(Input{Now: testNow, Inventories: []Inventory{inv}}).Forecasts[0]; !f.Full.IsZero() || f.Levels != 0 {
		t.Errorf("nothing known of room, kept for ever: %+v", f)
	}
	if f := Make(Input{Now: testNow, Inventories: []Inventory{{Kind: Raw, Free: -1}}}).Forecasts[0]; f.Growth != 0 || f.Why == "" {
		t.Errorf("empty: %+v", f)
	}
}

func TestWarnings(t *testing.T) {
	inv := Inventory{Store: "search", Kind: Search, Free: 50 << 20, Ahead: "on its disks"}
	for n := 1; n <= 10; n++ {
		at := dayOf(testNow).Add(-time.Duration(n) * testDay)
		inv.Items = append(inv.Items, Item{Target: at.Format(time.DateOnly), From: at, To: at.Add(testDay), Records: 1, Bytes: 10 << 20, Whole: true})
	}
	for name, tt := range map[string]struct {
		keep   time.Duration
		free   int64
		within time.Duration
		says   string
	}{
		"no rule":              {0, 50 << 20, 14 * testDay, "no rule bounds it"},
		"rules that are long":  {30 * testDay, 50 << 20, 14 * testDay, "its rules let it grow to 300 MiB and there is room for 150 MiB"},
		"rules that fit":       {12 * testDay, 50 << 20, 14 * testDay, ""},
		"rules nobody applies": {3 * testDay, 50 << 20, 14 * testDay, "see that retain --apply runs"},
		"later":                {0, 150 << 20, 14 * testDay, ""},
		"not asked for":        {0, 50 << 20, 0, ""},
	} {
		inv.Free = tt.free
		p := Make(Input{Now: testNow, Rules: Rules{Keep: map[Kind]time.Duration{Search: tt.keep}, WarnWithin: tt.within}, Inventories: []Inventory{inv}})
		if got := p.Forecasts[0].Warning; (got == "") != (tt.says == "") || !strings.Contains(got, tt.says) || len(p.Warnings) != min(1, len(got)) {
			t.Errorf("%s: %q, warnings %q", name, got, p.Warnings)
		}
	}
}

func TestProjection(t *testing.T) {
	f := Forecast{Bytes: 100, Growth: 10, Cut: 40, Levels: 80}
	uncut, ruled := f.Project(testNow, 5)
	var u, r []int64
	for i := range uncut {
		u, r = append(u, uncut[i].Bytes), append(r, ruled[i].Bytes)
	}
	if !slices.Equal(u, []int64{100, 110, 120, 130, 140, 150}) || !slices.Equal(r, []int64{60, 70, 80, 80, 80, 80}) {
		t.Errorf("uncut %v, ruled %v", u, r)
	}
	inv := Inventory{Kind: Search, Free: -1, Items: []Item{{From: testNow.Add(-200 * testDay), To: testNow.Add(-199 * testDay), Bytes: 5},
		{From: dayOf(testNow).Add(-2 * testDay), To: dayOf(testNow).Add(-testDay), Bytes: 7}}}
	b := Make(Input{Now: testNow, Inventories: []Inventory{inv}}).Forecasts[0].Built
	if n := len(b); n != builtDays || b[0].Bytes != 5 || b[n-1].Bytes != 12 || b[n-4].Bytes != 5 || b[n-3].Bytes != 12 {
		t.Errorf("built %v", b)
	}
}

func TestStorageClasses(t *testing.T) {
	inv := Inventory{Store: "archive", Kind: Archive, Free: -1, Classes: true}
	for _, days := range []int{5, 40, 100, 200} {
		at := testNow.Add(-time.Duration(days) * testDay)
		inv.Items = append(inv.Items, Item{Target: "x", AnyOrg: true, From: at, To: at.Add(testDay), Records: 1, Bytes: int64(days) << 30})
	}
	advice := func(keep time.Duration) string {
		return strings.Join(Make(Input{Now: testNow, Rules: Rules{Keep: map[Kind]time.Duration{Archive: keep}}, Inventories: []Inventory{inv}}).Advice, "\n")
	}
	if a := advice(0); !strings.Contains(a, "40 GiB are older than 30d; in class STANDARD_IA") || !strings.Contains(a, "300 GiB are older than 90d; in class GLACIER_IR") {
		t.Errorf("kept for ever: %s", a)
	}
	if a := advice(120 * testDay); !strings.Contains(a, "340 GiB are older than 30d; in class STANDARD_IA") || strings.Contains(a, "GLACIER") {
		t.Errorf("kept for 120 days: %s", a)
	}
	if a := advice(40 * testDay); a != "" {
		t.Errorf("kept for 40 days: %s", a)
	}
	inv.Classes = false
	if a := advice(0); a != "" {
		t.Errorf("a directory: %s", a)
	}
}
