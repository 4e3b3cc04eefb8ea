package plan

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// cell is a UTC day of one organisation in one store.
type cell struct {
	kind    Kind
	org     string
	width   time.Duration
	day     time.Time
	emptied time.Time
}

// pile is what lies in a cell: documents, and the records they stand for. last is the time of the youngest.
type pile struct {
	n, stands int64
	last      time.Time
	came      time.Time // when the last of it was stored
}

const docBytes = 100

// year is a year of hourly traffic in stores that do what they are told, and die in the middle of it.
type year struct {
	t     *testing.T
	rnd   *rand.Rand
	now   time.Time
	rules Rules
	cells map[cell]*pile
	cap   int64       // size of the capped collection, 0: there is none
	fifo  []time.Time // its documents, oldest first
	claim time.Time
	done  time.Time // when a plan was last applied to its end, while no claim was open
	since int64     // bytes that came into search since then
	hits  int64     // records that aggregates stand for
}

var yearKinds = []Kind{Archive, Search, Raw, SQLite, Uptime, Aggregate}

func (y *year) store(org string, at time.Time, n int64) {
	for _, k := range yearKinds {
		c := cell{kind: k, org: org, day: dayOf(at)}
		docs := n
		if k == Aggregate {
			c.width, docs = time.Hour, 1
			y.hits += n
		}
		if k == Search {
			y.since += n * docBytes
		}
		p := y.cells[c]
		if p == nil {
			p = &pile{}
			y.cells[c] = p
		}
		p.n, p.stands, p.came = p.n+docs, p.stands+n, y.now
		if at.After(p.last) {
			p.last = at
		}
	}
	if y.cap > 0 {
		for range n {
			y.fifo = append(y.fifo, at)
		}
		y.fifo = y.fifo[max(0, len(y.fifo)-int(y.cap/docBytes)):]
	}
}

// item is the planner's view of a cell.
func (c cell) item(p *pile) Item {
	h := heap{kind: c.kind, org: c.org, width: c.width, at: c.day, gone: c.emptied}
	it := *h.item()
	switch c.kind {
	case SQLite:
		it.Target = "counters"
	case Uptime:
		it.Target = "tyk_uptime_analytics"
	}
	it.Records, it.Bytes = p.n, p.n*docBytes
	if c.kind == Aggregate && c.emptied.IsZero() {
		it.Stands = p.stands
	}
	return it
}

func (y *year) plan() *Plan {
	invs := map[Kind]*Inventory{}
	for _, k := range yearKinds {
		invs[k] = &Inventory{Store: string(k), Kind: k, Free: -1}
	}
	covered := &Covered{Store: "archive", Hours: map[time.Time]int64{}}
	days := map[time.Time]*Item{} // of the archive: all organisations together
	for _, c := range y.order(nil) {
		p := y.cells[c]
		it := c.item(p)
		if c.kind != Archive {
			invs[c.kind].Items = append(invs[c.kind].Items, it)
			continue
		}
		covered.Hours[c.day] += p.n
		if have := days[c.day]; have != nil {
			have.Records, have.Bytes = have.Records+it.Records, have.Bytes+it.Bytes
			continue
		}
		invs[Archive].Items = append(invs[Archive].Items, it)
		days[c.day] = &invs[Archive].Items[len(invs[Archive].Items)-1]
	}
	in := Input{Now: y.now, Rules: y.rules, Archive: covered, Claims: Claims{Oldest: y.claim}}
	for _, k := range yearKinds {
		in.Inventories = append(in.Inventories, *invs[k])
	}
	if y.cap > 0 {
		inv := Inventory{Store: "capped", Kind: Raw, Free: -1, Capped: &Capped{Target: "tyk_analytics", Size: y.cap, Used: int64(len(y.fifo)) * docBytes}}
		byDay := map[time.Time]int64{}
		for _, at := range y.fifo {
			byDay[dayOf(at)]++
		}
		for _, d := range slices.SortedFunc(maps.Keys(byDay), time.Time.Compare) {
			inv.Items = append(inv.Items, Item{Target: "tyk_analytics", Org: "a", From: d, To: d.Add(testDay), Records: byDay[d], Bytes: byDay[d] * docBytes})
		}
		in.Inventories = append(in.Inventories, inv)
	}
	return Make(in)
}

// order is the cells, or those of an action, always in the same order.
func (y *year) order(a *Action) []cell {
	var out []cell
	for c := range y.cells {
		if a == nil || c.of(a) {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b cell) int {
		return cmp.Or(a.day.Compare(b.day), cmp.Compare(a.kind, b.kind), cmp.Compare(a.org, b.org), cmp.Compare(a.width, b.width), a.emptied.Compare(b.emptied))
	})
	return out
}

// of tells whether an action is about a cell.
func (c cell) of(a *Action) bool {
	if a.Kind != c.kind || c.day.Before(a.From) || !c.day.Before(a.To) {
		return false
	}
	h := heap{kind: c.kind, org: c.org, width: c.width, at: c.day, gone: c.emptied}
	if c.kind == SQLite || c.kind == Uptime {
		return (len(a.Orgs) == 0 || slices.Contains(a.Orgs, c.org))
	}
	return a.Store != "capped" && h.takes(a)
}

