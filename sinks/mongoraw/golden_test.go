package mongoraw

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/bson"

	"sluice/internal/record"
	"sluice/sinks/sinktest"
)

// orgs are the organisations of the captures.
var orgs = []string{"5e9d9544a1dcd60001d0ed20", "6f0aa544a1dcd60001d0beef", "default"}

// TestGolden holds every document, field by field with order and types, against what the incumbent wrote for the same
// captured records.
func TestGolden(t *testing.T) {
	t.Parallel()
	for _, format := range []record.Format{record.Msgpack, record.Protobuf} {
		for _, layout := range []string{LayoutCapped, LayoutPerOrg} {
			t.Run(format.String()+" "+layout, func(t *testing.T) {
				s := shared(t)
				sink, _ := s.open(t, s.config(layout))
				list := sinktest.NewList("list")
				list.Add(sinktest.Captured(t, format))
				if err := sinktest.NewDriver(sink).Deliver(t.Context(), list); err != nil {
					t.Fatal(err)
				}
				names := []string{cappedName}
				if layout == LayoutPerOrg {
					names = nil
					for _, org := range orgs {
						names = append(names, orgPrefix+org)
					}
				}
				for _, name := range names {
					compareGolden(t, format, name, s.documents(t, name))
				}
			})
		}
	}
}

func compareGolden(t *testing.T, format record.Format, name string, got []bson.Raw) {
	t.Helper()
	want := golden(t, format, name)
	if len(got) != len(want) {
		t.Fatalf("%s has %d documents, want %d", name, len(got), len(want))
	}
	differ := 0
	for i := range want {
		var doc bson.D
		if err := bson.Unmarshal(got[i], &doc); err != nil {
			t.Fatal(err)
		}
		if doc[0].Key != "_id" {
			t.Fatalf("the first field is %s", doc[0].Key)
		}
		if diff := cmp.Diff(want[i], utf8Of(doc[1:])); diff != "" {
			if differ++; differ < 4 {
				t.Errorf("%s, document %d:\n%s", name, i, diff)
			}
		}
	}
	if differ > 0 {
		t.Errorf("%s: %d of %d documents differ", name, differ, len(want))
	}
}

func golden(t *testing.T, format record.Format, name string) (docs []bson.D) {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "golden", format.String(), name+".jsonl.gz"))
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
		var doc bson.D
		if err := bson.UnmarshalExtJSON(lines.Bytes(), true, &doc); err != nil {
			t.Fatal(err)
		}
		docs = append(docs, doc)
	}
	if err := lines.Err(); err != nil || len(docs) == 0 {
		t.Fatalf("%d documents: %v", len(docs), err)
	}
	return docs
}

// utf8Of is a value as the golden files show it: bytes that are not UTF-8 as U+FFFD.
func utf8Of(v any) any {
	switch v := v.(type) {
	case string:
		return string([]rune(v))
	case bson.D:
		out := make(bson.D, len(v))
		for i, e := range v {
			out[i] = bson.E{Key: e.Key, Value: utf8Of(e.Value)}
		}
		return out
	case bson.A:
		out := make(bson.A, len(v))
		for i, e := range v {
			out[i] = utf8Of(e)
		}
		return out
	}
	return v
}

// TestGoldenBytes: what is not UTF-8, and NUL, is stored byte for byte.
func TestGoldenBytes(t *testing.T) {
	t.Parallel()
	s := shared(t)
	sink, _ := s.open(t, s.config(LayoutCapped))
	list := sinktest.NewList("list")
	list.Add(sinktest.Captured(t, record.Msgpack))
	if err := sinktest.NewDriver(sink).Deliver(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	stored := map[record.ID]string{}
	for _, doc := range s.documents(t, cappedName) {
		stored[record.ID(doc.Lookup("_id").ObjectID())] = doc.Lookup("path").StringValue()
	}
	odd := 0
	for _, it := range list.Claims[0].Items {
		path, ok := stored[it.ID]
		if !ok {
			continue
		}
		if path != it.Record.Path {
			t.Fatalf("path %q is stored as %q", it.Record.Path, path)
		}
		if utf8Of(path) != path {
			odd++
		}
	}
	if odd == 0 {
		t.Error("no captured path has a byte that is not UTF-8: nothing was proven")
	}
}

// goldenIndexes reads the indexes that the incumbent left, by the collection's name there.
func goldenIndexes(t *testing.T, section, name string) (indexes []bson.D) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "golden", "indexes.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	var collections map[string]json.RawMessage
	if err := json.Unmarshal(all[section], &collections); err != nil {
		t.Fatal(err)
	}
	var doc struct{ Indexes []bson.D }
	if err := bson.UnmarshalExtJSON(collections[name], false, &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Indexes) < 2 {
		t.Fatalf("%s has no indexes", name)
	}
	return doc.Indexes
}

func (s *store) indexes(t *testing.T, name string) (indexes []bson.D) {
	t.Helper()
	cursor, err := s.db.Collection(name).Indexes().List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := cursor.All(t.Context(), &indexes); err != nil {
		t.Fatal(err)
	}
	return indexes
}

// TestIndexes holds the indexes against those of the incumbent, by name, key and options. The capped collection has
// those that the incumbent gives it only while it is not capped.
func TestIndexes(t *testing.T) {
	t.Parallel()
	s := shared(t)
	for _, layout := range []string{LayoutCapped, LayoutPerOrg} {
		sink, _ := s.open(t, s.config(layout))
		write(t, sink, sample(1, func(r *record.Record) { r.OrgID = orgs[0] }))
	}
	raw := goldenIndexes(t, "uncapped", "tyk_analytics (collection_cap_enable false)")
	org := goldenIndexes(t, "msgpack", orgPrefix+orgs[0])
	if diff := cmp.Diff(raw, s.indexes(t, cappedName)); diff != "" {
		t.Errorf("capped:\n%s", diff)
	}
	if diff := cmp.Diff(org, s.indexes(t, orgPrefix+orgs[0])); diff != "" {
		t.Errorf("per-org:\n%s", diff)
	}
	if diff := cmp.Diff(append(raw, org[2]), s.indexes(t, uptimeName)); diff != "" {
		t.Errorf("uptime:\n%s", diff)
	}
	if !slices.ContainsFunc(org[2], func(e bson.E) bool { return e.Key == "expireAfterSeconds" }) {
		t.Error("the third index of an organisation is not the one of expiry")
	}
}
