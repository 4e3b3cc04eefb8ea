package main

import (
	"context"
	"fmt"
	"time"

	"sluice/internal/testenv"
)

// suspectHistory has Redis go back to what it had saved, under a pump that remembers more.
var suspectHistory = history{
	name: "suspect",
	not:  []string{"redis/renew", "redis/take", "redis/claim", "redis/settle", "redis/members", "redis/give-back", "state/", "archive/", "directory/", "sqlite/"},
	make: func(c *crasher) {
		c.withFiles().sink("local", "sqlite", "path: "+c.sqliteFile())
		c.files["all"] = c.file(nil)
	},
	round: func(c *crasher) {
		p := c.launch("run", "--config", c.files["all"])
		c.traffic(10)
		p = c.arrived(p)
		if err := c.client.Do(context.Background(), c.client.B().Save().Build()).Error(); err != nil {
			c.t.Fatal(err)
		}
		saved := c.taken
		c.traffic(10)
		p = c.arrived(p)
		c.taken = saved // of the rest Redis knows nothing any more
		c.redis.Kill()
		c.redis.Restart()
		c.connect()
		c.untilEnded(p, "both lists are suspect", func() bool {
			a := c.audit(c.files["all"])
			return len(a.suspect()) == 2
		})
		for i := range 2 {
			c.through("release", fmt.Sprintf("%s_%d", msgpackList, i), "--suspect", "--config", c.files["all"])
		}
	},
	judge: func(c *crasher) {
		c.rest("all")
		e := c.expect()
		wantIDs(c.t, "files", e.wanted(everything), c.archiveIDs(c.fileStore(), ""))
		wantIDs(c.t, "sqlite", e.wanted(everything), c.sqliteIDs())
		c.wantCounted(len(e.records))
	},
}

// arrived waits until everything that was taken is delivered, by another process where one died.
func (c *crasher) arrived(p *testenv.Process) *testenv.Process {
	c.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		a := c.audit(c.files["all"])
		pending := a.waiting()
		for _, l := range a.Sinks {
			pending += l.Pending
		}
		if a.Taken == c.taken && pending == 0 {
			return p
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("round %d, to die %s: not everything arrives: %+v", c.n, c.point, a)
		}
		select {
		case <-p.Done():
			c.ended(p)
			p = c.launch("run", "--config", c.files["all"])
		default:
		}
	}
}

// untilEnded waits until the process died at the crash point, or there is something to see, and then ends it.
func (c *crasher) untilEnded(p *testenv.Process, what string, seen func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(time.Minute); !seen(); time.Sleep(100 * time.Millisecond) {
		select {
		case <-p.Done():
			c.ended(p)
			return
		default:
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("round %d, to die %s: it is not seen that %s\n%s", c.n, c.point, what, p.Stderr())
		}
	}
	select {
	case <-p.Done(): // behind what is to be seen
		c.ended(p)
	case <-time.After(300 * time.Millisecond):
		p.Kill()
	}
}
