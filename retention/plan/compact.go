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

// Parquet is an hour of an archive whose Parquet file is not in step with it.
type Parquet struct {
	Target  string // of the day, as an Item's
	At      time.Time
	Records int64 // that the hour has now
	Bytes   int64 // of the files that are there; 0: there is none
	Gone    bool  // the archive has nothing of the hour any more
}

// parquet has files written for hours that are over, and again where rows came or went since. Where none are wanted, what is not
// in step any more goes: it may hold what was erased.
func (p *planner) parquet(going map[string]bool) (out []Action) {
	for _, f := range p.inv.Parquet {
		a := Action{Store: p.inv.Store, Kind: p.inv.Kind, Target: f.Target, From: f.At, To: f.At.Add(time.Hour)}
		switch {
		case going[f.Target]:
			continue
		case f.Gone:
			a.Verb, a.Bytes, a.Reason = DeleteParquet, f.Bytes, "the archive has nothing of these hours any more"
		case p.in.Rules.Parquet:
			a.Verb, a.Records, a.Reason = WriteParquet, f.Records, "hours that are over (retention.archive.parquet)"
			if f.Bytes > 0 {
				a.Reason = "the hours have other objects than when their Parquet was written (retention.archive.parquet)"
			}
			due := false
			if a.HeldBy, due = p.over(f.At.Add(time.Hour)); !due {
				continue
			}
		case f.Bytes > 0:
			a.Verb, a.Bytes, a.Reason = DeleteParquet, f.Bytes, "the hours have other objects than when it was written, and retention.archive.parquet is off"
		default:
			continue
		}
		out = gather(out, &a)
	}
	return out
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
	out = append(out, p.parquet(going)...)
	return append(out, p.index(going, out)...)
}

// joined is the action for an hour, if it is over: what is still to be delivered would add to it.
func (p *planner) joined(h *Hour) (Action, bool) {
	end := h.At.Add(time.Hour)
	held, due := p.over(end)
	return Action{Verb: Compact, Store: p.inv.Store, Kind: p.inv.Kind, Target: h.Target, From: h.At, To: end, Records: h.Records,
		Objects: h.Objects, Size: p.in.Rules.TargetObject, HeldBy: held,
		Reason: "small objects of hours that are over (retention.archive.compact_after)"}, due
}

// over tells whether an hour is one that is over, and what may still come to it.
func (p *planner) over(end time.Time) (held []string, due bool) {
	after := p.in.Rules.CompactAfter
	if after == 0 || end.After(p.in.Now.Add(-after)) {
		return nil, false
	}
	switch c := p.in.Claims; {
	case c.Err != "":
		held = []string{"what is still to be written is not known: " + c.Err}
	case !c.Oldest.IsZero() && end.After(c.Oldest.Add(-after)):
		held = []string{fmt.Sprintf("records taken at %s are not delivered yet and may belong here", stamp(c.Oldest.Truncate(time.Second)))}
	}
	return held, true
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
