package main

import (
	"strings"
	"time"

	"sluice/internal/archive"
	"sluice/internal/config"
	"sluice/internal/units"
	"sluice/retention/plan"
)

// retainRules are the configured rules as the planner takes them.
func retainRules(c config.Retention) plan.Rules {
	r := plan.Rules{
		Keep: map[plan.Kind]time.Duration{
			plan.Archive: c.Archive.Keep.D(), plan.Raw: c.Raw.Keep.D(), plan.Search: c.Search.Keep.D(),
			plan.DeadLetters: c.DeadLetters.Keep.D(), plan.Uptime: c.Uptime.Keep.D(), plan.SQLite: c.SQLite.Keep.D(), plan.Spool: c.Spool.Keep.D(),
		},
		MaxSize: map[plan.Kind]int64{plan.Search: int64(c.Search.MaxSize)}, SealAfter: c.Search.SealAfter.D(), Convert: c.Raw.Convert, WarnWithin: c.WarnWithin.D(),
		Widths: retainWidths(c.Aggregate.Keep), RollUp: c.Aggregate.RollUp, Floor: c.Floor.D(),
		CappedSize: int64(c.Raw.CappedSize), CompactAfter: c.Archive.CompactAfter.D(), TargetObject: int64(c.Archive.TargetObject),
		Parquet: c.Archive.Parquet, Grace: archive.Grace, Organisations: map[string]plan.OrgRules{},
	}
	for org, o := range c.Organisations {
		or := plan.OrgRules{Keep: map[plan.Kind]time.Duration{}}
		for kind, k := range map[plan.Kind]*config.Keep{plan.Archive: o.Archive, plan.Raw: o.Raw, plan.Search: o.Search,
			plan.Uptime: o.Uptime, plan.SQLite: o.SQLite} {
			if k != nil {
				or.Keep[kind] = k.Keep.D()
			}
		}
		if o.Aggregate != nil {
			or.Widths = retainWidths(o.Aggregate.Keep)
		}
		r.Organisations[org] = or
	}
	for _, h := range c.Holds {
		r.Holds = append(r.Holds, plan.Hold{Org: h.Org, From: h.From.Time, To: h.To.Time, Reason: h.Reason})
	}
	return r
}

// retainWidths are the spans by bucket width; names that are none are refused with the configuration.
func retainWidths(named map[string]units.Duration) map[time.Duration]time.Duration {
	out := map[time.Duration]time.Duration{}
	for name, keep := range named {
		if w, err := units.ParseDuration(name); err == nil {
			out[w.D()] = keep.D()
		}
	}
	return out
}

// retainNotes say what of the rules this version does not do.
func retainNotes(cfg *config.Config) []string {
	c := cfg.Retention
	var notes []string
	var mongo []string
	for _, name := range sortedKeys(cfg.Sinks) {
		switch cfg.Sinks[name].Type {
		case "mongo-aggregate", "mongo-raw":
			mongo = append(mongo, name)
		}
	}
	if len(c.Holds) > 0 && len(mongo) > 0 {
		notes = append(notes, strings.Join(mongo, ", ")+": holds keep what retention would delete; they stop neither a capped collection "+
			"that turns over nor the expiry of documents at their expireAt, which the server does by itself")
	}
	return notes
}
