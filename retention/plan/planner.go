package plan

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"sluice/internal/units"
)

const (
	// claimReach is how far before its making a claim may hold records that count: gateways push within seconds. What is
	// older comes from a list that long waited unclaimed, or from a retried dead letter, and lands in the archive by the
	// same claim: if it lands in a span that was deleted, the next plan has it.
	claimReach = units.Day
	// emptiedFor is how long a rolled-up document stays, so that a late update cannot bring it back.
	emptiedFor = units.Day
	// survives is the share of a capped collection's new size that surely holds the newest documents.
	survives = 0.9
)

// Input is all that a plan rests on.
type Input struct {
	Now         time.Time
	Rules       Rules
	Inventories []Inventory
	Archive     *Covered // nil: no archive is configured
	Claims      Claims
	Notes       []string
	Problems    []string
}

// Make makes the plan.
func Make(in Input) *Plan {
	p := &Plan{Made: in.Now.UTC(), Actions: []Action{}, Notes: slices.Clone(in.Notes), Problems: slices.Clone(in.Problems)}
	for i := range in.Inventories {
		inv := &in.Inventories[i]
		pl := planner{in: &in, inv: inv, sums: sums(inv)}
		actions := pl.actions()
		p.Actions = append(p.Actions, actions...)
		f := pl.forecast(actions)
		p.Forecasts = append(p.Forecasts, f)
		if f.Warning != "" {
			p.Warnings = append(p.Warnings, f.Store+": "+f.Warning)
		}
		p.Advice = append(p.Advice, pl.classes()...)
		for _, n := range inv.Notes {
			p.Notes = append(p.Notes, inv.Store+": "+n)
		}
	}
	if in.Archive != nil && in.Archive.Err != "" {
		p.Problems = append(p.Problems, "the archive "+in.Archive.Store+" could not be read: "+in.Archive.Err)
	}
	if in.Claims.Err != "" {
		p.Problems = append(p.Problems, in.Claims.Err)
	}
	sortActions(p.Actions)
	return p
}

// planner decides about one inventory.
type planner struct {
	in   *Input
	inv  *Inventory
	sums map[stretch]int64
}

// stretch is where records are counted for the comparison with the archive.
type stretch struct {
	group    string
	from, to time.Time
}

func stretchOf(i *Item) stretch { return stretch{i.Group, i.From, i.To} }

func sums(inv *Inventory) map[stretch]int64 {
	out := map[stretch]int64{}
	for i := range inv.Items {
		if it := &inv.Items[i]; it.Emptied.IsZero() {
			out[stretchOf(it)] += it.stands()
		}
	}
	return out
}

// verdict is what is decided about an item; without a verb it stays.
type verdict struct {
	verb   Verb
	into   time.Duration
	reason string
	verify bool
	held   []string
}

func (v *verdict) goes() bool { return v.verb != "" && len(v.held) == 0 }

func (p *planner) actions() (out []Action) {
	out = append(out, p.expiry()...)
	out = append(out, p.tidy()...)
	if c := p.inv.Capped; c != nil {
		return append(out, p.capped(c)...) // its size alone bounds it
	}
	targets := p.targets()
	p.shrink(targets)
	for _, t := range targets {
		if t.items[0].Whole {
			out = append(out, p.whole(t.items, t.verdicts)...)
			continue
		}
		out = append(out, p.runs(t.items, t.verdicts)...)
	}
	return append(out, p.seal(targets)...)
}

// target is what a target holds, and what is decided about each part of it.
type target struct {
	name     string
	items    []*Item
	verdicts []verdict
}

// targets decides by age, target by target in the order of their names.
func (p *planner) targets() (out []*target) {
	byName := map[string]*target{}
	for i := range p.inv.Items {
		it := &p.inv.Items[i]
		t := byName[it.Target]
		if t == nil {
			t = &target{name: it.Target}
			byName[it.Target] = t
		}
		t.items = append(t.items, it)
	}
	queues := map[string]string{}
	for _, name := range sortedKeys(byName) {
		t := byName[name]
		slices.SortStableFunc(t.items, func(a, b *Item) int {
			return cmp.Or(cmp.Compare(a.Org, b.Org), cmp.Compare(a.Width, b.Width), a.From.Compare(b.From))
		})
		t.verdicts = make([]verdict, len(t.items))
		for i, it := range t.items {
			t.verdicts[i] = p.decide(it, queues)
		}
		out = append(out, t)
	}
	return out
}

