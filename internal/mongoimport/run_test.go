package mongoimport

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
	driver "go.mongodb.org/mongo-driver/mongo"

	"sluice/internal/archive"
	"sluice/internal/archive/dirstore"
	"sluice/internal/mongo"
	"sluice/internal/pipeline"
	"sluice/internal/record"
	"sluice/internal/testenv"
)

// collection is one of the test's own.
func collection(t *testing.T) *driver.Collection {
	t.Helper()
	client, err := mongo.Connect(t.Context(), testenv.Mongo(t), "test")
	if err != nil {
		t.Fatal(err)
	}
	db := client.Database("sluice_import_" + strings.ToLower(rand.Text()[:10]))
	t.Cleanup(func() {
		if err := db.Drop(context.Background()); err != nil {
			t.Error(err)
		}
		mongo.Disconnect(context.Background(), client)
	})
	return db.Collection("tyk_analytics")
}

// document is one whose _id was made with its request, or later.
func document(n int, after time.Duration, more ...bson.E) bson.D {
	at := noon.Add(time.Duration(n) * time.Second)
	id := primitive.NewObjectIDFromTimestamp(at.Add(after))
	id[10], id[11] = byte(n>>8), byte(n)
	return append(bson.D{{Key: "_id", Value: id}, {Key: "timestamp", Value: at}, {Key: "orgid", Value: fmt.Sprint("org", n%2)}, {Key: "apikey", Value: "key"},
		{Key: "rawrequest", Value: strings.Repeat("x", 100)}}, more...)
}

