package mongoraw

import (
	"math/rand/v2"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/bson"
	driver "go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"

	"sluice/internal/record"
	"sluice/internal/testenv"
	"sluice/sinks/sinktest"
)

// TestDocumentDB: a capped collection is refused with the cure; a collection for each organisation holds every record
// once, also when it comes again and the server does not say which key it met.
func TestDocumentDB(t *testing.T) {
	t.Parallel()
	server := testenv.NewDocumentDB(t)
	s := newStore(t, server.URI)
	capped, _ := s.sink(t, s.config(LayoutCapped))
	if err := capped.Open(t.Context()); !isFatal(err) || !strings.Contains(err.Error(), "layout: per-org") {
		t.Fatalf("Open = %v, want it to name the other layout", err)
	}
	c := s.config(LayoutPerOrg)
	c.Uptime = false
	sink, _ := s.open(t, c)
	l := many(rand.New(rand.NewPCG(60, 0)), "a", 300)
	d := sinktest.NewDriver(sink)
	for range 2 {
		if err := d.Deliver(t.Context(), l); err != nil {
			t.Fatal(err)
		}
		d.Back(l)
	}
	s.once(t, l)
	if said := strings.Join(server.Refused(), "\n"); !strings.Contains(said, "capped") || strings.Contains(said, "Retryable") {
		t.Errorf("refused:\n%s", said)
	}

	unique := driver.IndexModel{Keys: bson.D{{Key: "alias", Value: 1}}, Options: options.Index().SetUnique(true).SetSparse(true)}
	if _, err := s.db.Collection(orgPrefix+"x").Indexes().CreateOne(t.Context(), unique); err != nil {
		t.Fatal(err)
	}
	same := func(r *record.Record) { r.OrgID, r.Alias = "x", "same" }
	for range 2 {
		if result := write(t, sink, sample(1, same), sample(2, same)); len(result.Dead) != 1 || result.Dead[0].Item != 1 {
			t.Errorf("%+v, want the second one dead", result)
		}
	}
}
