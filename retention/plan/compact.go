package plan

import (
	"fmt"
	"time"

	"sluice/internal/units"
)

// Hour is an hour of an archive's day whose objects can be tidied up.
type Hour struct {
	Target  string // of the day, as an Item's
	At      time.Time
	Records int64
	Bytes   int64
	Objects int // that are small
	Into    int // that they would become
}

// Leftovers are objects of an hour that another one replaced.
type Leftovers struct {
	Target  string
	At      time.Time
	Since   time.Time // when they were replaced
	Objects int
	Bytes   int64
}

// Unindexed is a day of an archive whose index lacks manifests.
type Unindexed struct {
	Target  string
	To      time.Time
	Missing int
}

// worthIndexing is how many manifests a reader would have to get one by one.
const worthIndexing = 8

// index has days indexed that are over, once they are joined and what was joined is gone.
func (p *planner) index(going map[string]bool, joining []Action) (out []Action) {
	for _, a := range joining {
		if a.Verb == Compact && !a.Held() {
			going[a.Target] = true
		}
	}
	for _, l := range p.inv.Replaced { // what is deleted soon is not indexed before
		going[l.Target] = true
	}
	for _, u := range p.inv.Unindexed {
		if u.Missing < worthIndexing || going[u.Target] || u.To.After(p.in.Now.Add(-p.in.Rules.CompactAfter)) {
			continue
		}
		out = append(out, Action{Verb: Index, Store: p.inv.Store, Kind: p.inv.Kind, Target: u.Target, To: u.To, From: u.To.Add(-units.Day),
			Reason: fmt.Sprintf("readers get %d manifests one by one", u.Missing)})
	}
	return out
}

// tidy joins small objects of hours that are over, and deletes what they replaced once nobody reads it any more.
func (p *planner) tidy() (out []Action) {
	going := map[string]bool{} // whole days that are deleted anyway
	for i := range p.inv.Items {
		if it := &p.inv.Items[i]; p.in.Rules.of(Archive, it).due(it.To, p.in.Now) && len(p.held(it)) == 0 {
			going[it.Target] = true
		}
	}
	for _, h := range p.inv.Small {
		if going[h.Target] {
			continue
		}
		if a, due := p.joined(&h); due {
			out = gather(out, &a)
		}
	}
	for _, l := range p.inv.Replaced {
		if going[l.Target] || l.Since.After(p.in.Now.Add(-p.in.Rules.Grace)) {
			continue
		}
		out = gather(out, &Action{Verb: DeleteReplaced, Store: p.inv.Store, Kind: p.inv.Kind, Target: l.Target, From: l.At, To: l.At.Add(time.Hour),
			Objects: l.Objects, Bytes: l.Bytes, Before: p.in.Now.Add(-p.in.Rules.Grace),
			Reason: "replaced by other objects more than " + units.Duration(p.in.Rules.Grace).String() + " ago"})
	}
	return append(out, p.index(going, out)...)
}

// joined is the action for an hour, if it is over: what is still to be delivered would add to it.
func (p *planner) joined(h *Hour) (Action, bool) {
	end, after := h.At.Add(time.Hour), p.in.Rules.CompactAfter
	if after == 0 || end.After(p.in.Now.Add(-after)) {
		return Action{}, false
	}
	a := Action{Verb: Compact, Store: p.inv.Store, Kind: p.inv.Kind, Target: h.Target, From: h.At, To: end, Records: h.Records,
		Objects: h.Objects, Size: p.in.Rules.TargetObject,
		Reason: "small objects of hours that are over (retention.archive.compact_after)"}
	switch c := p.in.Claims; {
	case c.Err != "":
		a.HeldBy = []string{"what is still to be written is not known: " + c.Err}
	case !c.Oldest.IsZero() && end.After(c.Oldest.Add(-after)):
		a.HeldBy = []string{fmt.Sprintf("records taken at %s are not delivered yet and may belong here", stamp(c.Oldest.Truncate(time.Second)))}
	}
	return a, true
}

// gather joins an action with the one before it when both are of one day and fate.
func gather(out []Action, a *Action) []Action {
	if n := len(out) - 1; n >= 0 && out[n].sameFate(a) {
		out[n].add(a)
		out[n].Objects += a.Objects
		return out
	}
	return append(out, *a)
}
