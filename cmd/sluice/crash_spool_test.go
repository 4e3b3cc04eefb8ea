package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/bson"
)

// spoolHistory has a sink that is down, so that what it is owed goes to a directory, and well again.
var spoolHistory = history{
	name: "spool",
	make: func(c *crasher) {
		c.withFiles().sink("local", "sqlite", "path: "+c.sqliteFile()) // which is well, so that lists are claimed
		c.config = strings.Replace(c.config, "claim: {", "guard: {age: 1s}\n    claim: {", 1)
		c.files["all"] = c.file(nil)
		c.files["down"] = c.file(func(s string) string { return strings.Replace(s, c.filesDir(), "/proc/none", 1) })
	},
	round: func(c *crasher) { c.overflow("files") },
	judge: func(c *crasher) {
		c.traffic(2) // what lies in the spool for nothing goes when its list is next worked on
		c.rest("all")
		e := c.expect()
		wantIDs(c.t, "files", e.wanted(everything), c.archiveIDs(c.fileStore(), ""))
		wantIDs(c.t, "sqlite", e.wanted(everything), c.sqliteIDs())
		c.wantCounted(len(e.records))
		if n := batchesIn(c.t, filepath.Join(c.dir, "state")); n > 0 {
			c.t.Errorf("%d batches are left in the spool", n)
		}
	},
}

// bucketHistory spools to a bucket, where dead letters go too; each round's second half is another pump's.
var bucketHistory = history{
	name: "bucket",
	also: []string{"spool/"},
	not:  []string{"redis/renew", "mongo-raw/", "archive/", "state/"},
	make: func(c *crasher) {
		c.withRaw().withArchive()
		c.config = strings.Replace(c.config, "claim: {", "guard: {age: 1s}\n    claim: {", 1)
		c.config = strings.Replace(c.config, "state: {", fmt.Sprintf("state: {durable: false, spool: s3://%s/own/, ", c.bucket.Bucket), 1)
		c.files["all"] = c.file(nil)
		c.files["down"] = c.file(func(s string) string {
			return strings.ReplaceAll(s, c.mongo, "mongodb://"+nowhere+"/?replicaSet=rs0&serverSelectionTimeoutMS=200")
		})
	},
	round: func(c *crasher) { c.poison(); c.overflow("raw"); c.files["all"] = c.pump(c.n) },
	judge: func(c *crasher) {
		c.traffic(2) // for each list
		c.rest("all")
		e := c.expect()
		wantIDs(c.t, "raw", e.wanted(inRaw), c.rawIDs())
		wantIDs(c.t, "archive", e.wanted(everything), c.archiveIDs(c.s3Store(), "a/"))
		c.wantLetters(c.files["all"])
		for info, err := range c.s3Store().List(context.Background(), "own/spool/") {
			c.t.Errorf("left in the bucket: %s, %v", info.Key, err)
		}
	},
}

// overflow pushes traffic while a sink is down until all of it lies in the sink's spool, and drains it with the sink well.
func (c *crasher) overflow(sink string) {
	c.t.Helper()
	c.traffic(20)
	p := c.launch("run", "--config", c.files["down"])
	spooled := func() bool { // what was delivered in a round before counts too
		l := c.audit(c.files["down"]).Sinks[sink]
		return l.Spooled+l.Effective+l.Filtered+l.DeadLetters == c.taken
	}
	for deadline := time.Now().Add(time.Minute); !spooled(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("round %d, to die %s: never spooled\n%s", c.n, c.point, p.Stderr())
		}
		select {
		case <-p.Done():
			c.ended(p)
			p = c.launch("run", "--config", c.files["down"])
		default:
		}
	}
	select {
	case <-p.Done():
		c.ended(p)
	default:
		p.Kill()
	}
	c.through("run", "--once", "--config", c.files["all"])
}

// lettersHistory puts dead letters back.
var lettersHistory = retriedLetters("letters", func(*crasher) {})

// lettersInBucketHistory puts those back that lie in a bucket.
var lettersInBucketHistory = retriedLetters("letters-in-bucket", func(c *crasher) {
	c.withArchive() // names the bucket's endpoint
	c.config = strings.Replace(c.config, "state: {", fmt.Sprintf("state: {durable: false, spool: s3://%s/own/, ", c.bucket.Bucket), 1)
})

