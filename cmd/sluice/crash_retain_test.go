package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	driver "go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"

	"sluice/internal/archive"
	"sluice/internal/archive/columnar"
	"sluice/internal/mongo"
	"sluice/internal/record"
)

// retainHistory runs retention over MongoDB and an archive, as long as there is something to do.
var retainHistory = history{
	name: "retain",
	not:  []string{"redis/", "state/", "directory/"},
	make: func(c *crasher) {
		c.withAggregate().withRawPerOrg().withFiles()
		c.capped = c.unique()
		c.t.Cleanup(func() { (&rig{mongo: c.mongo, db: c.capped}).dropDatabase() })
		c.sink("local", "sqlite", "path: "+filepath.Join(c.dir, "local.db"))
		c.sink("whole", "mongo-raw", fmt.Sprintf("uri: \"%s\", database: %s, capped_size: 1GiB", c.mongo, c.capped))
		c.records, _ = c.aged()
		c.taken = uint64(len(ages) * perAge)
	},
	round: func(c *crasher) {
		c.indexesToCure()
		c.agedLetters()
		if stepOf(c.point) == "retention/convert" || c.point == "" && c.n == 2 {
			c.plain()
		}
		if c.point == "" || stepOf(c.point) == "retention/aggregates" {
			c.agedEmpties()
		}
		if journal := filepath.Join(c.retainDir(), "journal.jsonl"); c.n > 1 {
			if err := os.Truncate(journal, 17<<20); err != nil && !os.IsNotExist(err) { // large enough to be put aside
				c.t.Fatal(err)
			}
		}
		file := c.file(func(s string) string {
			return fmt.Sprintf("%sretention: {raw: {keep: 30d, capped_size: %dMiB, convert: true}, sqlite: {keep: 90d}, spool: {keep: 2d}}\n", s, 64+c.n)
		})
		c.files["all"] = file
		c.agedSpool()
		c.retainOnce()
		if c.n == 1 && c.point == "" { // what the next round would do: the journal is put aside, what was rolled up goes
			c.begin("")
		}
	},
	judge: func(c *crasher) {
		for range 2 { // what the first one rolls up is emptied, and goes with the second
			c.retain(c.files["all"], 0, "--apply")
			c.agedEmpties()
		}
		if got := c.rawAges(); got != "1:300" {
			c.t.Errorf("raw holds %s", got)
		}
		c.wantRolledUp(c.records, 0)
		other := *c.rig
		other.db = c.capped
		if n := len(other.rawIDs()); n != 3*perAge {
			c.t.Errorf("the capped collection holds %d records", n)
		}
		for _, past := range []string{"deadletters/20*", "spool/*/*/*"} {
			if left, _ := filepath.Glob(filepath.Join(c.dir, "state", filepath.FromSlash(past))); len(left) > 0 {
				c.t.Errorf("past their time: %v", left)
			}
		}
		if n := c.localHits(); n != 2*perAge {
			c.t.Errorf("the local file counts %d hits, want those of 60 and 1 days ago", n)
		}
		if got := c.agesIn(c.fileStore(), ""); got != "60:300 1:300" {
			c.t.Errorf("the archive holds %s", got)
		}
		if again := c.retain(c.files["all"], 0, "--apply"); len(again.Applied) != 0 {
			c.t.Errorf("again: %q", rows(again.Due()))
		}
	},
}

// retainOnce runs retention. When it died, the lease runs out before the next round, which goes on from there.
func (c *crasher) retainOnce() {
	c.t.Helper()
	c.run("retain", "--apply", "--config", c.files["all"])
	c.freeLeases()
}

