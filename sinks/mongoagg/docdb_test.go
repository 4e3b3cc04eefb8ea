package mongoagg

import (
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/bson"

	"sluice/internal/testenv"
	"sluice/sinks/sinktest"
)

// TestDocumentDB: the sink needs nothing that Amazon DocumentDB lacks. It counts, takes over another pump's documents,
// meets duplicate keys that do not say which key, adopts the incumbent's documents and finds marks left behind.
func TestDocumentDB(t *testing.T) {
	t.Parallel()
	server := testenv.NewDocumentDB(t)
	s := newStore(t, server.URI)
	c, rnd := s.config(), newRand(50)
	lists := []*sinktest.List{listOf("a", made(rnd, 150), made(rnd, 50)), listOf("b", made(rnd, 100))}
	one, two := sinktest.NewDriver(s.open(t, c)), sinktest.NewDriver(s.open(t, c))
	for _, d := range []*sinktest.Driver{one, two} {
		d.Cut = func(int) int { return 1 + rnd.IntN(60) }
	}
	for range 4 { // both at the same list: each makes the other miss
		for _, d := range []*sinktest.Driver{one, two} {
			_, err := d.Step(t.Context(), lists[0])
			must(t, err)
			_ = d.Flush(t.Context(), true)
		}
	}
	must(t, one.Deliver(t.Context(), lists...))
	must(t, two.Deliver(t.Context(), lists...))
	s.holds(t, c, recordsOf(lists...))

	marked := bson.D{{Key: "$set", Value: bson.D{{Key: "sluice.dirty", Value: true}, {Key: "sluice.derived", Value: int64(0)}}},
		{Key: "$unset", Value: bson.D{{Key: "lists", Value: ""}}}}
	_, err := s.db.Collection(mixedName).UpdateMany(t.Context(), bson.D{}, marked)
	must(t, err)
	must(t, sinktest.NewDriver(s.open(t, c)).Flush(t.Context(), true)) // a new process sweeps
	s.holds(t, c, recordsOf(lists...))

	said := strings.Join(server.Refused(), "\n")
	if !strings.Contains(said, "hint") {
		t.Error("the server took a hint: its features are not switched off")
	}
	if strings.Contains(said, "Retryable") || strings.Contains(said, "update") {
		t.Errorf("the sink asks for what DocumentDB does not have:\n%s", said)
	}
}

// TestDocumentDBAdopts takes the incumbent's document over there.
func TestDocumentDBAdopts(t *testing.T) {
	t.Parallel()
	s := newStore(t, testenv.NewDocumentDB(t).URI)
	c := s.config()
	rs := incumbent(t, s, org)
	must(t, sinktest.NewDriver(s.open(t, c)).Deliver(t.Context(), listOf("a", rs[:50])))
	s.holdsAdopted(t, c, append(rs, rs[:50]...))
}