// retriedLetters is a history of dead letters that are put back, twice where a retry died.
func retriedLetters(name string, where func(c *crasher)) history {
	return history{
		name: name,
		also: []string{"redis/retr", "dead-letters/"},
		not:  []string{"mongo-raw/", "state/", "archive/", "redis/members", "redis/renew"},
		make: func(c *crasher) {
			where(c)
			c.withRaw()
			c.files["all"] = c.file(nil) // a layout that takes every organisation
			c.files["per org"] = c.file(func(s string) string { return strings.Replace(s, "capped_size: 1GiB", "layout: per-org", 1) })
		},
		round: func(c *crasher) {
			c.push(msgpackList+"_0", hostile(c.next), hostile(c.next+1))
			c.next += 2
			if !c.run("run", "--once", "--config", c.files["per org"]) {
				c.once(c.files["per org"], 0)
			}
			c.taken += 4 // they are taken once more
			if !c.run("deadletters", "retry", "--all", "--config", c.files["all"]) {
				c.once(c.files["all"], 0) // what is in the list already is drained before the rest follows
				c.run("deadletters", "retry", "--all", "--config", c.files["all"])
			}
			c.once(c.files["all"], 0)
		},
		judge: func(c *crasher) {
			a := c.audit(c.files["all"])
			want := sinkLedger{}
			want.Effective, want.DeadLetters = c.taken/2, c.taken/2
			if raw := a.Sinks["raw"]; !a.Balanced || a.Taken != c.taken || raw != want {
				c.t.Errorf("ledger: taken %d, want %d; raw %+v, want %+v", a.Taken, c.taken, raw, want)
			}
			e := c.expect()
			wantIDs(c.t, "raw", e.wanted(inRaw), c.rawIDs())
			if l := c.letters(c.files["all"]); len(l) != 0 {
				c.t.Errorf("letters that were retried are still listed: %+v", l)
			}
			c.wantRedisEmpty()
		},
	}
}

// releaseHistory loses a state directory with a local sink's records in each round, and gives them up.
var releaseHistory = history{
	name: "release",
	not:  []string{"redis/renew"},
	make: func(c *crasher) { c.withFiles() },
	round: func(c *crasher) {
		lost := c.file(func(s string) string {
			s = strings.Replace(s, c.filesDir(), "/proc/none", 1)
			return strings.Replace(s, c.dir+"/state", fmt.Sprintf("%s/lost%d", c.dir, c.n), 1)
		})
		c.files["all"] = c.pump(c.n)
		c.push(msgpackList, made(c.next, capturedHour), made(c.next+1, capturedHour))
		c.lists[msgpackList] = c.lists[msgpackList][:len(c.lists[msgpackList])-2] // nobody gets them
		c.next += 2
		c.taken += 2
		c.claimed(lost, c.taken)
		time.Sleep(1200 * time.Millisecond) // the dead pump's lease
		c.push(msgpackList, made(c.next, capturedHour), made(c.next+1, capturedHour))
		c.next += 2
		c.taken += 2
		c.through("run", "--once", "--config", c.files["all"])
		c.through("release", msgpackList, "--config", c.files["all"])
		c.through("release", msgpackList, "--sink", "files", "--config", c.files["all"])
		c.through("run", "--once", "--config", c.files["all"])
	},
	judge: func(c *crasher) {
		a := c.audit(c.files["all"])
		want := sinkLedger{}
		want.Effective, want.Filtered = c.taken/2, c.taken/2
		if got := a.Sinks["files"]; !a.Balanced || a.Taken != c.taken || got.Effective != want.Effective || got.Filtered != want.Filtered {
			c.t.Errorf("ledger: taken %d, want %d; files %+v, want half of it released", a.Taken, c.taken, got)
		}
		e := c.expect()
		wantIDs(c.t, "files", e.wanted(everything), c.archiveIDs(c.fileStore(), ""))
		c.wantRedisEmpty()
	},
}

// replayHistory damages aggregates and rebuilds them from the archive.
var replayHistory = history{
	name: "replay",
	not:  []string{"redis/renew"},
	make: func(c *crasher) {
		c.withAggregate().withFiles()
		c.files["all"] = c.file(nil)
	},
	round: func(c *crasher) {
		c.traffic(20)
		c.once(c.files["all"], 0)
		coll := c.mongoDB().Collection("tyk_analytics_aggregates")
		_, err := coll.DeleteOne(context.Background(), bson.M{"orgid": "org0", "timestamp": capturedHour})
		if err == nil {
			_, err = coll.UpdateOne(context.Background(), bson.M{"orgid": "org1", "timestamp": capturedHour}, bson.M{"$inc": bson.M{"total.hits": 7}})
		}
		if err != nil {
			c.t.Fatal(err)
		}
		args := []string{"replay", "--sink", "dashboard", "--config", c.files["all"], "--resume",
			"--from", capturedHour.AddDate(0, 0, -2).Format(time.RFC3339), "--to", capturedHour.Add(2 * time.Hour).Format(time.RFC3339)}
		c.through(args...)
	},
	judge: func(c *crasher) {
		c.rest("all")
		c.wantAggregates(c.expect().records)
	},
}