func rows(t *testing.T, s archive.Store) (out []archive.Row) {
	t.Helper()
	for m, err := range archive.List(t.Context(), s, "", time.Time{}, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		r, err := archive.Open(t.Context(), s, m)
		if err != nil {
			t.Fatal(err)
		}
		for row, err := range r.All() {
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, row)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// TestRun: what is not archived is counted by its reason; what is to be hidden is; nothing is there twice, however often and
// from wherever it is begun.
func TestRun(t *testing.T) {
	c := collection(t)
	var docs []any
	for n := range 60 {
		docs = append(docs, document(n, time.Duration(n%3)*time.Second))
	}
	docs = append(docs,
		document(70, 100*24*time.Hour), // its request was long before: made after the bound, so it is left
		document(71, 0, bson.E{Key: "newer", Value: 1}),
		append(document(72, 0)[:1], bson.E{Key: "timestamp", Value: noon.Add(-200 * 24 * time.Hour)}),
		append(document(73, 0)[:1], bson.E{Key: "orgid", Value: "org1"}),
		bson.D{{Key: "_id", Value: "a name"}, {Key: "timestamp", Value: noon}})
	if _, err := c.InsertMany(t.Context(), docs); err != nil {
		t.Fatal(err)
	}
	s, err := dirstore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	saved := 0
	o := Options{Collection: c, Before: noon.Add(24 * time.Hour), Store: s, Layout: archive.Layout{Compression: archive.Zstd}, MaxBytes: 1, Dir: t.TempDir(),
		Shape: pipeline.RecordShape{Region: "eu", DropBodies: true, Masks: []pipeline.Mask{{Field: "api_key", Action: "hash"}},
			Accept: pipeline.Accept{Past: 100 * 24 * time.Hour, Future: time.Hour}},
		Takes: func(r *record.Record) bool { return r.OrgID != "org1" }, Rate: 1e9, Log: slog.New(slog.DiscardHandler),
		Moved: func(int64) {}, Settled: func(context.Context) error { return nil }, Saved: func(*Place) error { saved++; return nil }}
	var at Place
	if err := Run(t.Context(), o, &at); err != nil {
		t.Fatal(err)
	}
	want := Place{After: at.After, Documents: 63, Archived: 30, Filtered: 31, Refused: 2, Objects: 1, Extra: 1, Strangers: true, Done: true}
	if at != want || saved == 0 {
		t.Errorf("%+v, want %+v", at, want)
	}
	for _, r := range rows(t, s) {
		if r.Record.OrgID != "org0" || r.Record.APIKey == "key" || r.Record.RawRequest != "" || r.Stream.Source != Source || !archive.IsImport(r.Stream.Lineage) {
			t.Fatalf("%+v", r)
		}
	}
	for _, from := range []Place{{}, {After: primitive.NewObjectIDFromTimestamp(noon.Add(20 * time.Second)).Hex()}} {
		if err := Run(t.Context(), o, &from); err != nil || from.Archived != 0 || from.There == 0 || !from.Done {
			t.Errorf("again: %+v, %v", from, err)
		}
	}
	if n := len(rows(t, s)); n != 30 {
		t.Errorf("%d rows", n)
	}
	o.Takes = func(*record.Record) bool { return true }
	later := Place{}
	if err := Run(t.Context(), o, &later); err != nil || later.Archived != 31 || later.There != 30 {
		t.Errorf("with what was filtered: %+v, %v", later, err)
	}
	if n := len(rows(t, s)); n != 61 {
		t.Errorf("%d rows", n)
	}
}

// TestRunHoldsItsRate: pages are as small as the rate, so that it is held from the first one on.
func TestRunHoldsItsRate(t *testing.T) {
	c := collection(t)
	var docs []any
	for n := range 40 {
		docs = append(docs, document(n, 0))
	}
	if _, err := c.InsertMany(t.Context(), docs); err != nil {
		t.Fatal(err)
	}
	s, err := dirstore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	err = Run(t.Context(), Options{Collection: c, Before: noon.Add(24 * time.Hour), Store: s, Layout: archive.Layout{Compression: archive.None}, MaxBytes: 1 << 20,
		Dir: t.TempDir(), Shape: pipeline.RecordShape{Accept: pipeline.Accept{Past: time.Hour, Future: time.Hour}}, Takes: func(*record.Record) bool { return true },
		Rate: 20, Log: slog.New(slog.DiscardHandler), Moved: func(int64) {}, Settled: func(context.Context) error { return nil }, Saved: func(*Place) error { return nil }}, &Place{})
	if took := time.Since(began); err != nil || took < time.Second || len(rows(t, s)) != 40 {
		t.Errorf("it took %s, %v", took, err)
	}
}

// TestRunBesideAPump: a list that is a day old is handed over while its documents are imported. A pump of ours has stored them, and archives
// them a little later: each comes into the archive once, and what only lies in MongoDB does as well.
func TestRunBesideAPump(t *testing.T) {
	c := collection(t)
	s, err := dirstore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var docs []any
	var ours []record.ID
	for n := range 40 {
		d := document(n, 0)
		docs = append(docs, d)
		if n%4 == 0 { // a pump's
			ours = append(ours, record.ID(d[0].Value.(primitive.ObjectID)))
		}
	}
	if _, err := c.InsertMany(t.Context(), docs); err != nil {
		t.Fatal(err)
	}
	asked := 0
	o := Options{Collection: c, Before: noon.Add(24 * time.Hour), Store: s, Layout: archive.Layout{Compression: archive.Zstd}, MaxBytes: 1 << 20, Dir: t.TempDir(),
		Shape: pipeline.RecordShape{Region: "eu", Accept: pipeline.Accept{Past: time.Hour, Future: time.Hour}},
		Takes: func(*record.Record) bool { return true }, Log: slog.New(slog.DiscardHandler), Moved: func(int64) {}, Saved: func(*Place) error { return nil },
		Settled: func(ctx context.Context) error {
			if asked++; asked == 1 { // the archive's own sink ends its object
				own := store(t, "0123456789abcdef0123456789abcdef", ours, len(ours))
				for info, err := range own.List(ctx, "") {
					if err != nil {
						return err
					}
					copyObject(t, own, s, info.Key)
				}
			}
			return nil
		}}
	var at Place
	if err := Run(t.Context(), o, &at); err != nil {
		t.Fatal(err)
	}
	if at.Archived != 30 || at.There != 10 || at.Documents != 40 || asked < 2 {
		t.Errorf("%+v, asked %d times", at, asked)
	}
	seen := map[record.ID]int{}
	for _, r := range rows(t, s) {
		seen[r.ID]++
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("record %s is there %d times", id, n)
		}
	}
	if len(seen) != len(docs) {
		t.Errorf("%d records, want %d", len(seen), len(docs))
	}
}

func copyObject(t *testing.T, from, to archive.Store, key string) {
	t.Helper()
	body, err := from.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	data, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	if _, _, err := to.PutIfAbsent(t.Context(), key, bytes.NewReader(data), int64(len(data)), hex.EncodeToString(sum[:])); err != nil {
		t.Fatal(err)
	}
}
