package mongoagg

import (
	"regexp"
	"testing"

	"go.mongodb.org/mongo-driver/bson"

	"sluice/sinks/sinktest"
)

// TestUpdatesNameTheShardKey: every update and delete of an aggregate document, as the server itself has recorded it,
// holds _id, organisation and time by equality. A sharded cluster sends it to one shard, by either key, and an upsert
// is possible at all.
func TestUpdatesNameTheShardKey(t *testing.T) {
	t.Parallel()
	s := shared(t)
	must(t, s.db.RunCommand(t.Context(), bson.D{{Key: "profile", Value: 2}}).Err())
	c := s.config()
	rs := incumbent(t, s, org)
	must(t, sinktest.NewDriver(s.open(t, c)).Deliver(t.Context(), listOf("a", append(made(newRand(70), 60), rs[:20]...))))
	must(t, s.db.RunCommand(t.Context(), bson.D{{Key: "profile", Value: 0}}).Err())

	cur, err := s.db.Collection("system.profile").Find(t.Context(), bson.D{{Key: "op", Value: bson.D{{Key: "$in", Value: bson.A{"update", "remove"}}}}})
	must(t, err)
	seen := map[string]int{}
	for cur.Next(t.Context()) {
		seen[cur.Current.Lookup("op").StringValue()]++
		command := cur.Current.Lookup("command").Document()
		if cut, ok := command.Lookup("$truncated").StringValueOK(); ok { // of a large one the server keeps the beginning, as text
			if !regexp.MustCompile(`^\{ q: \{ _id: ObjectId\([^)]*\), orgid: "[^"]*", timestamp: new Date\(`).MatchString(cut) {
				t.Fatalf("the filter of %.300s does not name the shard key", cut)
			}
			continue
		}
		for _, field := range []string{"_id", "orgid", "timestamp"} {
			v, err := command.LookupErr("q", field)
			if err != nil || v.Type == bson.TypeEmbeddedDocument { // a document holds operators
				t.Fatalf("%v does not name %s", command, field)
			}
		}
	}
	must(t, cur.Err())
	if seen["update"] < 20 || seen["remove"] < 2 {
		t.Errorf("only %v were recorded", seen)
	}
}
