// Command model checks the drain protocol as an explicit-state model; see README.md.
package main

import (
	"flag"
	"fmt"
	"strings"
	"time"
)

func main() {
	only := flag.String("only", "", "run cases whose name contains this")
	sec := flag.Int("sec", 60, "seconds a case")
	max := flag.Int("max", 12000000, "states a case")
	walk := flag.Int("walk", 0, "random steps a walk case instead of exploring")
	seed := flag.Int64("seed", 1, "seed of the walks")
	flag.Parse()
	type cs struct {
		name string
		k    Cfg
		bad  bool
	}
	b := Cfg{L: 1, R: 3, Claims: 2, Pumps: 2, Faults: 2}
	w := func(f func(k *Cfg)) Cfg { k := b; f(&k); return k }
	cases := []cs{
		{"plant: <= instead of equality", w(func(k *Cfg) { k.LE = true }), true},
		{"plant: cursor before effect", w(func(k *Cfg) { k.EarlyCursor = true }), true},
		{"plant: no refold after a miss", w(func(k *Cfg) { k.NoRefold = true }), true},
		{"plant: position pruned", w(func(k *Cfg) { k.Prune = true }), true},
		{"plant: relative trim", w(func(k *Cfg) { k.RelTrim = true; k.R = 2; k.Faults = 1; k.Pumps = 1; k.Claims = 1 }), true},
		{"plant: chained updates in flight", w(func(k *Cfg) { k.Optimistic = true }), true},
		{"plant: local read of positions", w(func(k *Cfg) { k.LocalRead = true; k.MongoRollback = true; k.Faults = 3 }), true},
		{"plant: no WAIT", w(func(k *Cfg) { k.Failover = true; k.NoWait = true; k.Faults = 1; k.R = 2 }), true},
		{"plant: open claims take the new epoch", w(func(k *Cfg) {
			k.Failover = true
			k.WaitOnTake = true
			k.CurrentEpoch = true
			k.Faults = 1
			k.R = 2
		}), true},
		{"plant: LRANGE from a cached offset", w(func(k *Cfg) { k.CachedBase = true; k.R = 2; k.Faults = 1; k.Claims = 1 }), true},
		{"v0 1 list 2 records 1 fault, B in full", w(func(k *Cfg) { k.R = 2; k.Faults = 1 }), false},
		{"v0 1 list 2 records 2 faults", w(func(k *Cfg) { k.R = 2; k.BFast = true }), false},
		{"v0 1 list 3 records 1 claim 1 fault", w(func(k *Cfg) { k.BFast = true; k.Claims = 1; k.Faults = 1 }), false},
		{"v0 2 lists 2+2 records 1 pump 0 faults", w(func(k *Cfg) {
			k.BFast = true
			k.L = 2
			k.R = 2
			k.Claims = 1
			k.Faults = 0
			k.Pumps = 1
		}), false},
		{"v0 2 lists 1+1 records 1 fault", w(func(k *Cfg) { k.BFast = true; k.L = 2; k.R = 1; k.Claims = 1; k.Faults = 1 }), false},
		{"v0 Mongo rollback, 1 record 3 faults", w(func(k *Cfg) { k.BFast = true; k.R = 1; k.MongoRollback = true; k.Faults = 3 }), false},
		{"v0 delayed scripts, cursors set (as written)", w(func(k *Cfg) { k.R = 2; k.DelayedScripts = true; k.CursorSet = true; k.Claims = 1; k.Faults = 3 }), true},
		{"rule: delayed scripts, cursors set, does it do harm", w(func(k *Cfg) {
			k.BFast = true
			k.R = 2
			k.DelayedScripts = true
			k.CursorSet = true
			k.Quiet = true
			k.Claims = 1
			k.Faults = 2
		}), true},
		{"v0 delayed scripts, cursors max", w(func(k *Cfg) { k.BFast = true; k.R = 2; k.DelayedScripts = true; k.Claims = 1; k.Faults = 2 }), false},
		{"v0 delayed scripts, cursors compared and set", w(func(k *Cfg) {
			k.BFast = true
			k.R = 2
			k.DelayedScripts = true
			k.CAS = true
			k.Claims = 1
			k.Faults = 2
		}), false},
		{"v0 delayed scripts, cursors compared and set, sessions told apart", w(func(k *Cfg) {
			k.BFast = true
			k.R = 2
			k.DelayedScripts = true
			k.CAS = true
			k.Fence = true
			k.Claims = 1
			k.Faults = 2
		}), false},
		{"v0 1 list 2 records 2 faults, cursors compared and set", w(func(k *Cfg) { k.R = 2; k.BFast = true; k.CAS = true }), false},
		{"v1 WAIT for every claim seen, 1 record 2 faults, cursors compared and set", w(func(k *Cfg) {
			k.BFast = true
			k.R = 1
			k.Failover = true
			k.WaitOnTake = true
			k.CAS = true
			k.Faults = 2
		}), false},
		{"rule: no owner check, 1 fault", w(func(k *Cfg) {
			k.BFast = true
			k.R = 2
			k.Claims = 1
			k.DelayedScripts = true
			k.NoOwner = true
			k.Faults = 1
		}), false},
		{"rule: chained updates, upsert only when expecting nothing", w(func(k *Cfg) {
			k.BFast = true
			k.Claims = 1
			k.Faults = 1
			k.Optimistic = true
			k.UpsertOnlyAbsent = true
		}), false},
		{"rule: several updates with one expectation in flight", w(func(k *Cfg) { k.BFast = true; k.R = 2; k.Claims = 1; k.TwoSameExp = true; k.Faults = 1 }), false},
		{"v1 WAIT after own claim only (as written)", w(func(k *Cfg) { k.BFast = true; k.R = 2; k.Failover = true; k.Faults = 1 }), true},
		{"v1 WAIT after own claim only, 1 pump, restart", w(func(k *Cfg) { k.BFast = true; k.R = 1; k.Pumps = 1; k.Failover = true; k.Faults = 1 }), true},
		{"v1 WAIT for every claim seen, 1 record 2 faults", w(func(k *Cfg) { k.BFast = true; k.R = 1; k.Failover = true; k.WaitOnTake = true; k.Faults = 2 }), false},
		{"v1 WAIT for every claim seen, 2 records 1 pump 1 fault", w(func(k *Cfg) {
			k.BFast = true
			k.R = 2
			k.Pumps = 1
			k.Failover = true
			k.WaitOnTake = true
			k.Faults = 1
		}), false},
		{"v1 epoch begun apart from the claim", w(func(k *Cfg) {
			k.BFast = true
			k.R = 2
			k.Pumps = 1
			k.Failover = true
			k.WaitOnTake = true
			k.EpochSplit = true
			k.Faults = 1
		}), false},
		{"v1 registry not read again (as written)", w(func(k *Cfg) {
			k.R = 1
			k.Failover = true
			k.WaitOnTake = true
			k.NoReload = true
			k.Faults = 0
			k.Pumps = 1
		}), true},
		{"v2 TTL delete, 1 fault", w(func(k *Cfg) { k.R = 2; k.BFast = true; k.Claims = 1; k.Delete = "ttl"; k.Faults = 1 }), false},
		{"v2 rollup while no claim is open (as written)", w(func(k *Cfg) { k.R = 2; k.Delete = "rollup"; k.Faults = 2 }), true},
		{"v2 rollup, network empty, frozen pump wakes", w(func(k *Cfg) { k.R = 2; k.BFast = true; k.Delete = "rollup"; k.RollupFence = true; k.Faults = 1 }), true},
		{"v2 rollup, update without upsert once known", w(func(k *Cfg) { k.R = 2; k.BFast = true; k.Delete = "rollup"; k.UpsertOnlyAbsent = true; k.Faults = 2 }), true},
		{"v2 rollup leaves _id and positions behind", w(func(k *Cfg) {
			k.R = 2
			k.BFast = true
			k.Claims = 1
			k.Delete = "rollup"
			k.RollupTomb = true
			k.Faults = 1
		}), false},
		{"v3 sink added in one pump (as written)", w(func(k *Cfg) { k.BFast = true; k.R = 2; k.NewSink = true; k.Faults = 1 }), true},
		{"v3 sink added, lease given back by who lacks it", w(func(k *Cfg) {
			k.BFast = true
			k.R = 2
			k.Claims = 1
			k.NewSink = true
			k.HandOver = true
			k.Faults = 1
		}), false},
		{"v3 plant: added sink takes claims that do not owe it", w(func(k *Cfg) { k.R = 2; k.NewSink = true; k.TakeUnowed = true; k.Faults = 2 }), true},
	}
	if strings.Contains("ids", *only) {
		ids(8, 4)
	}
	if *walk == 0 {
		rest(*only, *sec, *max)
	}
	for _, c := range cases {
		if !strings.Contains(c.name, *only) {
			continue
		}
		if *walk > 0 {
			if c.bad {
				continue
			}
			c.k.BFast, c.k.Pumps = false, 2
			c.k.R, c.k.Claims, c.k.Faults = 7, 3, 12
			c.k.L = 2
			d, f, bad, tr := Walk(c.k.Sys(), *walk, 4000, *seed, time.Duration(*sec)*time.Second)
			fmt.Printf("walk %-44s %d steps, %d reached rest, %q\n", c.name, d, f, bad)
			if bad != "" && !c.bad {
				for i, l := range tr {
					fmt.Printf("   %d. %s\n", i+1, l)
				}
			}
			continue
		}
		report(c.name, Explore(c.k.Sys(), *max, time.Duration(*sec)*time.Second, true), c.bad)
	}
}

