package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/bson"

	"sluice/internal/archive/dirstore"
	"sluice/internal/record"
)

// eraseHistory takes somebody's records out of every store, and another's name out of theirs, in each round.
var eraseHistory = history{
	name: "erase",
	also: []string{"archive/merged-object", "archive/merged-manifest", "retention/documents"},
	not:  []string{"redis/", "state/", "opensearch/", "directory/", "mongo-raw/", "sqlite/", "archive/object", "archive/manifest"},
	make: func(c *crasher) {
		c.withRaw().withSearch().withFiles().sink("local", "sqlite", "path: "+c.sqliteFile())
		c.files["all"] = c.file(nil)
	},
	round: func(c *crasher) {
		at := capturedHour.AddDate(0, 0, -c.n%4)
		for _, who := range []string{"drop", "veil", "keep"} {
			for range 4 {
				c.push(msgpackList, made(c.next, at.Add(time.Duration(c.next)*time.Millisecond), func(r *record.Record) { r.APIKey = fmt.Sprintf("%s%d", who, c.n) }))
				c.next++
				c.taken++
			}
		}
		c.once(c.files["all"], 0)
		file := []string{"archive", "erase", "--apply", "--config", c.files["all"]}
		drop := append(slices.Clone(file), "--key", fmt.Sprintf("drop%d", c.n))
		steps := [][]string{drop, append(file, "--anonymise", "--key", fmt.Sprintf("veil%d", c.n))}
		if c.point == "" || stepOf(c.point) == "erase/replaced" {
			steps = append(steps, drop) // what was replaced goes, hours later
		}
		for _, args := range steps {
			if !c.run(args...) {
				c.freeLeases()
				c.run(args...)
			}
			c.agedFiles()
		}
	},
	judge: func(c *crasher) {
		c.rest("all")
		e := c.expect()
		want := e.wanted(func(r *record.Record) bool { return !strings.HasPrefix(r.APIKey, "drop") })
		wantIDs(c.t, "raw", want, c.rawIDs())
		wantIDs(c.t, "OpenSearch", want, c.searchIDs())
		wantIDs(c.t, "files", want, c.archiveIDs(c.fileStore(), ""))
		wantIDs(c.t, "sqlite", want, c.sqliteIDs())
		veiled := 4 * c.n
		if got := c.holds("erased"); got["raw"] != veiled || got["search"] != veiled || got["files"] != veiled || got["local"] != veiled {
			c.t.Errorf("nobody's records: %v, want %d in each store", got, veiled)
		}
		if n, err := c.mongoDB().Collection("tyk_analytics").CountDocuments(context.Background(), bson.M{"apikey": bson.M{"$regex": "^(drop|veil)"}}); err != nil || n > 0 {
			c.t.Errorf("%d documents have a name that was erased, %v", n, err)
		}
		if n := c.sqliteRows("SELECT count(*) FROM counters WHERE name LIKE 'drop%' OR name LIKE 'veil%'"); n[0] != "0" {
			c.t.Errorf("%s counters have a name that was erased", n[0])
		}
	},
}

// copyHistory copies the objects of one archive into another, after each drain.
var copyHistory = history{
	name: "copy",
	also: []string{"directory/"},
	not:  []string{"redis/", "state/", "archive/object", "archive/manifest"},
	make: func(c *crasher) {
		c.withFiles()
		c.files["all"] = c.file(nil)
		c.second = filepath.Join(c.dir, "second")
		c.sink("second", "csv", "dir: "+c.second)
		c.files["both"] = c.file(nil)
	},
	round: func(c *crasher) {
		c.traffic(20)
		c.once(c.files["all"], 0)
		c.through(append([]string{"replay", "--archive", "files", "--sink", "second", "--config", c.files["both"]}, copied...)...)
	},
	judge: func(c *crasher) {
		c.rest("all")
		e := c.expect()
		wantIDs(c.t, "files", e.wanted(everything), c.archiveIDs(c.fileStore(), ""))
		s, err := dirstore.Open(c.second)
		if err != nil {
			c.t.Fatal(err)
		}
		wantIDs(c.t, "second", e.wanted(everything), c.archiveIDs(s, ""))
	},
}

// copied is a time that all rounds lie in.
var copied = span(capturedHour.AddDate(0, 0, -100), capturedHour.Add(24*time.Hour))
