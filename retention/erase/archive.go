package erase

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sluice/internal/archive"
	"sluice/internal/archive/columnar"
	"sluice/internal/crash"
	"sluice/internal/units"
	"sluice/retention/plan"
)

// Locked tells why an object cannot be deleted, empty if it can.
type Locked func(ctx context.Context, key string) (string, error)

// Archive erases in an archive: objects that hold the person's rows are written anew without them. What they replace is
// deleted when it is a Grace old, by this or by retention.
type Archive struct {
	Name   string
	Store  archive.Store
	Prefix string
	Dir    string // for a temporary file
	Person *Person
	Locked Locked // may be nil

	Waiting int // old objects, and manifests, that are not old enough to be deleted, as Plan found
}

// judge decides about one row. One on hold stays, whatever the plan knew of it: rows come late. It is noted in met.
func (a *Archive) judge(r *archive.Row, met *[]string) archive.Fate {
	if !a.Person.Takes(r.Record) {
		return archive.Keep
	}
	hold := a.Person.Held(r.Record.OrgID, r.Record.TimeStamp)
	switch {
	case hold != nil:
		if name := hold.String(); !slices.Contains(*met, name) {
			*met = append(*met, name)
		}
		return archive.Keep
	case a.Person.Anonymise:
		Anonymise(r.Record)
		return archive.Changed
	}
	return archive.Drop
}

func (a *Archive) rewriter() *archive.Rewriter {
	return &archive.Rewriter{Store: a.Store, Prefix: a.Prefix, Dir: a.Dir}
}

// Plan reads every object of the time, and tells which hours hold rows of the person, and what forbids to take them out.
func (a *Archive) Plan(ctx context.Context) (out []plan.Action, err error) {
	for h, err := range archive.Hours(ctx, a.Store, a.Prefix, a.Person.From, a.Person.To) {
		if err != nil {
			return out, err
		}
		if len(h.Broken) > 0 {
			return out, fmt.Errorf("what a manifest describes is not known: %w", h.Broken[0].Err)
		}
		act, err := a.hour(ctx, &h)
		if err != nil {
			return out, err
		}
		if act.Records > 0 {
			out = append(out, act)
		}
		have, err := columnar.ReadHour(ctx, a.Store, a.Prefix, h.Region, h.Time)
		if err != nil {
			return out, err
		}
		if len(have.Files) > 0 && !have.Current(columnar.Digest(&h)) && act.Records == 0 { // it may hold what was erased
			stale := a.action(&h, plan.WriteParquet, "the hour has other objects than when its Parquet was written")
			if stale.HeldBy, err = a.locked(ctx, nil, have); err != nil {
				return out, err
			}
			out = append(out, stale)
		}
		if left := a.leftovers(&h, have); left.Objects > 0 {
			out = append(out, left)
		}
	}
	return out, nil
}

func (a *Archive) hour(ctx context.Context, h *archive.Hour) (plan.Action, error) {
	act := a.action(h, a.Person.Verb(), a.Person.String())
	held := map[string]bool{}
	affected, err := a.rewriter().Affected(ctx, h, func(r *archive.Row) archive.Fate {
		if !a.Person.Takes(r.Record) {
			return archive.Keep
		}
		if hold := a.Person.Held(r.Record.OrgID, r.Record.TimeStamp); hold != nil && !held[hold.String()] {
			held[hold.String()] = true
			act.HeldBy = append(act.HeldBy, hold.String())
		}
		return archive.Drop
	})
	if err != nil {
		return act, err
	}
	for _, o := range affected {
		act.Records += o.Rows
		act.Objects++
	}
	if len(affected) == 0 {
		return act, nil
	}
	have, err := columnar.ReadHour(ctx, a.Store, a.Prefix, h.Region, h.Time)
	if err != nil {
		return act, err
	}
	why, err := a.locked(ctx, affected, have)
	act.HeldBy = append(act.HeldBy, why...)
	return act, err
}

