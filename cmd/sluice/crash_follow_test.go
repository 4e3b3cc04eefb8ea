package main

import (
	"fmt"
	"strings"
)

// followHistory writes an archive in a directory, which another process follows into a central store.
var followHistory = history{
	name: "follow",
	make: func(c *crasher) {
		c.withFiles().withRaw()
		c.files["all"] = c.file(func(s string) string {
			head, sinks, _ := strings.Cut(s, "sinks:\n")
			return head + "sinks:\n" + strings.SplitAfter(sinks, "\n")[0]
		})
		c.files["centre"] = c.file(func(s string) string {
			_, rest, _ := strings.Cut(s, "pipeline:")
			head, sinks, _ := strings.Cut(rest, "sinks:\n")
			return fmt.Sprintf("region: centre\nsources:\n  lake: {type: archive, dir: %s, poll: 100ms, lease: 2s}\npipeline:%ssinks:\n%s", c.filesDir(),
				strings.Replace(head, c.dir+"/state", c.dir+"/central", 1), strings.SplitAfter(sinks, "\n")[1])
		})
	},
	round: func(c *crasher) {
		c.traffic(30)
		c.run("run", "--once", "--config", c.files["all"])
		c.through("run", "--once", "--config", c.files["centre"])
		c.through("run", "--once", "--config", c.files["centre"])
	},
	judge: func(c *crasher) {
		c.rest("all")
		c.run("run", "--once", "--config", c.files["centre"])
		wantIDs(c.t, "central raw", c.expect().wanted(inRaw), c.rawIDs())
		if a := c.audit(c.files["centre"]); !a.Balanced || a.Taken != uint64(len(c.expect().records)) {
			c.t.Errorf("central ledger: %+v", a)
		}
	},
}
