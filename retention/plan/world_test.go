package plan

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"sluice/internal/units"
)

const testDay = units.Day

// heap is records of one organisation in one hour of one store.
type heap struct {
	kind   Kind
	org    string
	width  time.Duration // of aggregates
	at     time.Time     // start of the hour, or of the bucket
	n      int64         // documents
	stands int64         // records
	gone   time.Time     // emptied
}

// world is stores that do what they are told, record by record and with none of the planner's groupings.
type world struct {
	now   time.Time
	rules Rules
	heaps []heap
	claim time.Time
}

func dayOf(t time.Time) time.Time { return t.Truncate(testDay) }

// share is what an item is made of.
type share struct {
	kind  Kind
	org   string
	width time.Duration
	day   int64
	gone  int64
}

func (w *world) inventories() []Inventory {
	items := map[share]*Item{}
	order := map[Kind][]*Item{}
	for i := range w.heaps {
		h := &w.heaps[i]
		key := share{h.kind, h.org, h.width, dayOf(h.at).Unix(), h.gone.Unix()}
		if h.kind == Archive {
			key.org = ""
		}
		it := items[key]
		if it == nil {
			it = h.item()
			items[key] = it
			order[h.kind] = append(order[h.kind], it)
		}
		it.Records += h.n
		it.Bytes += h.n * 100
		if h.kind == Aggregate && h.gone.IsZero() {
			it.Stands += h.stands
		}
	}
	var out []Inventory
	for _, k := range []Kind{Archive, Search, Raw, Aggregate} {
		inv := Inventory{Store: string(k), Kind: k, Free: -1}
		for _, it := range order[k] {
			inv.Items = append(inv.Items, *it)
		}
		out = append(out, inv)
	}
	return out
}

// item is the empty item that a heap belongs to.
func (h *heap) item() *Item {
	it := &Item{Org: h.org, From: dayOf(h.at), To: dayOf(h.at).Add(testDay), Width: h.width, Emptied: h.gone}
	switch h.kind {
	case Search:
		it.Target, it.Whole = "idx-"+h.at.Format(time.DateOnly), true
	case Archive:
		it.Target, it.Org, it.AnyOrg = "dt="+h.at.Format(time.DateOnly), "", true
	case Raw:
		it.Target = "raw_" + h.org
	case Aggregate:
		it.Target = "agg"
	}
	return it
}

func (w *world) covered() *Covered {
	c := &Covered{Store: "archive", Hours: map[time.Time]int64{}}
	for _, h := range w.heaps {
		if h.kind == Archive {
			c.Hours[h.at] += h.n
		}
	}
	return c
}

func (w *world) plan() *Plan {
	return Make(Input{Now: w.now, Rules: w.rules, Inventories: w.inventories(), Archive: w.covered(),
		Claims: Claims{Oldest: w.claim}})
}

// takes tells whether an action is about a heap.
func (h *heap) takes(a *Action) bool {
	if a.Kind != h.kind || h.at.Before(a.From) || !h.at.Before(a.To) || a.width != h.width || a.Emptied == h.gone.IsZero() {
		return false
	}
	if len(a.Orgs) > 0 && !slices.Contains(a.Orgs, h.org) {
		return false
	}
	switch h.kind {
	case Search:
		return a.Target == "idx-"+h.at.Format(time.DateOnly)
	case Archive:
		return a.Target == "dt="+h.at.Format(time.DateOnly)
	case Raw:
		return a.Target == "raw_"+h.org
	}
	return a.Target == "agg"
}

// apply does an action; it returns what it deleted or emptied.
func (w *world) apply(a *Action) (hit []heap) {
	var kept []heap
	coarse := map[string]*heap{}
	for _, h := range w.heaps {
		if !h.takes(a) {
			kept = append(kept, h)
			continue
		}
		hit = append(hit, h)
		if a.Verb != RollUp {
			continue
		}
		key := fmt.Sprint(h.org, h.at.Truncate(a.into))
		if coarse[key] == nil {
			coarse[key] = &heap{kind: Aggregate, org: h.org, width: a.into, at: h.at.Truncate(a.into), n: 1}
		}
		coarse[key].stands += h.stands
		h.gone, h.stands = w.now, 0
		kept = append(kept, h)
	}
	for _, key := range sortedKeys(coarse) {
		c := coarse[key]
		i := slices.IndexFunc(kept, func(h heap) bool {
			return h.kind == Aggregate && h.org == c.org && h.width == c.width && h.at.Equal(c.at) && h.gone.IsZero()
		})
		if i < 0 {
			kept = append(kept, *c)
			continue
		}
		kept[i].stands += c.stands
	}
	w.heaps = kept
	return hit
}

