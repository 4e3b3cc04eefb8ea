package mongoagg

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	driver "go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"

	"sluice/internal/pipeline"
	"sluice/internal/record"
	"sluice/internal/testenv"
	"sluice/sinks/sinktest"
)

// TestDocumentAtTheServersLimit: an organisation's document that the server itself finds too large, whatever it is full
// of, costs that organisation's records, as dead letters with the reason; the others count on, and nothing waits.
func TestDocumentAtTheServersLimit(t *testing.T) {
	t.Parallel()
	s := shared(t)
	c := s.config()
	c.MixedCollection = false
	d := sinktest.NewDriver(s.open(t, c))
	first := []*record.Record{request("big", "/", nine), request("small", "/", nine)}
	l := listOf("a", first)
	must(t, d.Deliver(t.Context(), l))
	ballast := bson.D{{Key: "$set", Value: bson.D{{Key: "ballast", Value: strings.Repeat("x", 16<<20-12<<10)}}}}
	_, err := s.db.Collection(orgPrefix+"big").UpdateOne(t.Context(), bson.D{}, ballast)
	must(t, err)
	var more []*record.Record
	for i := range 100 {
		more = append(more, request("big", fmt.Sprint("/", i), nine), request("small", fmt.Sprint("/", i), nine))
	}
	l.Claims = append(l.Claims, listOf("a", nil, more).Claims[1])
	must(t, d.Deliver(t.Context(), l))
	if n := len(d.Results.Dead); n != 100 {
		t.Fatalf("%d dead letters, want the 100 records of the full document", n)
	}
	if why := d.Results.Dead[0].Reason; !strings.Contains(why, "cannot be written") || !strings.Contains(why, orgPrefix+"big") {
		t.Errorf("reason %q", why)
	}
	small := s.trees(t, orgPrefix+"small")[0]
	if n := small["total"].(map[string]any)["hits"]; n != int64(101) {
		t.Errorf("the other organisation has %v hits, want 101", n)
	}
}

// TestForeignDocumentUnderOurID: a document that has our _id and another organisation is nobody's to count in.
func TestForeignDocumentUnderOurID(t *testing.T) {
	t.Parallel()
	s := shared(t)
	c := s.config()
	c.MixedCollection = false
	at := time.Unix(nine.Unix()/3600*3600, 0).UTC()
	_, err := s.db.Collection(orgPrefix+"org").InsertOne(t.Context(), bson.D{{Key: "_id", Value: DocumentID("org", at, time.Hour)},
		{Key: "orgid", Value: "another"}, {Key: "timestamp", Value: at}})
	must(t, err)
	d := sinktest.NewDriver(s.open(t, c))
	must(t, d.Deliver(t.Context(), listOf("a", []*record.Record{request("org", "/", nine), request("well", "/", nine)})))
	if len(d.Results.Dead) != 1 || !strings.Contains(d.Results.Dead[0].Reason, "of another") {
		t.Errorf("%+v", d.Results)
	}
}

// TestForeignDocumentInTheCollectionOfAll costs its own organisation's records there, and no others of the same flush.
func TestForeignDocumentInTheCollectionOfAll(t *testing.T) {
	s := shared(t)
	c := s.config()
	c.MixedCollection = true
	at := time.Unix(nine.Unix()/3600*3600, 0).UTC()
	mixed := s.db.Collection(mixedName)
	_, err := mixed.InsertOne(t.Context(), bson.D{{Key: "_id", Value: DocumentID("org", at, time.Hour)},
		{Key: "orgid", Value: "another"}, {Key: "timestamp", Value: at}})
	must(t, err)
	d := sinktest.NewDriver(s.open(t, c))
	must(t, d.Deliver(t.Context(), listOf("a", []*record.Record{request("org", "/", nine), request("well", "/", nine)})))
	if len(d.Results.Dead) != 1 || !strings.Contains(d.Results.Dead[0].Reason, "of another") {
		t.Errorf("%+v", d.Results)
	}
	if n, err := mixed.CountDocuments(t.Context(), bson.D{{Key: "orgid", Value: "well"}, {Key: "total.hits", Value: 1}}); err != nil || n != 1 {
		t.Errorf("the other organisation's document: %d, %v", n, err)
	}
}

