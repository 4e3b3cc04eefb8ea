package main

import (
	"testing"
	"time"
)

// explore runs one case to its end and tells whether a violation was found.
func explore(t *testing.T, k Cfg) string {
	t.Helper()
	r := Explore(k.Sys(), 3_000_000, time.Minute, true)
	if r.Bad == "" && !r.Complete {
		t.Fatalf("not explored to the end: %d states", r.States)
	}
	return r.Bad
}

func TestProtocolHolds(t *testing.T) {
	for name, k := range map[string]Cfg{
		"two pumps, late scripts": {L: 1, R: 1, Claims: 1, Pumps: 2, Faults: 2, BFast: true, DelayedScripts: true, CAS: true},
		"sessions told apart":     {L: 1, R: 1, Claims: 1, Pumps: 2, Faults: 2, BFast: true, DelayedScripts: true, CAS: true, Fence: true},
		"failover":                {L: 1, R: 1, Claims: 2, Pumps: 1, Faults: 1, BFast: true, Failover: true, WaitOnTake: true, CAS: true},
		"two lists":               {L: 2, R: 1, Claims: 1, Pumps: 1, Faults: 1, BFast: true, CAS: true},
	} {
		if bad := explore(t, k); bad != "" {
			t.Errorf("%s: %s", name, bad)
		}
	}
}

func TestPlantedErrorsAreFound(t *testing.T) {
	for name, k := range map[string]Cfg{
		"cursor before effect":   {L: 1, R: 3, Claims: 2, Pumps: 2, Faults: 2, EarlyCursor: true},
		"relative trim":          {L: 1, R: 2, Claims: 1, Pumps: 1, Faults: 1, RelTrim: true},
		"open claims, new epoch": {L: 1, R: 2, Claims: 2, Pumps: 2, Faults: 1, Failover: true, WaitOnTake: true, CurrentEpoch: true},
	} {
		if bad := explore(t, k); bad == "" {
			t.Errorf("%s was not found", name)
		}
	}
}

func TestKafkaLegHolds(t *testing.T) {
	for name, c := range map[string]struct {
		k   KCfg
		bad bool
	}{
		"state with the offset, effects by offset": {KCfg{R: 3, Faults: 2, ByOffset: true}, false},
		"predecessor from memory":                  {KCfg{R: 3, Faults: 2, ByOffset: true, PredByCut: true}, false},
		"effects known by nothing":                 {KCfg{R: 3, Faults: 2, ByOffset: true, NoEffOff: true}, true},
		"partition count changes":                  {KCfg{R: 3, Faults: 2, Reparts: true}, true},
	} {
		r := Explore(c.k.Sys(), 3_000_000, time.Minute, true)
		if (r.Bad != "") != c.bad || r.Bad == "" && !r.Complete {
			t.Errorf("%s: %q after %d states", name, r.Bad, r.States)
		}
	}
}
