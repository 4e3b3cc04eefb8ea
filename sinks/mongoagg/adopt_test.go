package mongoagg

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"

	"sluice/aggregate/recount"
	"sluice/internal/record"
	"sluice/sinks/sinktest"
)

// incumbent puts the incumbent's documents of a capture into the collection of an organisation and the mixed one, and
// returns the records that they count.
func incumbent(t *testing.T, s *store, org string) []*record.Record {
	t.Helper()
	zipped, err := os.ReadFile("testdata/golden/msgpack/" + mixedName + ".jsonl.gz")
	must(t, err)
	for _, line := range unzipped(t, bytes.NewReader(zipped)) {
		var doc bson.D
		must(t, bson.UnmarshalExtJSON(line, true, &doc))
		if !slices.Contains(doc, bson.E{Key: "orgid", Value: org}) {
			continue
		}
		for _, c := range []string{mixedName, orgPrefix + org} {
			_, err := s.db.Collection(c).InsertOne(t.Context(), doc) // gets an _id of its own in each
			must(t, err)
		}
	}
	var rs []*record.Record
	for _, it := range sinktest.Captured(t, record.Msgpack) {
		if it.Record.OrgID == org && !bytes.Contains([]byte(it.Record.Path), []byte{0}) {
			rs = append(rs, it.Record)
		}
	}
	return rs
}

const org = "6f0aa544a1dcd60001d0beef"

// lenient compares all but what the incumbent got wrong, and what rests on it.
func (s *store) holdsAdopted(t *testing.T, c Config, rs []*record.Record) {
	t.Helper()
	want := recount.Documents(rs, optionsOf(c))
	wrong := gocmp.FilterPath(func(p gocmp.Path) bool {
		m, ok := p.Last().(gocmp.MapIndex)
		if !ok {
			return false
		}
		switch m.Key().String() {
		case "expireAt", "lasttime", "minlatency", "minupstreamlatency", "humanidentifier":
			return true
		}
		return false
	}, gocmp.Ignore())
	for _, name := range []string{mixedName, orgPrefix + org} {
		if d := gocmp.Diff(want, s.trees(t, name), wrong); d != "" {
			t.Errorf("recount (-) against %s (+):\n%.3000s", name, d)
		}
	}
}

func TestAdoptsTheIncumbentsDocument(t *testing.T) {
	t.Parallel()
	s := shared(t)
	c := s.config()
	rs := incumbent(t, s, org)
	fresh := rs[:50] // as if these requests came again, after the change of pumps
	l := listOf("a", fresh)
	must(t, sinktest.NewDriver(s.open(t, c)).Deliver(t.Context(), l))
	all := append(append([]*record.Record{}, rs...), fresh...)
	s.holdsAdopted(t, c, all)

	n, err := s.db.Collection(basesName).CountDocuments(t.Context(), bson.D{})
	must(t, err)
	if n != 2 {
		t.Errorf("%d bases are kept, want one a collection", n)
	}
	var base struct{ Document bson.Raw }
	id := documentID(org, all[0].TimeStamp.Unix()/3600*3600, 3600)
	must(t, s.db.Collection(basesName).FindOne(t.Context(), bson.D{{Key: "_id.collection", Value: mixedName}, {Key: "_id.id", Value: id}}).Decode(&base))
	want := recount.Documents(rs, optionsOf(c))[0]["total"].(recount.Tree)["hits"]
	if got := integer(base.Document.Lookup("total", "hits")); got != want {
		t.Errorf("the base has %d hits, want %d", got, want)
	}
}

