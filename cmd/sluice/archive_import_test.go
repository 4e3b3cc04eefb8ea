package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
	"go.mongodb.org/mongo-driver/mongo"
)

// incumbents are the documents that tyk-pump wrote for a capture, with _ids as its driver makes them: a few seconds after the
// request, five bytes of the process, a counter.
func incumbents(t *testing.T, capture string) (docs []any) {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "sinks", "mongoraw", "testdata", "golden", capture, "tyk_analytics.jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var d bson.D
		if err := bson.UnmarshalExtJSON(lines.Bytes(), true, &d); err != nil {
			t.Fatal(err)
		}
		var at primitive.DateTime
		for _, e := range d {
			if e.Key == "timestamp" {
				at = e.Value.(primitive.DateTime)
			}
		}
		id := primitive.ObjectID{4: byte(len(capture)), 5: 1, 6: 2, 7: 3, 8: 4}
		binary.BigEndian.PutUint32(id[:4], uint32(at.Time().Unix()+int64(len(docs)%4)))
		id[10], id[11] = byte(len(docs)>>8), byte(len(docs))
		docs = append(docs, append(bson.D{{Key: "_id", Value: id}}, d...))
	}
	if err := lines.Err(); err != nil || len(docs) == 0 {
		t.Fatalf("%d documents: %v", len(docs), err)
	}
	return docs
}

// documents are those of a collection as they lie there, by _id.
func documents(t *testing.T, c *mongo.Collection) map[string]bson.Raw {
	t.Helper()
	cur, err := c.Find(context.Background(), bson.M{})
	if err != nil {
		t.Fatal(err)
	}
	defer cur.Close(context.Background())
	out := map[string]bson.Raw{}
	for cur.Next(context.Background()) {
		out[cur.Current.Lookup("_id").String()] = bytes.Clone(cur.Current)
	}
	if err := cur.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestImportFromMongo: what tyk-pump wrote beside what we did comes into the archive once, whatever is killed and however
// often it is done; replayed into another database it makes the same documents, byte by byte.
func TestImportFromMongo(t *testing.T) {
	t.Parallel()
	r := newRig(t).withRaw().withArchive()
	hour := capturedHour.Add(30 * time.Minute)
	r.push(msgpackList, many(300, hour)...)
	file := r.file(nil)
	r.once(file, 0)
	r.sink("again", "mongo-raw", fmt.Sprintf("uri: \"%s\", database: %s, capped_size: 1GiB", r.mongo, r.db+"_again"))
	t.Cleanup(func() {
		if err := r.mongoDB().Client().Database(r.db + "_again").Drop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	both := r.file(nil)
	docs := append(incumbents(t, "msgpack"), incumbents(t, "protobuf")...)
	coll := r.mongoDB().Collection("tyk_analytics")
	if _, err := coll.InsertMany(context.Background(), docs); err != nil {
		t.Fatal(err)
	}
	want := documents(t, coll)
	if len(want) != len(docs)+300 {
		t.Fatalf("%d documents", len(want))
	}
	base := []string{"archive", "import", "--from", "mongo", "--sink", "raw", "--before", "2026-11-25"}
	var p importPlan
	r.sluiceJSON(file, 0, &p, append(base, "--dry-run")...)
	if len(p.Collections) != 1 || p.Collections[0].Documents != int64(len(want)) || p.Seconds <= 0 {
		t.Errorf("%+v", p)
	}
	for n := range 4 {
		p := r.start(append(base, "--config", file, "--resume")...)
		p.KillAfter(time.Duration(40+80*n)*time.Millisecond, time.Duration(80+120*n)*time.Millisecond)
		r.freeLease()
	}
	var res importResult
	r.sluiceJSON(file, 0, &res, append(base, "--resume")...)
	for range 2 {
		res = importResult{}
		r.sluiceJSON(file, 0, &res, base...)
		if at := res.Collections["tyk_analytics"]; at.Documents != int64(len(want)) || at.There != at.Documents || at.Archived != 0 || at.Extra != 0 || !at.Done {
			t.Errorf("again: %+v", at)
		}
	}
	if out, _ := r.sluice(file, 0, "archive", "verify"); !strings.Contains(out, fmt.Sprintf("%d records", len(want))) {
		t.Errorf("verify: %s", out)
	}
	if res := r.replay(both, 0, append(span(capturedHour, capturedHour.Add(3*time.Hour)), "--sink", "again")...); res.Records != int64(len(want)) {
		t.Errorf("%+v", res)
	}
	got := documents(t, r.mongoDB().Client().Database(r.db+"_again").Collection("tyk_analytics"))
	if len(got) != len(want) {
		t.Errorf("%d documents, want %d", len(got), len(want))
	}
	differ := 0
	for id, d := range want {
		if differ < 3 && !bytes.Equal(d, got[id]) {
			differ++
			t.Errorf("%s\nis now %s", d, got[id])
		}
	}
	r.sluice(file, 0, "audit", "--deep", "--sink", "raw")
}

func TestImportRefusesWhatIsNotClear(t *testing.T) {
	dir := t.TempDir()
	file := func(sinks string) string {
		name := filepath.Join(dir, fmt.Sprintf("%d.yaml", len(sinks)))
		text := "region: test\nsources: {main: {type: redis, addrs: [\"127.0.0.1:1\"]}}\nstate: {dir: " + dir + "/state}\nsinks:\n" + sinks
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	files := "  files: {type: csv, dir: " + dir + "/files}\n"
	raw := "  raw: {type: mongo-raw, uri: \"mongodb://127.0.0.1:1/\"}\n"
	other := "  other: {type: mongo-raw, uri: \"mongodb://127.0.0.1:1/\", layout: per-org}\n"
	for _, c := range []struct {
		sinks string
		flags []string
		say   string
	}{
		{files + raw, nil, "--from"},
		{files + raw, []string{"--from", "s3"}, "only mongo"},
		{files + raw, []string{"--from", "mongo", "--rate", "x"}, "--rate"},
		{files + raw, []string{"--from", "mongo", "--before", "soon"}, "--before"},
		{files + raw, []string{"--from", "mongo", "--sink", "files"}, "no sink of type mongo-raw"},
		{files + raw, []string{"--from", "mongo", "--archive", "raw"}, "no sink of type s3-csv or csv"},
		{files, []string{"--from", "mongo"}, "configure one of type mongo-raw"},
		{raw, []string{"--from", "mongo"}, "no sink writes an archive"},
		{files + raw + other, []string{"--from", "mongo"}, "several mongo-raw sinks"},
	} {
		code, _, stderr := runs(t, append([]string{"archive", "import", "--config", file(c.sinks)}, c.flags...)...)
		if code != exitUsage || !strings.Contains(stderr, c.say) {
			t.Errorf("%v exits %d: %s", c.flags, code, stderr)
		}
	}
}
