package deepaudit

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"sluice/internal/archive"
	"sluice/internal/record"
)

func plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.FormatInt(n, 10) + " " + many
}

// Bounds of what is looked for again.
const (
	maxExtras = 100_000 // documents that the archive has not; more are only counted
	atOnce    = 1000    // records of one look
	enough    = 10_000  // missing records after which, when all are missing, the rest is taken for missing too
)

// comparison is a part of an hour of one store.
type comparison struct {
	k        *Keyed
	bit      uint64
	l        *loading
	found    []uint8 // by entry, at the first of its ID
	extras   []Held
	unlisted int64 // extras beyond maxExtras
}

// keyed holds what a store has of a part of an hour against the archive.
func (a *audit) keyed(ctx context.Context, n int, k *Keyed, l *loading, before State, hour, from, to time.Time) error {
	c := &comparison{k: k, bit: 1 << n, l: l, found: make([]uint8, len(l.entries))}
	r := a.report.Stores[k.Name]
	if err := a.hold(ctx, c, r, hour, from, to); err != nil {
		return fmt.Errorf("store %s: %w", k.Name, err)
	}
	if err := a.missing(ctx, c, r, before, hour); err != nil {
		return fmt.Errorf("store %s: %w", k.Name, err)
	}
	return a.strangers(ctx, c, r, hour, from, to)
}

// hold reads the store.
func (a *audit) hold(ctx context.Context, c *comparison, r *StoreReport, hour, from, to time.Time) error {
	return c.k.Store.Held(ctx, from, to, len(a.filters) > 0, func(h Held) error {
		if err := a.read(ctx, 1, hour); err != nil {
			return err
		}
		r.Compared++
		if h.Key != "" {
			r.Add(odd(hour, h.Where, h.Key))
			return nil
		}
		i, ok := c.l.find(h.ID)
		switch {
		case ok && c.found[i] > 0:
			r.Add(Finding{Kind: Double, Hour: hour, Record: h.ID.String(), Where: h.Where, Reason: "the record is there more than once"})
		case ok:
			c.found[i] = 1
		case a.leftOut(&h):
		case a.letters.ids[h.ID.String()+" "+a.o.ArchiveName]:
		case len(c.extras) < maxExtras:
			c.extras = append(c.extras, h)
		default:
			c.unlisted++
		}
		return nil
	})
}

func odd(hour time.Time, where, key string) Finding {
	return Finding{Kind: Strange, Hour: hour, Where: where, Reason: "a document whose key " + key + " is no record ID"}
}

// leftOut tells whether filters of the archive may have kept a record out of it.
func (a *audit) leftOut(h *Held) bool {
	for _, f := range a.filters {
		if !a.o.Passes(f, h) {
			return true
		}
	}
	return false
}

// missing names what the store should have.
func (a *audit) missing(ctx context.Context, c *comparison, r *StoreReport, before State, hour time.Time) error {
	floor, err := c.k.Store.Floor(ctx)
	if err != nil {
		return err
	}
	c.l.groups(func(i int, same []entry) {
		if c.found[i] == 0 {
			return
		}
		for _, e := range same {
			if p, ok := c.k.first[e.stream.Lineage]; !ok || e.at.Compare(p) < 0 {
				c.k.first[e.stream.Lineage] = e.at
			}
		}
	})
	var gone []*entry
	c.l.groups(func(i int, same []entry) {
		if c.found[i] > 0 {
			return
		}
		for j := range same {
			e := &same[j]
			if e.takes&c.bit != 0 && e.may&c.bit == 0 && a.settled(before, e, c.k.Name, hour) {
				gone = append(gone, e)
				return
			}
		}
	})
	if gone, err = a.reallyGone(ctx, c.k, gone); err != nil {
		return err
	}
	for _, e := range gone {
		first, seen := c.k.first[e.stream.Lineage]
		early := !seen || e.at.Compare(first) < 0
		switch {
		case !floor.IsZero() && (early || !time.Unix(seconds(e.id), 0).After(floor)):
			r.Note("the capped collection has turned over: records before " + floor.UTC().Format(time.RFC3339) + " are not looked for")
		case early && c.k.spare[a.account(e.stream.Lineage)] > 0:
			c.k.spare[a.account(e.stream.Lineage)]--
		default:
			r.Add(Finding{Kind: Missing, Hour: hour, Record: e.id.String(), List: e.stream.List, Position: e.at.String(),
				Reason: "the archive has the record, the ledger says that it was delivered, and it is not there"})
		}
	}
	return nil
}