// A crash after any step of an adoption, and another process goes on: the counters are there once.
func TestAdoptionSurvivesCrashes(t *testing.T) {
	t.Parallel()
	for step := range 4 {
		t.Run(fmt.Sprint("after step ", step), func(t *testing.T) {
			s := shared(t)
			c := s.config()
			rs := incumbent(t, s, org)
			dead := s.open(t, c)
			for _, name := range []string{mixedName, orgPrefix + org} {
				adoptUntil(t, dead, s, name, step)
			}
			l := listOf("a", rs[:50])
			must(t, sinktest.NewDriver(s.open(t, c)).Deliver(t.Context(), l))
			s.holdsAdopted(t, c, append(append([]*record.Record{}, rs...), rs[:50]...))
		})
	}
}

// A crash in an adoption, and no more records for that hour: the next process's sweep ends it.
func TestSweepEndsAnAdoption(t *testing.T) {
	t.Parallel()
	s := shared(t)
	c := s.config()
	rs := incumbent(t, s, org)
	dead := s.open(t, c)
	for _, name := range []string{mixedName, orgPrefix + org} {
		must(t, dead.makeIndexes(t.Context(), s.db, name))
		adoptUntil(t, dead, s, name, 2)
	}
	_, err := s.open(t, c).Flush(t.Context(), true)
	must(t, err)
	s.holdsAdopted(t, c, rs)
}

// adoptUntil does the first steps of an adoption: keep the base, insert ours, delete the old one.
func adoptUntil(t *testing.T, sink *Sink, s *store, name string, step int) {
	t.Helper()
	coll := s.db.Collection(name)
	raw, err := coll.FindOne(t.Context(), bson.D{}).Raw()
	must(t, err)
	oldID := raw.Lookup("_id").ObjectID()
	id := documentID(org, raw.Lookup("timestamp").Time().Unix(), 3600)
	if step > 0 {
		must(t, sink.keepBase(t.Context(), name, id, raw))
	}
	if step > 1 {
		ours, err := adopted(id, oldID, raw)
		must(t, err)
		_, err = coll.InsertOne(t.Context(), ours)
		must(t, err)
	}
	if step > 2 {
		_, err := coll.DeleteOne(t.Context(), bson.D{{Key: "_id", Value: oldID}})
		must(t, err)
	}
}

func TestAnotherOrganisationsDocumentIsNotAdopted(t *testing.T) {
	t.Parallel()
	s := shared(t)
	c := s.config()
	incumbent(t, s, org)
	coll := s.db.Collection(mixedName)
	before, err := coll.FindOne(t.Context(), bson.D{}).Raw()
	must(t, err)
	rs := recordsOf(listOf("x", sinktestRecords(t, "default")))
	must(t, sinktest.NewDriver(s.open(t, c)).Deliver(t.Context(), listOf("a", rs)))
	after, err := coll.FindOne(t.Context(), bson.D{{Key: "_id", Value: before.Lookup("_id").ObjectID()}}).Raw()
	must(t, err)
	if !bytes.Equal(before, after) {
		t.Error("another organisation's document changed")
	}
	if _, err := coll.FindOne(t.Context(), bson.D{{Key: "orgid", Value: "default"}, {Key: "sluice.adopted", Value: bson.D{{Key: "$exists", Value: true}}}}).Raw(); err == nil {
		t.Error("a document was adopted")
	}
}

func sinktestRecords(t *testing.T, org string) (rs []*record.Record) {
	for _, it := range sinktest.Captured(t, record.Msgpack) {
		if it.Record.OrgID == org && len(rs) < 100 {
			rs = append(rs, it.Record)
		}
	}
	return rs
}

func TestDocumentIDIsFrozen(t *testing.T) {
	want, err := primitive.ObjectIDFromHex("6a02c4404a67b4b14e57cff9")
	must(t, err)
	if got := documentID("6f0aa544a1dcd60001d0beef", 0x6a02c440, 3600); got != want {
		t.Errorf("documentID = %s, want %s: another one gives every document a twin", got.Hex(), want.Hex())
	}
	if documentID("o", 0, 3600) == documentID("o", 0, 60) || documentID("o", 0, 60) == documentID("p", 0, 60) {
		t.Error("the width or the organisation does not count")
	}
}
