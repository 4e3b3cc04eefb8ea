package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
	"go.mongodb.org/mongo-driver/mongo"
	mongooptions "go.mongodb.org/mongo-driver/mongo/options"

	"sluice/aggregate/recount"
	"sluice/internal/archive"
	"sluice/internal/archive/dirstore"
	"sluice/internal/archive/s3store"
	"sluice/internal/record"
)

// expected is what was pushed and decodes, with the IDs it has when each list was claimed as a whole.
type expected struct {
	records []*record.Record
	ids     []string
}

// expect decodes everything that was pushed with the reference of each list's format.
func (r *rig) expect() expected {
	r.t.Helper()
	var out expected
	for _, name := range sortedKeys(r.lists) {
		format := record.Msgpack
		if strings.HasSuffix(name, "_protobuf") {
			format = record.Protobuf
		}
		var ord record.Ordinals
		var dec record.Decoder
		for i, p := range r.lists[name] {
			rec := new(record.Record)
			h := ord.Next(uint32(i), p)
			if dec.Decode(format, p, rec) != nil {
				continue
			}
			out.records = append(out.records, rec)
			out.ids = append(out.ids, record.MakeID(rec.TimeStamp, h).String())
		}
	}
	return out
}

// wanted are the IDs of the records that a sink takes, each once.
func (e expected) wanted(takes func(*record.Record) bool) map[string]int {
	out := map[string]int{}
	for i, id := range e.ids {
		if takes(e.records[i]) {
			out[id] = 1
		}
	}
	return out
}

func everything(*record.Record) bool { return true }
func inRaw(r *record.Record) bool    { return !r.MCP.IsMCP && r.ResponseCode != -1 }
func inAggregates(r *record.Record) bool {
	return r.OrgID != "" && !r.GraphQL.IsGraphQL && !r.MCP.IsMCP
}
func (e expected) count(f func(*record.Record) bool) (n uint64) {
	for _, r := range e.records {
		if f(r) {
			n++
		}
	}
	return n
}

func wantIDs(t testing.TB, where string, want, got map[string]int) {
	t.Helper()
	missing, strange, twice := 0, 0, 0
	for id := range want {
		if got[id] == 0 {
			missing++
		}
	}
	for id, n := range got {
		if want[id] == 0 {
			strange++
		}
		if n > 1 {
			twice++
		}
	}
	if missing+strange+twice > 0 {
		t.Errorf("%s: of %d records %d are missing, %d are strange, %d are there more than once", where, len(want), missing, strange, twice)
	}
}

func (r *rig) mongoDB() *mongo.Database {
	r.t.Helper()
	c, err := mongo.Connect(context.Background(), mongooptions.Client().ApplyURI(r.mongo))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = c.Disconnect(context.Background()) })
	return c.Database(r.db)
}

func (r *rig) dropDatabase() {
	if c, err := mongo.Connect(context.Background(), mongooptions.Client().ApplyURI(r.mongo)); err == nil {
		_ = c.Database(r.db).Drop(context.Background())
		_ = c.Disconnect(context.Background())
	}
}

// rawIDs are the record IDs in the raw collection.
func (r *rig) rawIDs() map[string]int {
	r.t.Helper()
	var docs []struct {
		ID primitive.ObjectID `bson:"_id"`
	}
	r.find("tyk_analytics", bson.M{}, &docs)
	out := map[string]int{}
	for _, d := range docs {
		out[d.ID.Hex()]++
	}
	return out
}