// arrive puts records of an hour into all stores.
func (w *world) arrive(org string, at time.Time, n int64) {
	at = at.Truncate(time.Hour)
	for _, k := range []Kind{Archive, Search, Raw} {
		w.heaps = append(w.heaps, heap{kind: k, org: org, at: at, n: n, stands: n})
	}
	w.heaps = append(w.heaps, heap{kind: Aggregate, org: org, width: time.Hour, at: at, n: 1, stands: n})
}

// hits are the records that aggregates stand for.
func (w *world) hits() (n int64) {
	for _, h := range w.heaps {
		if h.kind == Aggregate {
			n += h.stands
		}
	}
	return n
}

// broken tells how a heap that was deleted should have been kept, judged without the planner's code.
func (w *world) broken(h *heap) string {
	end := h.at.Add(max(time.Hour, h.width))
	age := w.now.Sub(end)
	keep := w.rules.Keep[h.kind]
	if k, ok := w.rules.Organisations[h.org].Keep[h.kind]; ok {
		keep = k
	}
	if h.kind == Aggregate {
		keep = w.rules.Widths[h.width]
		if k, ok := w.rules.Organisations[h.org].Widths[h.width]; ok {
			keep = k
		}
	}
	switch {
	case !h.gone.IsZero():
		if w.now.Sub(h.gone) < testDay {
			return "emptied less than a day ago"
		}
		return ""
	case keep == 0:
		return "kept for ever"
	case age < keep:
		return "younger than its rule"
	case age < w.rules.Floor:
		return "younger than the floor"
	case !w.claim.IsZero() && end.After(w.claim.Add(-claimReach)):
		return "an open claim may have records of that time"
	}
	for _, hold := range w.rules.Holds {
		if (hold.Org == "*" || hold.Org == h.org) && (hold.From.IsZero() || end.After(hold.From)) &&
			(hold.To.IsZero() || h.at.Before(hold.To)) {
			return "on hold"
		}
	}
	return ""
}

var testOrgs = []string{"a", "b", "c"}

func drawKeep(t *rapid.T, label string) time.Duration {
	return time.Duration(rapid.SampledFrom([]int{0, 1, 2, 3, 5, 8, 13, 20}).Draw(t, label)) * testDay
}

func drawRules(t *rapid.T, now time.Time) Rules {
	r := Rules{Keep: map[Kind]time.Duration{}, Widths: map[time.Duration]time.Duration{}, Organisations: map[string]OrgRules{},
		RollUp: rapid.Bool().Draw(t, "roll up"), Floor: time.Duration(rapid.IntRange(0, 4).Draw(t, "floor")) * testDay}
	for _, k := range []Kind{Archive, Search, Raw} {
		r.Keep[k] = drawKeep(t, "keep "+string(k))
	}
	r.Widths[time.Hour] = drawKeep(t, "hours")
	if rapid.Bool().Draw(t, "days named") {
		r.Widths[testDay] = drawKeep(t, "days")
	}
	for _, org := range testOrgs {
		if !rapid.Bool().Draw(t, "override "+org) {
			continue
		}
		o := OrgRules{Keep: map[Kind]time.Duration{}, Widths: map[time.Duration]time.Duration{}}
		for _, k := range []Kind{Archive, Search, Raw} {
			if rapid.Bool().Draw(t, "of") {
				o.Keep[k] = drawKeep(t, org+" "+string(k))
			}
		}
		if rapid.Bool().Draw(t, "of") {
			o.Widths[time.Hour] = drawKeep(t, org+" hours")
		}
		r.Organisations[org] = o
	}
	for range rapid.IntRange(0, 2).Draw(t, "holds") {
		h := Hold{Org: rapid.SampledFrom(append([]string{"*"}, testOrgs...)).Draw(t, "held org"), Reason: "court"}
		from := now.Add(-time.Duration(rapid.IntRange(0, 600).Draw(t, "from")) * time.Hour)
		if rapid.Bool().Draw(t, "begins") {
			h.From = from
		}
		if rapid.Bool().Draw(t, "ends") {
			h.To = from.Add(time.Duration(rapid.IntRange(1, 200).Draw(t, "length")) * time.Hour)
		}
		r.Holds = append(r.Holds, h)
	}
	return r
}

func (w *world) sorted() []heap {
	out := slices.Clone(w.heaps)
	slices.SortFunc(out, func(a, b heap) int {
		return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b))
	})
	return out
}
