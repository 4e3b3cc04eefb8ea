package mongoagg

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	mrand "math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/bson"
	driver "go.mongodb.org/mongo-driver/mongo"
	"go.uber.org/goleak"

	"sluice/aggregate/recount"
	"sluice/internal/mongo"
	"sluice/internal/pipeline"
	"sluice/internal/record"
	"sluice/internal/testenv"
	"sluice/sinks/sinktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// store is a database of one test.
type store struct {
	uri string
	db  *driver.Database
}

func newStore(t testing.TB, uri string) *store {
	t.Helper()
	client, err := mongo.Connect(t.Context(), uri, "test")
	if err != nil {
		t.Fatal(err)
	}
	s := &store{uri: uri, db: client.Database("agg_" + strings.ToLower(rand.Text()[:12]))}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := s.db.Drop(ctx); err != nil {
			t.Logf("drop: %v", err)
		}
		mongo.Disconnect(ctx, client)
	})
	return s
}

func shared(t testing.TB) *store { return newStore(t, testenv.Mongo(t)) }

func (s *store) config() Config {
	c := Defaults()
	c.URI, c.Database, c.TrackAllPaths = s.uri, s.db.Name(), true
	return c
}

// open makes an open sink that is closed with the test.
func (s *store) open(t testing.TB, c Config) *Sink {
	t.Helper()
	sink := s.closed(t, c)
	t.Cleanup(func() { sink.Close(context.Background()) })
	for deadline := time.Now().Add(time.Minute); ; { // as the pipeline does; a set that just healed may need some time to confirm
		err := sink.Open(t.Context())
		if err == nil {
			return sink
		}
		if class, _ := pipeline.Classify(err); class != pipeline.Retryable || time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func (s *store) closed(t testing.TB, c Config) *Sink {
	t.Helper()
	sink, err := New("dashboard", c, slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		t.Fatal(err)
	}
	return sink
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	if w.t.Context().Err() == nil {
		w.t.Log(strings.TrimSpace(string(b)))
	}
	return len(b), nil
}

func optionsOf(c Config) recount.Options {
	return recount.Options{Bucket: c.Bucket.D(), ExpireAfter: c.ExpireAfter.D(), TrackAllPaths: c.TrackAllPaths,
		Ignore: c.Ignore, IgnoreTags: c.IgnoreTagPrefixes, Top: c.Top}
}

// trees reads a collection's documents, without _id and bookkeeping, sorted by organisation and bucket.
func (s *store) trees(t testing.TB, collection string) (out []recount.Tree) {
	t.Helper()
	cur, err := s.db.Collection(collection).Find(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	for cur.Next(t.Context()) {
		tr := tree(cur.Current)
		delete(tr, "_id")
		delete(tr, "sluice")
		out = append(out, tr)
	}
	if err := cur.Err(); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(out, func(a, b recount.Tree) int {
		return cmp.Or(cmp.Compare(a["orgid"].(string), b["orgid"].(string)), cmp.Compare(a["timestamp"].(recount.Millis), b["timestamp"].(recount.Millis)))
	})
	return out
}

func tree(raw bson.Raw) recount.Tree {
	out := recount.Tree{}
	es, _ := raw.Elements()
	for _, e := range es {
		if _, twice := out[e.Key()]; twice {
			out[e.Key()+" twice"] = true
		}
		out[e.Key()] = value(e.Value())
	}
	return out
}

func value(v bson.RawValue) any {
	switch v.Type {
	case bson.TypeEmbeddedDocument:
		return tree(v.Document())
	case bson.TypeArray:
		out := []any{}
		vs, _ := v.Array().Values()
		for _, e := range vs {
			out = append(out, value(e))
		}
		return out
	case bson.TypeInt32, bson.TypeInt64:
		return integer(v)
	case bson.TypeDouble:
		return v.Double()
	case bson.TypeString:
		return v.StringValue()
	case bson.TypeDateTime:
		return recount.Millis(v.DateTime())
	}
	return fmt.Sprint(v)
}

func recordsOf(lists ...*sinktest.List) (rs []*record.Record) {
	for _, l := range lists {
		for _, c := range l.Claims {
			for _, it := range c.Items {
				rs = append(rs, it.Record)
			}
		}
	}
	return rs
}

// holds checks both collections against the recount.
func (s *store) holds(t testing.TB, c Config, rs []*record.Record) {
	t.Helper()
	want := recount.Documents(rs, optionsOf(c))
	if c.MixedCollection {
		if d := gocmp.Diff(want, s.trees(t, mixedName)); d != "" {
			t.Errorf("recount (-) against %s (+):\n%.3000s", mixedName, d)
		}
	}
	var got []recount.Tree
	names, err := s.db.ListCollectionNames(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	for _, n := range names {
		if org, ok := strings.CutPrefix(n, orgPrefix); ok {
			for _, d := range s.trees(t, n) {
				if d["orgid"] != org {
					t.Errorf("a document of %v lies in %s", d["orgid"], n)
				}
				got = append(got, d)
			}
		}
	}
	if d := gocmp.Diff(want, got); d != "" {
		t.Errorf("recount (-) against the organisations' collections (+):\n%.3000s", d)
	}
}

func listOf(name string, claims ...[]*record.Record) *sinktest.List {
	l := sinktest.NewList(name)
	for _, c := range claims {
		items := make([]pipeline.Item, len(c))
		for i, r := range c {
			items[i] = pipeline.Item{Record: r, Raw: fmt.Appendf(nil, "%s %d %d", name, len(l.Claims), i)}
		}
		l.Add(items)
	}
	return l
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// unzipped are the lines of a gzipped file.
func unzipped(t testing.TB, r io.Reader) (lines [][]byte) {
	t.Helper()
	z, err := gzip.NewReader(r)
	must(t, err)
	b, err := io.ReadAll(z)
	must(t, err)
	for line := range bytes.Lines(b) {
		lines = append(lines, bytes.TrimSpace(line))
	}
	return lines
}

func newRand(seed uint64) *mrand.Rand { return mrand.New(mrand.NewPCG(seed, seed)) }

func sortedWords(words []string) string {
	slices.Sort(words)
	return strings.Join(words, " ")
}