func (r *rig) find(collection string, filter, into any) {
	r.t.Helper()
	cur, err := r.mongoDB().Collection(collection).Find(context.Background(), filter)
	if err == nil {
		err = cur.All(context.Background(), into)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// wantAggregates holds every aggregate document, per organisation and mixed, against the independent recount.
func (r *rig) wantAggregates(records []*record.Record) {
	r.t.Helper()
	want := map[string]recount.Tree{}
	for _, d := range recount.Documents(records, recount.Options{
		Bucket: time.Hour, ExpireAfter: 100 * 365 * 24 * time.Hour, TrackAllPaths: true}) {
		recount.SortLists(d)
		want[fmt.Sprint(d["orgid"], " ", d["timestamp"])] = d
	}
	names, err := r.mongoDB().ListCollectionNames(context.Background(), bson.M{"name": bson.M{"$regex": "^(z_tyk_analyticz_aggregate_|tyk_analytics_aggregates$)"}})
	if err != nil {
		r.t.Fatal(err)
	}
	seen := map[string]int{}
	for _, name := range names {
		var docs []bson.M
		r.find(name, bson.M{}, &docs)
		for _, d := range docs {
			got := plainTree(d).(recount.Tree)
			key := fmt.Sprint(got["orgid"], " ", got["timestamp"])
			seen[key]++
			for k := range got { // bookkeeping of the sink's own
				if _, ok := want[key][k]; !ok && (k == "_id" || strings.HasPrefix(k, "sluice")) {
					delete(got, k)
				}
			}
			recount.SortLists(got)
			if diff := cmp.Diff(want[key], got); diff != "" {
				r.t.Errorf("%s, document %s (-recount +stored):\n%.2000s", name, key, diff)
			}
		}
	}
	for key := range want {
		if seen[key] != 2 {
			r.t.Errorf("document %s is there %d times, want once for its organisation and once mixed", key, seen[key])
		}
	}
}

// plainTree turns what the driver reads into what the recount makes.
func plainTree(v any) any {
	switch v := v.(type) {
	case bson.M:
		out := recount.Tree{}
		for k, x := range v {
			out[k] = plainTree(x)
		}
		return out
	case bson.A:
		out := []any{}
		for _, x := range v {
			out = append(out, plainTree(x))
		}
		return out
	case int32:
		return int64(v)
	case primitive.DateTime:
		return recount.Millis(v)
	default:
		return v
	}
}

// searchIDs are the document IDs in the indices.
func (r *rig) searchIDs() map[string]int {
	r.t.Helper()
	r.request("POST", "/"+r.index+"-*/_refresh", "")
	out := map[string]int{}
	page := r.request("POST", "/"+r.index+"-*/_search?scroll=1m", `{"size":5000,"_source":false}`)
	for {
		var res struct {
			Scroll string `json:"_scroll_id"`
			Hits   struct {
				Hits []struct {
					ID string `json:"_id"`
				} `json:"hits"`
			} `json:"hits"`
		}
		if err := json.Unmarshal(page, &res); err != nil {
			r.t.Fatal(err)
		}
		if len(res.Hits.Hits) == 0 {
			return out
		}
		for _, h := range res.Hits.Hits {
			out[h.ID]++
		}
		page = r.request("POST", "/_search/scroll", fmt.Sprintf(`{"scroll":"1m","scroll_id":"%s"}`, res.Scroll))
	}
}

func (r *rig) request(method, path, body string) []byte {
	r.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, r.search+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer res.Body.Close()
	out, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

func (r *rig) dropIndices() {
	r.request("DELETE", "/"+r.index+"-*", "")
}

// archiveIDs are the record IDs in an archive, by row; every row's position must be another.
func (r *rig) archiveIDs(store archive.Store, prefix string) map[string]int {
	r.t.Helper()
	out, positions := map[string]int{}, map[string]bool{}
	for m, err := range archive.List(context.Background(), store, prefix, time.Time{}, time.Time{}) {
		if err != nil {
			r.t.Fatal(err)
		}
		rd, err := archive.Open(context.Background(), store, m)
		if err != nil {
			r.t.Fatal(err)
		}
		for row, err := range rd.All() {
			if err != nil {
				r.t.Fatalf("%s: %v", m.Object, err)
			}
			at := row.Stream.Lineage + row.Position.String()
			if positions[at] {
				r.t.Errorf("position %s is archived twice", at)
			}
			positions[at] = true
			out[row.ID.String()]++
		}
		if err := rd.Close(); err != nil {
			r.t.Error(err)
		}
	}
	return out
}

func (r *rig) s3Store() archive.Store {
	r.t.Helper()
	b := r.bucket
	s, err := s3store.New(context.Background(), s3store.Options{Bucket: b.Bucket, Endpoint: b.Endpoint, PathStyle: true,
		Region: b.Region, AccessKey: b.AccessKey, SecretKey: b.SecretKey})
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

func (r *rig) fileStore() archive.Store {
	if err := os.MkdirAll(r.filesDir(), 0o700); err != nil {
		r.t.Fatal(err)
	}
	s, err := dirstore.Open(r.filesDir())
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// wantEverywhere holds all four stores against what was pushed.
func (r *rig) wantEverywhere() expected {
	r.t.Helper()
	e := r.expect()
	wantIDs(r.t, "raw", e.wanted(inRaw), r.rawIDs())
	wantIDs(r.t, "OpenSearch", e.wanted(everything), r.searchIDs())
	wantIDs(r.t, "archive", e.wanted(everything), r.archiveIDs(r.s3Store(), "a/"))
	r.wantAggregates(e.records)
	return e
}