// apply does a plan, or dies in the middle of one of its actions.
func (y *year) apply() {
	p := y.plan()
	before := y.bytes(Search)
	due := p.Due()
	dies := -1
	if y.rnd.IntN(4) == 0 && len(due) > 0 {
		dies = y.rnd.IntN(len(due))
	}
	for i := range due {
		y.do(&due[i], i == dies, before)
		if i == dies {
			return
		}
	}
	if y.claim.IsZero() {
		y.done, y.since = y.now, 0
	}
	if again := y.plan().Due(); len(again) != 0 {
		y.t.Fatalf("%s: after a plan was applied there is still to do: %+v", y.now, again[0])
	}
}

// do does an action: of each cell all or, if it dies, a part of some of them.
func (y *year) do(a *Action, dies bool, searchBefore int64) {
	if a.Store == "capped" {
		y.resize(a)
		return
	}
	for _, c := range y.order(a) {
		if dies && a.Verb != DeleteIndex && y.rnd.IntN(2) == 0 {
			continue
		}
		p := y.cells[c]
		if why := y.kept(c, p, a, searchBefore); why != "" {
			y.t.Fatalf("%s: %+v takes %+v of %s: %s", y.now, a, c, p.last, why)
		}
		switch {
		case a.Verb == RollUp: // document by document in a transaction: a day's hours are one here
			y.add(cell{kind: Aggregate, org: c.org, width: a.into, day: c.day}, 1, p.stands, p.last)
			y.add(cell{kind: Aggregate, org: c.org, width: c.width, day: c.day, emptied: y.now}, p.n, 0, p.last)
			delete(y.cells, c)
		case dies && a.Verb != DeleteIndex && p.n > 1 && c.kind != Aggregate:
			p.n, p.stands = p.n/2, p.stands/2
		default:
			if c.kind == Aggregate {
				y.hits -= p.stands
			}
			delete(y.cells, c)
		}
	}
}

func (y *year) add(c cell, n, stands int64, last time.Time) {
	p := y.cells[c]
	if p == nil {
		p = &pile{}
		y.cells[c] = p
	}
	p.n, p.stands, p.came = p.n+n, p.stands+stands, y.now
	if last.After(p.last) {
		p.last = last
	}
}

// resize brings the capped collection to its size; what that drops must not be kept by floor, hold or claim.
func (y *year) resize(a *Action) {
	keep := min(len(y.fifo), int(a.Size/docBytes))
	for _, at := range y.fifo[:len(y.fifo)-keep] {
		c := cell{kind: Raw, org: "a", day: dayOf(at)}
		if why := y.protected(c, at); why != "" {
			y.t.Fatalf("%s: %+v drops a document of %s: %s", y.now, a, at, why)
		}
	}
	y.fifo, y.cap = y.fifo[len(y.fifo)-keep:], a.Size
}

func (y *year) bytes(k Kind) (n int64) {
	for c, p := range y.cells {
		if c.kind == k {
			n += p.n * docBytes
		}
	}
	return n
}

// protected tells why records up to a time may not go whatever their rule says; judged without the planner's code.
func (y *year) protected(c cell, last time.Time) string {
	if y.now.Sub(last) < y.rules.Floor {
		return "younger than the floor"
	}
	if !y.claim.IsZero() && last.After(y.claim.Add(-claimReach)) {
		return "a claim that is open may have records of that time"
	}
	for _, h := range y.rules.Holds {
		if (h.Org == "*" || h.Org == c.org || c.kind == Archive) && (h.From.IsZero() || !last.Before(h.From)) && (h.To.IsZero() || c.day.Before(h.To)) {
			return "on hold"
		}
	}
	return ""
}

// span is how long a cell is kept; 0: for ever.
func (y *year) span(c cell) time.Duration {
	if c.kind == Archive {
		return y.rules.longest(Archive).keep
	}
	o := y.rules.Organisations[c.org]
	if c.kind == Aggregate {
		if k, ok := o.Widths[c.width]; ok {
			return k
		}
		return y.rules.Widths[c.width]
	}
	if k, ok := o.Keep[c.kind]; ok {
		return k
	}
	return y.rules.Keep[c.kind]
}

// kept tells why what an action takes should have stayed.
func (y *year) kept(c cell, p *pile, a *Action, searchBefore int64) string {
	if !c.emptied.IsZero() {
		if y.now.Sub(c.emptied) < testDay {
			return "emptied less than a day ago"
		}
		return ""
	}
	if why := y.protected(c, p.last); why != "" {
		return why
	}
	if keep := y.span(c); keep > 0 && y.now.Sub(p.last) >= keep {
		return ""
	}
	if bound := y.rules.MaxSize[Search]; c.kind == Search && bound > 0 && searchBefore > bound {
		covered := y.covered()
		for o, q := range y.cells { // all older ones that could go went before it
			if o.kind == Search && o.day.Before(c.day) && y.protected(o, o.day.Add(testDay)) == "" && covered[o.day] && q.n > 0 {
				return "an older day than it stays: " + o.day.Format(time.DateOnly)
			}
		}
		return ""
	}
	return "younger than its rule"
}

