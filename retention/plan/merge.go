package plan

import (
	"slices"
	"strings"
)

// whole decides about a target that goes as one if everything in it goes.
func (p *planner) whole(items []*Item, verdicts []verdict) []Action {
	byFate := map[string]*Action{}
	whole := true
	for i, it := range items {
		v := verdicts[i]
		whole = whole && v.verb != ""
		if v.verb == "" {
			continue
		}
		fate := v.reason + "\x00" + strings.Join(v.held, "\x00")
		a := p.action(it, &v)
		if have := byFate[fate]; have != nil {
			have.add(&a)
			continue
		}
		byFate[fate] = &a
	}
	if whole && len(byFate) == 1 {
		for _, a := range byFate {
			a.Orgs = nil
			return []Action{*a}
		}
	}
	if whole && !slices.ContainsFunc(verdicts, func(v verdict) bool { return len(v.held) > 0 }) {
		return []Action{joined(byFate)}
	}
	var out []Action
	for _, fate := range sortedKeys(byFate) {
		a := byFate[fate]
		a.Verb = DeleteDocuments
		out = append(out, *a)
	}
	return out
}

// joined is one action of several that delete the same target for different reasons.
func joined(byFate map[string]*Action) (out Action) {
	for n, fate := range sortedKeys(byFate) {
		a := byFate[fate]
		if n == 0 {
			out = *a
			continue
		}
		out.add(a)
		out.Reason += "; " + a.Reason
	}
	out.Orgs = nil
	return out
}

// add takes another action of the same target and fate in.
func (a *Action) add(o *Action) {
	a.Records += o.Records
	a.Bytes += o.Bytes
	a.Verify = a.Verify || o.Verify
	a.Orgs = append(a.Orgs, o.Orgs...)
	if o.From.Before(a.From) {
		a.From = o.From
	}
	if o.To.After(a.To) {
		a.To = o.To
	}
}

// runs joins what lies side by side in time and has one fate, then organisations that share all of that. Items come
// sorted by organisation, width and time.
func (p *planner) runs(items []*Item, verdicts []verdict) (out []Action) {
	var last *Action
	for i, it := range items {
		v := &verdicts[i]
		if v.verb == "" {
			last = nil
			continue
		}
		a := p.action(it, v)
		if last != nil && it.Queue == "" && p.inv.Kind != Archive && last.continues(&a) {
			orgs := last.Orgs
			last.add(&a)
			last.Orgs = orgs
			continue
		}
		out = append(out, a)
		last = &out[len(out)-1]
	}
	return shared(out)
}

// continues tells whether o may be done as part of a: nothing that stays lies between them.
func (a *Action) continues(o *Action) bool { return a.sameFate(o) && slices.Equal(a.Orgs, o.Orgs) }

func (a *Action) sameFate(o *Action) bool {
	return a.Verb == o.Verb && a.Target == o.Target && a.width == o.width && a.into == o.into && a.Emptied == o.Emptied &&
		a.Reason == o.Reason && slices.Equal(a.HeldBy, o.HeldBy)
}

// shared joins actions of several organisations on the same stretch of one target.
func shared(in []Action) (out []Action) {
next:
	for _, a := range in {
		for i := range out {
			if o := &out[i]; len(a.Orgs) > 0 && len(o.Orgs) > 0 && o.sameFate(&a) && o.From.Equal(a.From) && o.To.Equal(a.To) {
				o.add(&a)
				continue next
			}
		}
		out = append(out, a)
	}
	return out
}
