package main

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	_ "modernc.org/sqlite" // to read what the sink wrote

	"sluice/internal/record"
)

// filesHistory drains into a directory and SQLite, with poison among the records.
var filesHistory = history{
	name: "files",
	not:  []string{"redis/renew"},
	make: func(c *crasher) {
		c.withFiles().sink("local", "sqlite", "path: "+c.sqliteFile())
		c.files["all"] = c.file(nil)
	},
	round: func(c *crasher) {
		c.traffic(40)
		c.poison()
		c.run("run", "--once", "--config", c.files["all"])
	},
	judge: func(c *crasher) {
		c.rest("all")
		e := c.expect()
		want := e.wanted(everything)
		wantIDs(c.t, "files", want, c.archiveIDs(c.fileStore(), ""))
		wantIDs(c.t, "sqlite", want, c.sqliteIDs())
		c.wantCounted(len(e.records))
		c.wantLetters(c.files["all"])
	},
}

// storesHistory drains into the four stores of a production configuration.
var storesHistory = history{
	name: "stores",
	not:  []string{"redis/renew"},
	make: func(c *crasher) {
		c.withAll()
		c.files["all"] = c.file(nil)
	},
	round: func(c *crasher) {
		c.traffic(40)
		c.poison()
		c.run("run", "--once", "--config", c.files["all"])
	},
	judge: func(c *crasher) {
		c.rest("all")
		c.wantEverywhere()
		c.wantLetters(c.files["all"])
	},
}

// takeOverHistory has another pump in each round, with a state directory of its own: it waits for the lease of the one that
// died and goes on from what that left.
var takeOverHistory = history{
	name: "take-over",
	also: []string{"redis/take", "redis/claim", "redis/settle", "redis/members", "archive/"},
	not:  []string{"redis/renew", "state/", "mongo-raw/"},
	make: func(c *crasher) {
		c.withRaw().withArchive()
		c.files["all"] = c.file(nil)
	},
	round: func(c *crasher) {
		c.traffic(40)
		c.run("run", "--once", "--config", c.pump(c.n))
	},
	judge: func(c *crasher) {
		c.files["all"] = c.pump(c.n + 1)
		c.rest("all")
		e := c.expect()
		wantIDs(c.t, "raw", e.wanted(inRaw), c.rawIDs())
		wantIDs(c.t, "archive", e.wanted(everything), c.archiveIDs(c.s3Store(), "a/"))
	},
}

// pump is the configuration of one of several pumps.
func (c *crasher) pump(n int) string {
	return c.file(func(s string) string {
		return strings.Replace(s, c.dir+"/state", fmt.Sprintf("%s/state%d", c.dir, n), 1)
	})
}

// traffic pushes records that no round had before: half of them in hours that all rounds share, half in a day that is new.
func (c *crasher) traffic(n int) {
	c.t.Helper()
	for i := range n {
		at := capturedHour.Add(time.Duration(i%4/2) * time.Hour)
		if i%2 == 1 {
			at = at.AddDate(0, 0, -c.n)
		}
		c.push(fmt.Sprintf("%s_%d", msgpackList, i%2), made(c.next, at.Add(time.Duration(c.next)*time.Millisecond)))
		c.next++
		c.taken++
	}
}

// poison pushes what nobody can decode.
func (c *crasher) poison() {
	c.t.Helper()
	c.push(msgpackList+"_0", fmt.Appendf(nil, "poison %d", c.bad))
	c.bad++
	c.taken++
}

// rest drains what is left and holds ledger and Redis against it.
func (c *crasher) rest(file string) {
	c.t.Helper()
	c.once(c.files[file], 0)
	a := c.audit(c.files[file])
	if !a.Balanced || a.Taken != c.taken {
		c.t.Errorf("ledger: taken %d, balanced %v, want %d: %v", a.Taken, a.Balanced, c.taken, a.Strange)
	}
	for name, l := range a.Sinks {
		if l.Pending != 0 || l.Spooled != 0 || l.Duplicates != 0 || l.DeadLetters != uint64(c.bad) || l.Effective+l.Filtered != c.taken-uint64(c.bad) {
			c.t.Errorf("ledger of %s: %+v, want %d taken and %d of them dead letters", name, l, c.taken, c.bad)
		}
	}
	c.wantRedisEmpty()
}

// wantLetters wants each poisoned payload once.
func (c *crasher) wantLetters(file string) {
	c.t.Helper()
	seen := map[string]int{}
	for _, l := range c.letters(file) {
		seen[string(l.Bytes)]++
	}
	for i := range c.bad {
		if p := fmt.Sprintf("poison %d", i); seen[p] != 1 {
			c.t.Errorf("%q is %d times among the dead letters", p, seen[p])
		}
	}
	if len(seen) != c.bad {
		c.t.Errorf("%d payloads are dead letters, want %d", len(seen), c.bad)
	}
}

func (c *crasher) sqliteFile() string { return filepath.Join(c.dir, "sluice.db") }

// sqliteRows reads rows of one text.
func (c *crasher) sqliteRows(query string) (out []string) {
	c.t.Helper()
	db, err := sql.Open("sqlite", "file:"+c.sqliteFile()+"?mode=ro")
	if err != nil {
		c.t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(query)
	if err != nil {
		c.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			c.t.Fatal(err)
		}
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		c.t.Fatal(err)
	}
	return out
}

func (c *crasher) sqliteIDs() map[string]int {
	c.t.Helper()
	out := map[string]int{}
	for _, id := range c.sqliteRows("SELECT id FROM recent") {
		out[id]++
	}
	return out
}

// wantCounted wants that many requests in the hourly totals of SQLite.
func (c *crasher) wantCounted(n int) {
	c.t.Helper()
	got := c.sqliteRows("SELECT sum(hits) FROM counters WHERE width = 3600 AND dimension = 0")
	if len(got) != 1 || got[0] != fmt.Sprint(n) {
		c.t.Errorf("SQLite counts %v requests, want %d", got, n)
	}
}

// hostile is a record that no collection of its own organisation can take.
func hostile(n int) []byte {
	return made(n, capturedHour.Add(time.Duration(n)*time.Millisecond), func(rec *record.Record) { rec.OrgID = strings.Repeat("x", 400) })
}