// TestRights opens the sink as users who lack what it needs.
func TestRights(t *testing.T) {
	t.Parallel()
	server := testenv.StartMongoUsers(t)
	const name = "rights"
	server.AddUser(t, name, "reader", "read")
	server.AddRole(t, name, bson.D{{Key: "createRole", Value: "writer"}, {Key: "roles", Value: bson.A{}}, {Key: "privileges", Value: bson.A{
		bson.D{{Key: "resource", Value: bson.D{{Key: "db", Value: name}, {Key: "collection", Value: ""}}},
			{Key: "actions", Value: bson.A{"find", "insert", "update", "remove", "listCollections"}}}}}})
	server.AddUser(t, name, "writer", "writer")
	c := Defaults()
	c.Database, c.TrackAllPaths = name, true
	for user, says := range map[string]string{"reader": "may not insert, update in", "writer": `createIndex({"sluice.dirty": 1}, {"name": "sluice.dirty_1", "sparse": true})`} {
		c.URI = server.As(user, name)
		sink := (&store{}).closed(t, c)
		err := sink.Open(t.Context())
		if class, _ := pipeline.Classify(err); class != pipeline.FatalError || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want a fatal error that says %s", user, err, says)
		}
		must(t, sink.Close(t.Context()))
	}
	// Collections of organisations come under way: their records are not held up for an index.
	c.MixedCollection, c.URI = false, server.As("writer", name)
	s := &store{db: server.Admin.Database(name)}
	rs := made(newRand(3), 50)
	d := sinktest.NewDriver(s.open(t, c))
	must(t, d.Deliver(t.Context(), listOf("a", rs)))
	s.holds(t, c, rs)
}

// TestForeignUniqueIndexAtTheStart: it would keep whole documents from being written, which only an operator can cure.
func TestForeignUniqueIndexAtTheStart(t *testing.T) {
	t.Parallel()
	s := shared(t)
	c := s.config()
	unique := driver.IndexModel{Keys: bson.D{{Key: "orgid", Value: 1}}, Options: options.Index().SetUnique(true)}
	_, err := s.db.Collection(mixedName).Indexes().CreateOne(t.Context(), unique)
	must(t, err)
	sink := s.closed(t, c)
	defer func() { must(t, sink.Close(t.Context())) }()
	err = sink.Open(t.Context())
	if class, _ := pipeline.Classify(err); class != pipeline.FatalError || !strings.Contains(err.Error(), `dropIndex("orgid_1")`) {
		t.Fatalf("Open = %v", err)
	}
}

// TestDocumentOfANewerLayout: its records wait, without a dead letter, and it is left as it is; the other documents of the same flush, in
// the same collection, are counted.
func TestDocumentOfANewerLayout(t *testing.T) {
	s := shared(t)
	c := s.config()
	c.MixedCollection = true
	at := time.Unix(nine.Unix()/3600*3600, 0).UTC()
	mixed := s.db.Collection(mixedName)
	newer := bson.D{{Key: "_id", Value: DocumentID("org", at, time.Hour)}, {Key: "orgid", Value: "org"}, {Key: "timestamp", Value: at},
		{Key: "sluice", Value: bson.D{{Key: "v", Value: 2}, {Key: "positions", Value: "in another way"}}}}
	_, err := mixed.InsertOne(t.Context(), newer)
	must(t, err)
	d := sinktest.NewDriver(s.open(t, c))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err = d.Deliver(ctx, listOf("a", []*record.Record{request("org", "/", nine), request("well", "/", nine)}))
	if err == nil || len(d.Results.Dead) > 0 {
		t.Errorf("%v, %+v", err, d.Results)
	}
	var now bson.D
	must(t, mixed.FindOne(t.Context(), bson.D{{Key: "orgid", Value: "org"}}).Decode(&now))
	if len(now) != len(newer) {
		t.Errorf("it was touched: %v", now)
	}
	if n, err := mixed.CountDocuments(t.Context(), bson.D{{Key: "orgid", Value: "well"}, {Key: "total.hits", Value: 1}}); err != nil || n != 1 {
		t.Errorf("the other organisation's document: %d, %v", n, err)
	}
}
