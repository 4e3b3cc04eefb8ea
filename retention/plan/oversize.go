package plan

import (
	"cmp"
	"fmt"
	"slices"

	"sluice/internal/units"
)

// shrink lets targets go beyond those that are too old, oldest first, until what stays is within the bound on the store's
// size. What is held back takes room all the same: the next oldest goes in its place, but never what the floor keeps.
func (p *planner) shrink(targets []*target) {
	bound := p.in.Rules.MaxSize[p.inv.Kind]
	if bound == 0 {
		return
	}
	var total, stays int64
	for _, t := range targets {
		for i, it := range t.items {
			if it.Going == "" {
				total += it.Bytes
			}
			if it.Going == "" && !t.verdicts[i].goes() {
				stays += it.Bytes
			}
		}
	}
	reason := fmt.Sprintf("the oldest of %s, retention.%s.max_size is %s", size(total), p.inv.Kind, units.Size(bound))
	inOrder := slices.Clone(targets)
	slices.SortStableFunc(inOrder, func(a, b *target) int { return cmp.Compare(a.items[0].From.Unix(), b.items[0].From.Unix()) })
	for _, t := range inOrder {
		if stays <= bound || t.items[0].To.After(p.in.Now.Add(-p.in.Rules.Floor)) {
			return
		}
		for i, it := range t.items {
			v := &t.verdicts[i]
			if it.Going != "" || v.verb != "" {
				continue // it is decided about already
			}
			*v = verdict{verb: verbOf(p.inv.Kind, it), reason: reason, held: p.held(it)}
			if why := p.archived(it, &v.verify); why != "" {
				v.held = append(v.held, why)
			}
			if v.goes() {
				stays -= it.Bytes
			}
		}
	}
}

// seal brings indices of days that are over into their last form, those that stay: merged, and read-only.
func (p *planner) seal(targets []*target) (out []Action) {
	if p.in.Rules.SealAfter == 0 {
		return nil
	}
	going := map[string]bool{}
	for _, t := range targets {
		going[t.name] = !slices.ContainsFunc(t.verdicts, func(v verdict) bool { return !v.goes() })
	}
	for _, u := range p.inv.Unsealed {
		if going[u.Target] || u.To.After(p.in.Now.Add(-p.in.Rules.SealAfter)) {
			continue
		}
		out = append(out, Action{Verb: Seal, Store: p.inv.Store, Kind: p.inv.Kind, Target: u.Target, From: u.From, To: u.To, Records: u.Records,
			Reason: fmt.Sprintf("%s, and its time was over %s ago (retention.search.seal_after)", u.Why, units.Duration(p.in.Rules.SealAfter)),
			HeldBy: p.undelivered(u.To)})
	}
	return out
}
