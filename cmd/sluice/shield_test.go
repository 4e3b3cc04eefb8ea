package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestListThatIsNotClaimedOutlivesItsTTL: a pump that is alive but may not claim, since the list was given back or is
// another's, keeps the gateway's TTL from taking the records.
func TestListThatIsNotClaimedOutlivesItsTTL(t *testing.T) {
	t.Parallel()
	for name, lease := range map[string]string{"given back": "30s", "another's": "10m"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.sink("gone", "opensearch", fmt.Sprintf("urls: [\"http://%s\"]", nowhere))
			r.push(msgpackList, many(10, capturedHour)...)
			long := func(s string) string { return strings.Replace(s, "lease: 2s", "lease: "+lease, 1) }
			first := r.file(func(s string) string {
				if name == "another's" {
					return long(s)
				}
				return s
			})
			r.claimed(first, 10)
			second := r.file(func(s string) string {
				s = strings.Replace(long(s), "  gone:", "  here:", 1)
				if name == "another's" {
					s = strings.Replace(s, r.dir+"/state", r.dir+"/state2", 1)
				}
				return s
			})
			p := r.start("run", "--config", second)
			if name == "given back" {
				p.WaitFor("does not have")
			} else {
				p.WaitFor("connected to Redis")
			}
			r.push(msgpackList, many(10, capturedHour.Add(time.Minute))...)
			const soon = 15 * time.Second
			if err := r.client.Do(t.Context(), r.client.B().Expire().Key(msgpackList).Seconds(int64(soon.Seconds())).Build()).Error(); err != nil {
				t.Fatal(err)
			}
			for { // it comes to an end: the list is given more time, or is claimed, or is gone
				left, err := r.client.Do(t.Context(), r.client.B().Pttl().Key(msgpackList).Build()).AsInt64()
				if err != nil {
					t.Fatal(err)
				}
				if left < 0 || left > soon.Milliseconds() {
					break
				}
				time.Sleep(50 * time.Millisecond)
			}
			n, err := r.client.Do(t.Context(), r.client.B().Llen().Key(msgpackList).Build()).AsInt64()
			if taken := r.audit(second).Taken; err != nil || uint64(n)+taken != 20 {
				t.Errorf("%d records are in the list and %d were taken, want 20 in all\n%s", n, taken, p.Stderr())
			}
			p.Terminate()
			p.Wait()
		})
	}
}
