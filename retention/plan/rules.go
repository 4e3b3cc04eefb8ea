package plan

import (
	"fmt"
	"slices"
	"time"

	"sluice/internal/units"
)

// Rules is how long what is kept. A span of 0 keeps for ever.
type Rules struct {
	Keep          map[Kind]time.Duration // of all kinds but Aggregate
	Widths        map[time.Duration]time.Duration
	RollUp        bool
	Organisations map[string]OrgRules
	Holds         []Hold
	Floor         time.Duration // nothing younger is ever deleted
	CappedSize    int64
	Convert       bool           // a plain collection that should be capped is converted
	MaxSize       map[Kind]int64 // bytes of all that a store of the kind holds; 0: no bound
	SealAfter     time.Duration  // age of an index's end; 0: none is merged and made read-only
	CompactAfter  time.Duration  // age of an hour's end; 0: nothing is joined
	TargetObject  int64          // bytes of rows in a joined object
	Parquet       bool           // hours of an archive that are over get a Parquet file
	WarnWithin    time.Duration  // before a store is full; 0: never
	Grace         time.Duration  // how long replaced objects stay
}

// OrgRules override rules for one organisation; what is not in them is not overridden.
type OrgRules struct {
	Keep   map[Kind]time.Duration
	Widths map[time.Duration]time.Duration
}

// Hold keeps what an organisation has in [From, To). A zero From or To is no bound; Org * is all.
type Hold struct {
	Org      string
	From, To time.Time
	Reason   string
}

func (h *Hold) touches(i *Item) bool {
	return (h.Org == "*" || i.AnyOrg || h.Org == i.Org) &&
		(h.To.IsZero() || i.From.Before(h.To)) && (h.From.IsZero() || h.From.Before(i.To))
}

// String names the hold as a plan shows it.
func (h *Hold) String() string {
	s := "hold of organisation " + h.Org
	if h.Org == "*" {
		s = "hold of all organisations"
	}
	if !h.From.IsZero() {
		s += " from " + stamp(h.From)
	}
	if !h.To.IsZero() {
		s += " to " + stamp(h.To)
	}
	return s + ": " + h.Reason
}

func stamp(t time.Time) string {
	if t.Equal(t.Truncate(units.Day)) {
		return t.UTC().Format(time.DateOnly)
	}
	return t.UTC().Format(time.RFC3339)
}

// rule is the span that an item is kept, and the key that says so.
type rule struct {
	keep time.Duration
	key  string
}

func (r rule) due(end, now time.Time) bool { return r.keep > 0 && !end.After(now.Add(-r.keep)) }

func (r rule) String() string {
	return fmt.Sprintf("older than %s (%s)", units.Duration(r.keep), r.key)
}

// of is the rule of an item. Rows of an archive are of many organisations, and go together: the longest span wins.
func (r *Rules) of(k Kind, i *Item) rule {
	switch {
	case k == Aggregate:
		return r.ofWidth(i.Org, i.Width)
	case i.AnyOrg && k != DeadLetters && k != Spool:
		return r.longest(k)
	}
	if keep, ok := r.Organisations[i.Org].Keep[k]; ok {
		return rule{keep, fmt.Sprintf("retention.organisations.%s.%s.keep", i.Org, k)}
	}
	return rule{r.Keep[k], fmt.Sprintf("retention.%s.keep", k)}
}

func (r *Rules) longest(k Kind) rule {
	out := rule{r.Keep[k], fmt.Sprintf("retention.%s.keep", k)}
	for _, org := range sortedKeys(r.Organisations) {
		keep, ok := r.Organisations[org].Keep[k]
		if ok && out.keep != 0 && (keep == 0 || keep > out.keep) {
			out = rule{keep, fmt.Sprintf("retention.organisations.%s.%s.keep", org, k)}
		}
	}
	return out
}

func (r *Rules) ofWidth(org string, w time.Duration) rule {
	name := units.Duration(w).String()
	if keep, ok := r.Organisations[org].Widths[w]; ok {
		return rule{keep, fmt.Sprintf("retention.organisations.%s.aggregate.keep.%s", org, name)}
	}
	return rule{r.Widths[w], "retention.aggregate.keep." + name}
}

// longestOf is how long documents of a width are kept at most, whatever their organisation; 0: for ever.
func (r *Rules) longestOf(w time.Duration) time.Duration {
	keep := r.Widths[w]
	for _, org := range r.Organisations {
		if k, ok := org.Widths[w]; ok && keep != 0 && (k == 0 || k > keep) {
			keep = k
		}
	}
	return keep
}

// coarser is the width that documents are rolled up to: the next one named whose own span has not passed at that time.
func (r *Rules) coarser(org string, w time.Duration, end, now time.Time) time.Duration {
	if !r.RollUp {
		return 0
	}
	var named []time.Duration
	for c := range r.Widths {
		named = append(named, c)
	}
	for c := range r.Organisations[org].Widths {
		named = append(named, c)
	}
	slices.Sort(named)
	for _, c := range named {
		if c > w && !r.ofWidth(org, c).due(end, now) {
			return c
		}
	}
	return 0
}