func (p *planner) expiry() (out []Action) {
	for _, t := range p.inv.Indexes {
		out = append(out, Action{Verb: SetTTL, Store: p.inv.Store, Kind: p.inv.Kind, Target: t.Target, Reason: t.Why})
	}
	for _, t := range p.inv.Missing {
		out = append(out, Action{Verb: MakeIndexes, Store: p.inv.Store, Kind: p.inv.Kind, Target: t.Target, Reason: t.Why})
	}
	return out
}

// decide judges one item. queues has, by queue, what stays in front of the rest.
func (p *planner) decide(it *Item, queues map[string]string) verdict {
	v := p.judge(it)
	if it.Queue == "" {
		return v
	}
	if first := queues[it.Queue]; first != "" && v.verb != "" {
		v.held = append(v.held, "what was written before it stays: "+first)
	}
	if !v.goes() && queues[it.Queue] == "" {
		queues[it.Queue] = it.Target
	}
	return v
}

func (p *planner) judge(it *Item) (v verdict) {
	now := p.in.Now
	if it.Going != "" {
		return v
	}
	if !it.Emptied.IsZero() {
		if !it.Emptied.After(now.Add(-emptiedFor)) {
			v.verb, v.reason = DeleteDocuments, "rolled up more than a day ago"
		}
		return v
	}
	r := p.in.Rules.of(p.inv.Kind, it)
	if !r.due(it.To, now) {
		return v
	}
	v.verb, v.reason = verbOf(p.inv.Kind, it), r.String()
	if p.inv.Kind == Aggregate {
		if v.into = p.in.Rules.coarser(it.Org, it.Width, it.To, now); v.into > 0 {
			v.verb = RollUp
		}
	}
	v.held = p.held(it)
	if why := p.archived(it, &v.verify); why != "" {
		v.held = append(v.held, why)
	}
	return v
}

func verbOf(k Kind, it *Item) Verb {
	switch {
	case it.Whole:
		return DeleteIndex
	case k == Archive:
		return DeletePartition
	case k == DeadLetters:
		return DeleteSegment
	case k == Spool:
		return DeleteBatches
	}
	return DeleteDocuments
}

// held is what keeps an item whatever its rule says, but for the archive.
func (p *planner) held(it *Item) (why []string) {
	now, rules := p.in.Now, &p.in.Rules
	if it.To.After(now.Add(-rules.Floor)) {
		why = append(why, fmt.Sprintf("the floor: nothing younger than %s is deleted (retention.floor)", units.Duration(rules.Floor)))
	}
	for i := range rules.Holds {
		if h := &rules.Holds[i]; h.touches(it) {
			why = append(why, h.String())
		}
	}
	if it.Pinned != "" {
		why = append(why, it.Pinned)
	}
	if p.inv.Kind == DeadLetters || p.inv.Kind == Spool {
		return why
	}
	return append(why, p.undelivered(it.To)...)
}

// undelivered is why what ends at a moment must stay for the sake of records that are still to be written.
func (p *planner) undelivered(end time.Time) []string {
	switch c := p.in.Claims; {
	case c.Err != "":
		return []string{"what is still to be written is not known: " + c.Err}
	case !c.Oldest.IsZero() && end.After(c.Oldest.Add(-claimReach)):
		return []string{fmt.Sprintf("records taken at %s are not delivered yet and may belong here", stamp(c.Oldest.Truncate(time.Second)))}
	}
	return nil
}

// archived tells why an item must stay because of the archive, and whether what the archive has of it is to be verified.
func (p *planner) archived(it *Item, verify *bool) string {
	c := p.in.Archive
	if c == nil || !p.inv.Kind.archived() {
		return ""
	}
	if c.Err != "" {
		return "the archive " + c.Store + " could not be read, so that nothing is known to be safe in it"
	}
	have, want := c.records(it.From, it.To), p.sums[stretchOf(it)]
	*verify = have > 0
	if c.Partial || p.in.Rules.longest(Archive).due(it.To, p.in.Now) {
		return "" // it need not hold them, or not any more
	}
	if have < want {
		return fmt.Sprintf("the archive %s holds %d of %d records of that time", c.Store, have, want)
	}
	return ""
}

func (p *planner) action(it *Item, v *verdict) Action {
	a := Action{Verb: v.verb, Store: p.inv.Store, Kind: p.inv.Kind, Target: it.Target, From: it.From, To: it.To,
		Records: it.Records, Bytes: it.Bytes, Reason: v.reason, Verify: v.verify, HeldBy: v.held,
		Emptied: !it.Emptied.IsZero(), width: it.Width, into: v.into}
	if it.Width > 0 {
		a.Width = units.Duration(it.Width).String()
	}
	if v.into > 0 {
		a.Into = units.Duration(v.into).String()
	}
	if !it.AnyOrg {
		a.Orgs = []string{it.Org}
	}
	return a
}