// covered tells of which days the archive has as much as search.
func (y *year) covered() map[time.Time]bool {
	lacks := map[time.Time]int64{}
	for c, p := range y.cells {
		switch c.kind {
		case Archive:
			lacks[c.day] -= p.n
		case Search:
			lacks[c.day] += p.n
		}
	}
	out := map[time.Time]bool{}
	for day, n := range lacks {
		out[day] = n <= 0
	}
	return out
}

// bounded holds sizes against the rules.
func (y *year) bounded() {
	if y.cap > 0 && int64(len(y.fifo))*docBytes > y.cap {
		y.t.Fatalf("%s: the capped collection has %d documents", y.now, len(y.fifo))
	}
	var search, stays, hits int64
	covered := y.covered()
	for c, p := range y.cells {
		end := c.day.Add(max(testDay, c.width))
		held := y.protected(c, end.Add(-time.Nanosecond)) != ""
		hits += p.stands * map[bool]int64{true: 1}[c.kind == Aggregate]
		if c.kind == Search {
			search += p.n * docBytes
			if held || !covered[c.day] || y.done.Sub(end) < y.rules.Floor {
				stays += p.n * docBytes
			}
		}
		keep := y.span(c)
		if keep == 0 || held || p.came.After(y.done) || !c.emptied.IsZero() || y.done.IsZero() {
			continue
		}
		if over := y.done.Sub(end); over >= max(keep, y.rules.Floor) && (c.kind == Archive || c.kind == Uptime || covered[c.day] || y.rules.longest(Archive).due(end, y.done)) {
			y.t.Fatalf("%s: %+v was past its rule of %s by %s when a plan was applied to its end at %s", y.now, c, keep, over-keep, y.done)
		}
	}
	if bound := y.rules.MaxSize[Search]; bound > 0 && !y.done.IsZero() && y.claim.IsZero() && search > max(bound, stays)+y.since+stays {
		y.t.Fatalf("%s: search has %d bytes, %d of which must stay and %d came since the last run, and may have %d", y.now, search, stays, y.since, bound)
	}
	if hits != y.hits {
		y.t.Fatalf("%s: aggregates stand for %d records, want %d", y.now, hits, y.hits)
	}
}

// TestAYear runs hourly traffic through random rules, with plans applied at random times that die in the middle, late
// records, sinks that are down for days, and rules that change. Sizes stay within their bounds at every step, no record
// younger than its rule goes, and no count is lost by rolling up.
func TestAYear(t *testing.T) {
	rules := rapid.Custom(func(t *rapid.T) Rules { return drawRules(t, testNow.AddDate(0, 0, -100)) })
	for seed := range 4 {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			y := &year{t: t, rnd: rand.New(rand.NewPCG(uint64(seed), 1)), rules: rules.Example(seed), cells: map[cell]*pile{}}
			for _, k := range []Kind{SQLite, Uptime} {
				y.rules.Keep[k] = time.Duration(y.rnd.IntN(30)) * testDay
			}
			if seed%4 > 0 {
				y.rules.MaxSize = map[Kind]int64{Search: int64(1+y.rnd.IntN(20)) * 24 * 10 * docBytes}
			}
			if y.rnd.IntN(2) == 0 {
				y.cap = 4096 * docBytes
				y.rules.CappedSize = y.cap
			}
			begin := dayOf(testNow).AddDate(-1, 0, 0)
			y.rules.Holds = append(y.rules.Holds, Hold{Org: "b", From: begin.AddDate(0, 0, 90), To: begin.AddDate(0, 0, 95), Reason: "court"})
			next := begin
			var healed time.Time
			for h := range 365 * 24 {
				y.now = begin.Add(time.Duration(h) * time.Hour)
				for _, org := range testOrgs {
					y.store(org, y.now, int64(y.rnd.IntN(8)))
				}
				if y.rnd.IntN(200) == 0 { // a list that long waited unclaimed
					y.store("a", y.now.Add(-time.Duration(y.rnd.IntN(40*24))*time.Hour), 3)
				}
				if y.claim.IsZero() && y.rnd.IntN(24*30) == 0 {
					y.claim, healed = y.now, y.now.Add(time.Duration(1+y.rnd.IntN(6*24))*time.Hour)
				}
				if !y.claim.IsZero() && y.now.After(healed) {
					y.claim = time.Time{}
				}
				if y.cap > 0 && y.rnd.IntN(24*60) == 0 {
					y.rules.CappedSize = int64(512+y.rnd.IntN(8192)) * docBytes
				}
				if y.now.Before(next) {
					continue
				}
				next = y.now.Add(time.Duration(1+y.rnd.IntN(120)) * time.Hour)
				y.apply()
				y.bounded()
			}
		})
	}
}
