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
