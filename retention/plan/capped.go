package plan

import (
	"cmp"
	"fmt"
	"slices"

	"sluice/internal/units"
)

// capped brings a capped collection to its size. Making it smaller drops its oldest documents: they are held back as if
// they were deleted by name.
func (p *planner) capped(c *Capped) []Action {
	want := roundCapped(p.in.Rules.CappedSize)
	switch {
	case want == 0:
		return nil
	case c.Plain:
		return p.converted(c, want)
	case c.Size == want:
		return nil
	}
	a := Action{Verb: ResizeCapped, Store: p.inv.Store, Kind: p.inv.Kind, Target: c.Target, Size: want,
		Reason: fmt.Sprintf("capped at %s, retention.raw.capped_size is %s", units.Size(c.Size), units.Size(want))}
	if c.Used > want {
		p.dropped(&a, c.Used-want)
	}
	return []Action{a}
}

// converted makes a plain collection a capped one, if that is asked for. What does not fit goes, as with a smaller size;
// while it is done both lie on the disk.
func (p *planner) converted(c *Capped, want int64) []Action {
	if !p.in.Rules.Convert {
		return nil
	}
	a := Action{Verb: ConvertCapped, Store: p.inv.Store, Kind: p.inv.Kind, Target: c.Target, Size: want, Locks: c.Locks,
		Reason: fmt.Sprintf("a plain collection of %s that grows without bound (retention.raw.convert)", size(c.Used))}
	if c.Used > want {
		p.dropped(&a, c.Used-want)
	}
	if needs := min(c.Used, want); p.inv.Free >= 0 && p.inv.Free < needs {
		a.HeldBy = append(a.HeldBy, fmt.Sprintf("both collections lie on the disk for a while: up to %s are needed and %s are free", size(needs), size(p.inv.Free)))
	}
	return []Action{a}
}

// dropped finds what a smaller size may drop, oldest first; days that may go in part count as dropped.
func (p *planner) dropped(a *Action, freed int64) {
	a.Bytes = freed
	items := make([]*Item, len(p.inv.Items))
	for i := range items {
		items[i] = &p.inv.Items[i]
	}
	slices.SortStableFunc(items, func(x, y *Item) int { return cmp.Compare(y.To.Unix(), x.To.Unix()) })
	var kept int64
	seen := map[string]bool{}
	for _, it := range items {
		kept += it.Bytes
		if float64(kept) <= survives*float64(a.Size) {
			continue
		}
		a.Records += it.Records
		if a.From.IsZero() || it.From.Before(a.From) {
			a.From = it.From
		}
		if it.To.After(a.To) {
			a.To = it.To
		}
		why := p.held(it)
		var verify bool
		if s := p.archived(it, &verify); s != "" {
			why = append(why, s)
		}
		a.Verify = a.Verify || verify
		for _, s := range why {
			if !seen[s] {
				seen[s] = true
				a.HeldBy = append(a.HeldBy, s)
			}
		}
	}
}

// roundCapped is the size that MongoDB makes of one asked for: a multiple of 256 bytes.
func roundCapped(n int64) int64 { return (n + 255) &^ 255 }
