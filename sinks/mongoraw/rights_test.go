package mongoraw

import (
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/bson"
	driver "go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"

	"sluice/internal/pipeline"
	"sluice/internal/record"
	"sluice/internal/testenv"
	"sluice/internal/units"
)

// TestRights opens the sink as users who lack what it needs, and as one who lacks only what it can do without.
func TestRights(t *testing.T) {
	t.Parallel()
	server := testenv.StartMongoUsers(t)
	const name = "rights"
	db := server.Admin.Database(name)
	on := func(collection string, actions ...string) bson.D {
		return bson.D{{Key: "resource", Value: bson.D{{Key: "db", Value: name}, {Key: "collection", Value: collection}}}, {Key: "actions", Value: actions}}
	}
	server.AddRole(t, name, bson.D{{Key: "createRole", Value: "writer"}, {Key: "roles", Value: bson.A{}},
		{Key: "privileges", Value: bson.A{on("", "find", "insert", "listCollections", "listIndexes")}}})
	server.AddUser(t, name, "writer", "writer")
	server.AddUser(t, name, "reader", "read")
	open := func(user, source string) (*Sink, error) {
		c := Defaults()
		c.URI, c.Database, c.CappedSize, c.Layout = server.As(user, source), name, 16*units.MiB, LayoutPerOrg
		sink, _ := (&store{}).sink(t, c)
		return sink, sink.Open(t.Context())
	}
	refused := func(what string, err error, says ...string) {
		t.Helper()
		if !isFatal(err) {
			t.Errorf("%s: %v, want a fatal error", what, err)
			return
		}
		for _, s := range append(says, name) {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: %v, want it to say %s", what, err, s)
			}
		}
		if strings.Contains(err.Error(), "only-for-tests") {
			t.Errorf("%s: the password is in %v", what, err)
		}
	}
	_, err := open("reader", name)
	refused("a user who may only read", err, "may not insert", "role.json")
	_, err = open("writer", name)
	refused("no indexes and no right to make them", err, `db.getCollection("tyk_uptime_analytics").createIndex({"expireAt": 1}, {"name": "expireAt_1", "expireAfterSeconds": 0})`, "createIndex")
	_, err = open("writer", "admin")
	if !isFatal(err) || !strings.Contains(err.Error(), `looked for in database "admin"`) || !strings.Contains(err.Error(), "authSource") {
		t.Errorf("wrong authentication database: %v", err)
	}

	for _, x := range uptime().indexes { // the administrator does as he was told, under names of his own
		o := options.Index().SetName("our_" + x.Name)
		if x.Expires {
			o.SetExpireAfterSeconds(0)
		}
		if _, err := db.Collection(uptimeName).Indexes().CreateOne(t.Context(), driver.IndexModel{Keys: x.Key, Options: o}); err != nil {
			t.Fatal(err)
		}
	}
	sink, err := open("writer", name)
	if err != nil {
		t.Fatalf("with the indexes there: %v", err)
	}
	write(t, sink, sample(1, nil), sample(2, func(r *record.Record) { r.OrgID = "other" })) // collections without indexes
	for _, org := range []string{"org", "other"} {
		if n, err := db.Collection(orgPrefix+org).CountDocuments(t.Context(), bson.D{}); err != nil || n != 1 {
			t.Errorf("%s: %d documents, %v", org, n, err)
		}
	}
}

// TestForeignUniqueIndexAtTheStart: with a unique index on what is not unique, most records would be refused. That is an
// operator's to cure, before anything is drained.
func TestForeignUniqueIndexAtTheStart(t *testing.T) {
	t.Parallel()
	s := shared(t)
	s.open(t, s.config(LayoutCapped))
	unique := driver.IndexModel{Keys: bson.D{{Key: "apiid", Value: 1}, {Key: "path", Value: -1}}, Options: options.Index().SetUnique(true).SetName("mine")}
	if _, err := s.db.Collection(cappedName).Indexes().CreateOne(t.Context(), unique); err != nil {
		t.Fatal(err)
	}
	sink, _ := s.sink(t, s.config(LayoutCapped))
	err := sink.Open(t.Context())
	if !isFatal(err) || !strings.Contains(err.Error(), `dropIndex("mine")`) || !strings.Contains(err.Error(), cappedName) {
		t.Fatalf("Open = %v", err)
	}
	if _, err := s.db.Collection(cappedName).Indexes().DropOne(t.Context(), "mine"); err != nil {
		t.Fatal(err)
	}
	if err := sink.Open(t.Context()); err != nil { // the cure it names works
		t.Fatal(err)
	}
}

// TestCappedTurnsOverUnderTheDrain: a full capped collection goes on, holds no record twice, and the newest ones.
func TestCappedTurnsOverUnderTheDrain(t *testing.T) {
	t.Parallel()
	s := shared(t)
	c := s.config(LayoutCapped)
	c.CappedSize = minCapped
	sink, _ := s.open(t, c)
	all := make([]pipeline.Item, 4000)
	for i := range all {
		all[i] = sample(i, func(r *record.Record) { r.RawResponse = strings.Repeat("QUJD", 300) })
	}
	for from := 0; from < len(all); from += 200 {
		write(t, sink, all[from:from+200]...)
		write(t, sink, all[from+100:from+200]...) // half of it once more, the reply was lost
	}
	seen := map[string]int{}
	for _, d := range s.documents(t, cappedName) {
		seen[d.Lookup("_id").ObjectID().Hex()]++
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("record %s is there %d times", id, n)
		}
	}
	if len(seen) < 300 || len(seen) >= len(all)/2 {
		t.Errorf("%d records of 1.2 kB in 1 MiB", len(seen))
	}
	for _, it := range all[len(all)-200:] {
		if seen[it.ID.String()] != 1 {
			t.Fatal("one of the newest records is not there")
		}
	}
}