// action is one for an hour.
func (a *Archive) action(h *archive.Hour, verb plan.Verb, reason string) plan.Action {
	return plan.Action{Verb: verb, Store: a.Name, Kind: plan.Archive, From: h.Time, To: h.Time.Add(time.Hour), Reason: reason,
		Target: strings.TrimSuffix(archive.Partition("", h.Region, h.Time), "/")}
}

// locked is why objects, or an hour's Parquet files, cannot be deleted.
func (a *Archive) locked(ctx context.Context, objects []archive.Affected, have *columnar.Hour) (out []string, err error) {
	if a.Locked == nil {
		return nil, nil
	}
	var keys []string
	for _, o := range objects {
		keys = append(keys, o.Object.Key)
	}
	for _, f := range have.Files {
		keys = append(keys, f.Key)
	}
	for _, key := range keys {
		why, err := a.Locked(ctx, key)
		if err != nil {
			return out, err
		}
		if why != "" {
			out = append(out, why)
		}
	}
	return out, nil
}

// leftovers are what was replaced in an hour and may be deleted.
func (a *Archive) leftovers(h *archive.Hour, have *columnar.Hour) plan.Action {
	act := a.action(h, plan.DeleteReplaced, "replaced more than "+units.Duration(archive.Grace).String()+" ago")
	act.Before = time.Now().Add(-archive.Grace)
	left := func(since time.Time, size int64) {
		if since.After(act.Before) {
			a.Waiting++
			return
		}
		act.Objects++
		act.Bytes += size
	}
	for _, l := range h.Leftovers() {
		left(l.Since, l.Size)
	}
	for _, l := range have.Leftovers() {
		left(l.Since, l.Size)
	}
	return act
}

// Do does an action of a plan; to do it again changes nothing.
func (a *Archive) Do(ctx context.Context, act *plan.Action, done func(int64)) error {
	region, _, ok := strings.Cut(strings.TrimPrefix(act.Target, "region="), "/dt=")
	if !ok {
		return fmt.Errorf("%s is no hour of the archive", act.Target)
	}
	region = archive.ParseLabel(region)
	switch act.Verb {
	case plan.DeleteReplaced:
		return a.sweep(ctx, act, region)
	case plan.WriteParquet:
		return a.columns(ctx, act, region)
	}
	var met []string
	judge := func(r *archive.Row) archive.Fate { return a.judge(r, &met) }
	if err := a.rewriter().Rewrite(ctx, region, act.From, judge, done); err != nil {
		return err
	}
	return errors.Join(a.columns(ctx, act, region), NewHeldError(met))
}

// table is the archive's Parquet files.
func (a *Archive) table() *columnar.Table {
	return &columnar.Table{Store: a.Store, Prefix: a.Prefix, Dir: a.Dir}
}

// columns writes the Parquet file of an hour that has one anew.
func (a *Archive) columns(ctx context.Context, act *plan.Action, region string) error {
	have, err := columnar.ReadHour(ctx, a.Store, a.Prefix, region, act.From)
	if err != nil || len(have.Files) == 0 {
		return err
	}
	return a.table().Write(ctx, region, act.From, func(int64) {})
}

func (a *Archive) sweep(ctx context.Context, act *plan.Action, region string) error {
	h, err := archive.ReadHour(ctx, a.Store, a.Prefix, region, act.From)
	if err != nil {
		return err
	}
	if err := a.table().Sweep(ctx, region, act.From, act.Before); err != nil {
		return err
	}
	sound := map[string]bool{}
	for _, l := range h.Leftovers() {
		if l.Since.After(act.Before) {
			continue
		}
		if !sound[l.By.Key] {
			if err := archive.Verify(ctx, a.Store, l.By); err != nil {
				return fmt.Errorf("nothing that it replaced is deleted: %w", err)
			}
			sound[l.By.Key] = true
		}
		crash.Before("erase/replaced")
		err := a.Store.Delete(ctx, l.Key)
		crash.After("erase/replaced")
		if err != nil {
			return err
		}
	}
	return errors.Join(ctx.Err())
}