func rest(only string, sec, max int) {
	d := time.Duration(sec) * time.Second
	for _, c := range []struct {
		name string
		k    KCfg
		bad  bool
	}{
		{"v4 plant: worker takes anything, topic loses its head", KCfg{R: 3, Faults: 2, AnyGap: true, Evict: true}, true},
		{"v4 worker holds, topic loses its head (as written)", KCfg{R: 3, Faults: 2, Evict: true}, true},
		{"v4 rule: worker takes anything beyond its state", KCfg{R: 3, Faults: 2, AnyGap: true}, false},
		{"v4 predecessor from memory, state must equal it", KCfg{R: 3, Faults: 2, PredByCut: true, Strict: true}, true},
		{"v4 predecessor derived, state must equal it", KCfg{R: 3, Faults: 2, Strict: true}, false},
		{"v4 plant: worker's state apart from the effect", KCfg{R: 3, Faults: 2, NoState: true}, true},
		{"v4 as built: state with the offset, effects by offset", KCfg{R: 3, Faults: 2, ByOffset: true}, false},
		{"v4 as built, predecessor from memory", KCfg{R: 3, Faults: 2, ByOffset: true, PredByCut: true}, false},
		{"v4 plant: state with the offset, effects by nothing", KCfg{R: 3, Faults: 2, ByOffset: true, NoEffOff: true}, true},
		{"v4 kafka leg, predecessor derived from the list", KCfg{R: 3, Faults: 2}, false},
		{"v4 kafka leg, predecessor from the edge's memory", KCfg{R: 3, Faults: 2, PredByCut: true}, false},
		{"v4 kafka leg, partition count changes", KCfg{R: 3, Faults: 2, Reparts: true}, true},
		{"v4 kafka leg, partition map kept with the claim", KCfg{R: 3, Faults: 2, Reparts: true, PartInPos: true}, false},
		{"v4 kafka leg, filter changes inside a claim", KCfg{R: 3, Faults: 2, Filter: true}, true},
	} {
		if strings.Contains(c.name, only) {
			report(c.name, Explore(c.k.Sys(), max, d, true), c.bad)
		}
	}
	for _, c := range []struct {
		name string
		k    ACfg
		bad  bool
	}{
		{"v5 plant: members not recorded", ACfg{R: 4, Faults: 3, NoRecord: true}, true},
		{"v5 archive", ACfg{R: 4, Faults: 3}, false},
		{"v5 archive, failover, WAIT after members", ACfg{R: 3, Faults: 3, Failover: true}, false},
		{"v5 plant: failover, no WAIT after members", ACfg{R: 3, Faults: 3, Failover: true, NoWaitMember: true}, true},
		{"v5 archive, compaction, replaced names kept", ACfg{R: 3, Faults: 3, Compact: true}, false},
		{"v5 plant: compaction forgets replaced names", ACfg{R: 3, Faults: 3, Compact: true, CompactNow: true}, true},
	} {
		if strings.Contains(c.name, only) {
			report(c.name, Explore(c.k.Sys(), max, d, true), c.bad)
		}
	}
}