// freeLeases lets the leases of a killed job run out at once.
func (c *crasher) freeLeases() {
	c.t.Helper()
	for _, db := range []string{c.db, c.capped} {
		if db != "" {
			other := *c.rig
			other.db = db
			other.freeLease()
		}
	}
	objects, err := filepath.Glob(filepath.Join(c.filesDir(), "_sluice", "retain", "*"))
	if err != nil {
		c.t.Fatal(err)
	}
	past := time.Now().Add(-time.Hour)
	for _, o := range objects {
		if err := os.Chtimes(o, past, past); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *crasher) retainDir() string { return filepath.Join(c.dir, "state", "retain") }

// indexesToCure takes away one expiry index and makes another one plain.
func (c *crasher) indexesToCure() {
	c.t.Helper()
	ctx, db := context.Background(), c.mongoDB()
	for i, org := range []string{"org0", "org1"} {
		v := db.Collection("z_tyk_analyticz_aggregate_" + org).Indexes()
		const gone = 27 // the round before died on its way to it
		_, err := v.DropOne(ctx, "expireAt_1")
		if mongo.Code(err) == gone {
			err = nil
		}
		if err == nil && i == 1 {
			_, err = v.CreateOne(ctx, driver.IndexModel{Keys: bson.D{{Key: "expireAt", Value: 1}}, Options: options.Index().SetName("expireAt_1")})
		}
		if err != nil {
			c.t.Fatal(err)
		}
	}
}

// agedLetters leaves a segment of dead letters that is past its time.
func (c *crasher) agedLetters() {
	c.t.Helper()
	at := time.Now().UTC().AddDate(0, 0, -200).Add(time.Duration(c.n) * time.Minute)
	name := filepath.Join(c.dir, "state", "deadletters", at.Format("20060102T150405.000000000Z")+".jsonl")
	err := os.MkdirAll(filepath.Dir(name), 0o700)
	if err == nil {
		err = os.WriteFile(name, []byte("{}\n"), 0o600)
	}
	if err == nil {
		err = os.Chtimes(name, at, at)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// agedSpool leaves a spooled batch that a crash left behind its delivery: its list's registry owes it to nobody.
func (c *crasher) agedSpool() {
	c.t.Helper()
	var lineage string
	for _, lists := range c.audit(c.files["all"]).Sources {
		for _, l := range lists {
			if l.Taken > 0 {
				lineage = l.Lineage
			}
		}
	}
	at := time.Now().UTC().AddDate(0, 0, -3)
	name := filepath.Join(c.dir, "state", "spool", lineage, "raw", fmt.Sprintf("%d.batch", c.n))
	err := os.MkdirAll(filepath.Dir(name), 0o700)
	if err == nil {
		err = os.WriteFile(name, []byte("left behind"), 0o600)
	}
	if err == nil {
		err = os.Chtimes(name, at, at)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// plain makes a plain collection of the capped one, with the same documents.
func (c *crasher) plain() {
	c.t.Helper()
	ctx := context.Background()
	other := *c.rig
	other.db = c.capped
	db := other.mongoDB()
	cur, err := db.Collection("tyk_analytics").Aggregate(ctx, bson.A{bson.M{"$out": "plain"}})
	if err == nil {
		err = cur.Close(ctx)
	}
	if err == nil {
		err = db.Client().Database("admin").RunCommand(ctx, bson.D{{Key: "renameCollection", Value: c.capped + ".plain"},
			{Key: "to", Value: c.capped + ".tyk_analytics"}, {Key: "dropTarget", Value: true}}).Err()
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// localHits is what the sqlite sink counts in all.
func (c *crasher) localHits() (n int) {
	c.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(c.dir, "local.db"))
	if err == nil {
		err = db.QueryRow("SELECT sum(hits) FROM counters WHERE dimension = 0 AND width = 3600").Scan(&n)
	}
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

// agedEmpties lets two days pass over documents that were rolled up.
func (c *crasher) agedEmpties() {
	c.t.Helper()
	ctx, db := context.Background(), c.mongoDB()
	names, err := db.ListCollectionNames(ctx, bson.M{"name": bson.M{"$regex": "aggregate"}})
	for _, name := range names {
		if err == nil {
			_, err = db.Collection(name).UpdateMany(ctx, bson.M{"sluice.rolled.at": bson.M{"$exists": true}},
				bson.M{"$set": bson.M{"sluice.rolled.at": time.Now().Add(-48 * time.Hour)}})
		}
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// retainFilesHistory runs retention over OpenSearch, with and without its Index State Management, an archive in a
// directory that holds the lease, and dead letters in a bucket.
var retainFilesHistory = history{
	name: "retain-files",
	not:  []string{"redis/", "archive/object", "archive/manifest", "opensearch/", "dead-letters/", "directory/"},
	make: func(c *crasher) {
		c.withSearch().sink("a-files", "csv", fmt.Sprintf("dir: %s, object: {max_age: 1s}", c.filesDir()))
		c.withArchive() // names the bucket's endpoint
		c.config = strings.Replace(c.config, "state: {", fmt.Sprintf("state: {durable: false, spool: s3://%s/own/, ", c.bucket.Bucket), 1)
		rules := func(s string) string {
			return s + "retention: {floor: 0s, dead_letters: {keep: 1s}, archive: {keep: 400d, parquet: true}, search: {keep: 90d, seal_after: 1d}, " +
				"organisations: {org0: {search: {keep: 40d}}}}\n"
		}
		c.files["load"] = c.file(func(s string) string { return s + "retention: {search: {keep: 0s}}\n" })
		c.files["plain"] = c.file(rules)
		front := withManagement(c)
		c.files["managed"] = c.file(func(s string) string { return strings.Replace(rules(s), c.search, front, 1) })
	},
	round: func(c *crasher) {
		for i := range 2 { // the second one replaces indexes of the first
			c.files["all"] = c.files["plain"]
			if strings.Contains(c.point, "ism-") || c.point == "" && i == 1 {
				c.files["all"] = c.files["managed"]
			}
			c.aging()
			for range 2 { // what the first one replaced goes with the second, hours later
				if c.retainOnce(); c.died {
					return
				}
				c.agedFiles()
			}
		}
	},
	judge: func(c *crasher) {
		c.retain(c.files["plain"], 0, "--apply")
		c.freeLeases()
		e := c.expect()
		today := time.Now().UTC().Truncate(24 * time.Hour)
		older := func(r *record.Record, days int) bool { return r.TimeStamp.Before(today.AddDate(0, 0, -days)) }
		wantIDs(c.t, "OpenSearch", e.wanted(func(r *record.Record) bool {
			return !older(r, 90) && (r.OrgID != "org0" || !older(r, 40))
		}), c.searchIDs())
		kept := e.wanted(func(r *record.Record) bool { return !older(r, 400) })
		wantIDs(c.t, "directory", kept, c.archiveIDs(c.fileStore(), ""))
		wantIDs(c.t, "bucket", kept, c.archiveIDs(c.s3Store(), "a/"))
		c.wantParquet(c.fileStore(), "")
		c.wantParquet(c.s3Store(), "a/")
		for info, err := range c.s3Store().List(context.Background(), "own/deadletters/") {
			c.t.Errorf("a dead letter that is past its time: %s, %v", info.Key, err)
		}
		if again := c.retain(c.files["plain"], 0, "--apply"); len(again.Applied) != 0 {
			c.t.Errorf("again: %q", rows(again.Due()))
		}
	},
}

// wantParquet wants every hour of an archive to have one Parquet file, which is made from what the hour has, and no other.
func (c *crasher) wantParquet(s archive.Store, prefix string) {
	c.t.Helper()
	hours := map[string]string{}
	for h, err := range archive.Hours(context.Background(), s, prefix, time.Time{}, time.Time{}) {
		if err != nil {
			c.t.Fatal(err)
		}
		hours[h.Region+h.Time.String()] = columnar.Digest(&h)
	}
	for h, err := range columnar.Hours(context.Background(), s, prefix) {
		if err != nil {
			c.t.Fatal(err)
		}
		if digest, ok := hours[h.Region+h.Time.String()]; !ok || !h.Current(digest) {
			c.t.Errorf("Parquet of %s that is not what the archive has: %+v", h.Time, h)
		}
		delete(hours, h.Region+h.Time.String())
	}
	if len(hours) > 0 {
		c.t.Errorf("without Parquet: %v", hours)
	}
}

// aging loads what is due in each store, and a dead letter; and leaves the lease of a job that died long ago.
func (c *crasher) aging() {
	c.t.Helper()
	today := time.Now().UTC().Truncate(24 * time.Hour)
	for i := range 9 { // hours of a day that two calls share, enough of them to be worth an index
		at := today.AddDate(0, 0, -60-c.bad/2).Add(time.Duration(c.bad%2*9+i) * time.Hour)
		c.push(msgpackList, made(c.next*3+1, at.Add(time.Duration(c.next)*time.Second))) // of an organisation that keeps them
		c.next++
	}
	for _, days := range []int{50, 50, 50, 100 + c.next, 101 + c.next, 500 + c.next} {
		c.push(msgpackList, made(c.next, today.AddDate(0, 0, -days).Add(time.Duration(c.next)*time.Second)))
		c.next++
	}
	c.push(msgpackList, fmt.Appendf(nil, "poison %d", c.bad))
	c.bad++
	c.once(c.files["load"], 0)
	if len(c.fileKeys("_sluice/retain/*")) == 0 {
		if _, _, err := c.fileStore().PutIfAbsent(context.Background(), fmt.Sprintf("_sluice/retain/%020d", 1), strings.NewReader("long dead"), 9, ""); err != nil {
			c.t.Fatal(err)
		}
	}
	c.freeLeases()
	c.agedFiles()
	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(1100 * time.Millisecond))) // the dead letter's second is over
}

// agedFiles lets hours pass over the archive's directory.
func (c *crasher) agedFiles() {
	c.t.Helper()
	past := time.Now().Add(-5 * time.Hour)
	err := filepath.WalkDir(c.filesDir(), func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		return os.Chtimes(name, past, past)
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *crasher) fileKeys(pattern string) []string {
	c.t.Helper()
	names, err := filepath.Glob(filepath.Join(c.filesDir(), filepath.FromSlash(pattern)))
	if err != nil {
		c.t.Fatal(err)
	}
	return names
}

// withManagement stands before OpenSearch and answers for Index State Management, which the test's server lacks: an index
// that the policy is attached to is deleted.
func withManagement(c *crasher) string {
	c.t.Helper()
	target, err := url.Parse(c.search)
	if err != nil {
		c.t.Fatal(err)
	}
	direct := httputil.NewSingleHostReverseProxy(target)
	say := func(w http.ResponseWriter, status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	var made atomic.Bool
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, adds := strings.CutPrefix(r.URL.Path, "/_plugins/_ism/add/")
		switch {
		case adds:
			c.deleteIndex(name)
			say(w, http.StatusOK, map[string]any{"updated_indices": 1, "failures": false, "failed_indices": []any{}})
		case strings.HasPrefix(r.URL.Path, "/_plugins/_ism/explain/"):
			say(w, http.StatusOK, map[string]any{"total_managed_indices": 0})
		case strings.HasPrefix(r.URL.Path, "/_plugins/_ism/policies/") && r.Method == http.MethodPut:
			made.Store(true)
			say(w, http.StatusCreated, map[string]any{"_id": "sluice-expire"})
		case strings.HasPrefix(r.URL.Path, "/_plugins/_ism/policies/") && made.Load(): // somebody has changed it
			say(w, http.StatusOK, map[string]any{"_id": "sluice-expire", "_seq_no": 1, "_primary_term": 1, "policy": map[string]any{"states": []any{}}})
		case strings.HasPrefix(r.URL.Path, "/_plugins/_ism/policies/"):
			say(w, http.StatusNotFound, map[string]any{"error": map[string]any{"type": "status_exception", "reason": "Policy not found"}, "status": 404})
		default:
			direct.ServeHTTP(w, r)
		}
	}))
	c.t.Cleanup(s.Close)
	return s.URL
}

// deleteIndex is called by the server of withManagement, in a goroutine that is not the test's.
func (c *crasher) deleteIndex(name string) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodDelete, c.search+"/"+name, nil)
	if err == nil {
		var res *http.Response
		if res, err = http.DefaultClient.Do(req); err == nil {
			err = res.Body.Close()
		}
	}
	if err != nil {
		c.t.Errorf("delete index %s: %v", name, err)
	}
}
