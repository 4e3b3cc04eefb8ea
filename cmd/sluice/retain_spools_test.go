package main

import (
	"testing"
	"time"

	"sluice/sources/redislist"
)

// A batch that a crash left unbooked stays while a claim is open that it may be of: the next pump books it as it lies there.
func TestSpooledBatchOfAnOpenClaimStays(t *testing.T) {
	now := time.Now()
	claim := func(age time.Duration, cursor uint32) *redislist.ListAudit {
		return &redislist.ListAudit{List: "l", Claims: []redislist.ClaimAudit{{ID: "c", Len: 10, Time: now.Add(-age), Owes: []string{"raw"},
			Cursors: map[string]uint32{"raw": cursor}}}}
	}
	for name, c := range map[string]struct {
		list  *redislist.ListAudit
		sink  string
		stays bool
	}{
		"nothing is owed":         {&redislist.ListAudit{}, "raw", false},
		"an old claim is owed":    {claim(26*time.Hour, 3), "raw", true},
		"it is owed to another":   {claim(26*time.Hour, 3), "search", false},
		"it is settled":           {claim(26*time.Hour, 10), "raw", false},
		"the claim is too young":  {claim(time.Minute, 3), "raw", false},
		"the registry names them": {&redislist.ListAudit{Spools: map[string]redislist.SpoolAudit{"raw": {}}}, "raw", true},
	} {
		if why := spoolWaits(c.list, c.sink, now); (why != "") != c.stays {
			t.Errorf("%s: %q", name, why)
		}
	}
}
