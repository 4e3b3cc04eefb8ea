package main

import (
	"strings"
	"testing"
	"time"

	"sluice/sources/redislist"
)

// The line that says what Redis lost names the commands that cure it, with whole hours that take the stretch in.
func TestSuspectNamesItsCure(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	a := &audit{Sources: map[string][]redislist.ListAudit{"main": {{List: "a-list", Suspect: []redislist.Suspect{
		{From: at("2026-11-23T10:59:30+02:00"), To: at("2026-11-23T09:00:00Z")}}}}}}
	lines := a.suspect()
	if len(lines) != 1 || !strings.Contains(lines[0], "sluice replay --from 2026-11-23T08:00:00Z --to 2026-11-23T10:00:00Z --sink NAME") ||
		!strings.Contains(lines[0], "sluice release a-list --suspect") {
		t.Errorf("%q", lines)
	}
	for _, word := range strings.Fields(lines[0]) { // what it names is taken by the command
		if strings.HasPrefix(word, "2026-") && strings.HasSuffix(word, ":00Z") {
			if _, err := time.Parse(time.RFC3339, word); err != nil {
				t.Error(err)
			}
		}
	}
}