// settled tells whether a sink should have a row. What lies in a followed archive and is not followed yet is not owed yet.
func (a *audit) settled(s State, e *entry, sink string, hour time.Time) bool {
	if s[e.stream.Lineage] == nil && a.followed[e.stream.Lineage] {
		return false
	}
	return s.settled(e.stream.Lineage, sink, e.at, hour)
}

// account is under which name it is kept what a sink was not owed of a lineage.
func (a *audit) account(lineage string) string {
	if l := a.begin[lineage]; l != nil && l.Followed != nil {
		return "followed by " + l.Source
	}
	return lineage
}

func seconds(id record.ID) int64 {
	return int64(uint32(id[0])<<24 | uint32(id[1])<<16 | uint32(id[2])<<8 | uint32(id[3]))
}

// reallyGone looks once more for what was not found: a store may show what was written late.
func (a *audit) reallyGone(ctx context.Context, k *Keyed, gone []*entry) ([]*entry, error) {
	var out []*entry
	there := false
	for i := 0; i < len(gone); i += atOnce {
		part := gone[i:min(i+atOnce, len(gone))]
		if i >= enough && !there {
			return append(out, gone[i:]...), nil
		}
		sought := make([]Sought, len(part))
		for j, e := range part {
			sought[j] = Sought{e.id, e.org}
		}
		has, err := k.Store.Has(ctx, sought)
		if err != nil {
			return nil, err
		}
		there = there || len(has) > 0
		for _, e := range part {
			if !has[e.id] {
				out = append(out, e)
			}
		}
	}
	return out, nil
}

// strangers names what the archive should have.
func (a *audit) strangers(ctx context.Context, c *comparison, r *StoreReport, hour, from, to time.Time) error {
	if len(c.extras) == 0 {
		return nil
	}
	add := func(kind, reason string) {
		for i := range c.extras {
			r.Add(Finding{Kind: kind, Hour: hour, Record: c.extras[i].ID.String(), Where: c.extras[i].Where, Reason: reason})
		}
		if c.unlisted > 0 {
			r.Add(Finding{Kind: kind, Hour: hour, Records: c.unlisted, Reason: reason})
		}
	}
	switch {
	case a.first.IsZero() || hour.Before(a.first):
		add(Untold, "it is from before the archive's first record")
		return nil
	case hour.Before(a.o.FollowedFrom):
		add(Untold, "it may be of an archive that is followed and has no hour that old any more")
		return nil
	case a.damaged:
		add(Untold, "the archive does not have it, but objects of its hour cannot be read")
		return nil
	}
	caught, err := a.await(ctx, a.o.ArchiveName)
	if err != nil {
		return err
	}
	if err := a.newcomers(ctx, c, hour, from, to); err != nil {
		return err
	}
	if caught {
		add(Strange, "the store has a record that the archive does not have")
	} else {
		add(InFlight, "the archive does not have it yet")
	}
	return nil
}

// newcomers takes from the extras what objects have that came since the hour was listed.
func (a *audit) newcomers(ctx context.Context, c *comparison, hour, from, to time.Time) error {
	came := map[record.ID]bool{}
	for h, err := range a.o.Archive.Hours(ctx, hour, hour.Add(time.Hour)) {
		if err != nil {
			return err
		}
		for _, m := range h.Manifests {
			if a.listed[m.Key] || !m.Touches(from, to) {
				continue
			}
			err := a.o.Archive.Rows(ctx, m, func(r *archive.Row) error {
				came[r.ID] = true
				return a.read(ctx, 1, hour)
			})
			if err != nil {
				return err
			}
		}
	}
	kept := c.extras[:0]
	for _, h := range c.extras {
		if !came[h.ID] {
			kept = append(kept, h)
		}
	}
	c.extras = kept
	if len(kept) == 0 && c.unlisted > 0 {
		return errors.New("more documents than can be held came while they were read: name a shorter time with --from and --to")
	}
	return nil
}
