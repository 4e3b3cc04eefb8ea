package mongoagg

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/bson"

	"sluice/internal/archive"
	"sluice/internal/pipeline"
	"sluice/internal/record"
	"sluice/sinks/sinktest"
)

// compare holds everything against an archive and returns the findings by kind. counted is up to where the ledger has
// the sink.
func compare(t *testing.T, s *Sink, a *listed, counted map[string]pipeline.Position, skip func(*archive.Row) bool) (int64, map[string][]Finding) {
	t.Helper()
	found := map[string][]Finding{}
	if skip == nil {
		skip = func(*archive.Row) bool { return false }
	}
	n, err := s.Compare(t.Context(), Comparison{From: time.Unix(0, 0).UTC(), To: time.Unix(1<<33, 0).UTC(), Skip: skip,
		Look:    func(context.Context) (Snapshot, error) { return a, nil },
		Counted: func(l string) (pipeline.Position, bool) { p, ok := counted[l]; return p, ok },
		Gone:    func(string, time.Time) bool { return false },
		Found:   func(f Finding) { found[f.Kind] = append(found[f.Kind], f) }})
	must(t, err)
	return n, found
}

// wentBack is a list of which the first claim was undone: its first records came again, in a claim of a new epoch, with
// others behind them.
func wentBack(t *testing.T) (l *sinktest.List, distinct []*record.Record) {
	l = capturedList(t, "a", [2]int{0, 200})
	all := sinktest.Captured(t, record.Msgpack)
	l.Add(append(append([]pipeline.Item{}, all[:120]...), all[200:300]...))
	l.Claims[1].ID.Epoch.Ms++
	l.Claims[1].ID.Number = 1
	once := capturedList(t, "a", [2]int{0, 300})
	return l, recordsOf(once)
}

func TestRebuildCountsWhatCameAgainOnce(t *testing.T) {
	t.Parallel()
	s := shared(t)
	c := s.config()
	l, distinct := wentBack(t)
	d := sinktest.NewDriver(s.open(t, c))
	must(t, d.Deliver(t.Context(), l))
	s.holds(t, c, recordsOf(l)) // twice
	sink := s.open(t, c)
	a := &listed{lists: []*sinktest.List{l}, region: 1, part: true}
	if n, found := compare(t, sink, a, nil, nil); n == 0 || len(found[FindCopies]) == 0 || len(found) != 1 {
		t.Errorf("%d documents: %v", n, found)
	}
	if got, failed := rebuild(t, sink, a, 0); got.Copies == 0 || len(failed) > 0 {
		t.Errorf("%+v, %v", got, failed)
	}
	s.holds(t, c, distinct)
	if n, found := compare(t, sink, a, nil, nil); n == 0 || len(found) != 0 {
		t.Errorf("%d documents: %v", n, found)
	}
	more := sinktest.Captured(t, record.Msgpack)[300:350]
	l.Add(more)
	l.Claims[2].ID.Epoch = l.Claims[1].ID.Epoch
	must(t, d.Deliver(t.Context(), l)) // the pump goes on
	distinct = recordsOf(capturedList(t, "a", [2]int{0, 350}))
	s.holds(t, c, distinct)
	if got, failed := rebuild(t, sink, a, 0); got.Replaced != 0 || len(failed) > 0 {
		t.Errorf("again: %+v, %v", got, failed)
	}
	s.holds(t, c, distinct)
}

func TestCompareTellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	s := shared(t)
	c := s.config()
	l := capturedList(t, "a", [2]int{0, 300})
	must(t, sinktest.NewDriver(s.open(t, c)).Deliver(t.Context(), l))
	sink := s.open(t, c)
	end := pipeline.Position{Claim: l.Claims[0].ID, Index: 300}
	counted := map[string]pipeline.Position{l.Stream.Lineage: end}
	a := &listed{lists: []*sinktest.List{l}}
	if n, found := compare(t, sink, a, counted, nil); n == 0 || len(found) > 0 {
		t.Fatalf("%d documents: %v", n, found)
	}
	l.Add(sinktest.Captured(t, record.Msgpack)[300:400]) // archived, and still pending here
	if _, found := compare(t, sink, a, counted, nil); len(found) > 0 {
		t.Errorf("what is pending: %v", found)
	}
	counted[l.Stream.Lineage] = pipeline.Position{Claim: l.Claims[1].ID, Index: 100} // the ledger says that it is there
	if _, found := compare(t, sink, a, counted, nil); len(found[FindDiffers])+len(found[FindMissing]) == 0 {
		t.Error("records that the ledger has and no document counts are not found")
	}
	second := func(r *archive.Row) bool { return r.Position.Claim == l.Claims[1].ID } // dead letters
	if _, found := compare(t, sink, a, counted, second); len(found) > 0 {
		t.Errorf("dead letters: %v", found)
	}
	behind := &listed{lists: a.lists, upTo: map[string]pipeline.Position{l.Stream.Lineage: {Claim: end.Claim, Index: 10}}}
	if _, found := compare(t, sink, behind, counted, second); len(found[FindInFlight]) == 0 || len(found) != 1 {
		t.Errorf("an archive that is behind: %v", found)
	}

	coll := s.db.Collection(mixedName)
	var doc bson.M
	must(t, coll.FindOne(t.Context(), bson.M{}).Decode(&doc))
	_, err := coll.UpdateByID(t.Context(), doc["_id"], bson.M{"$inc": bson.M{"total.bytesin": 1, "total.hits": 1}})
	must(t, err)
	if _, found := compare(t, sink, a, counted, second); len(found[FindDiffers]) != 1 || !strings.Contains(found[FindDiffers][0].Reason, "total.hits") ||
		!strings.Contains(found[FindDiffers][0].Reason, "total.bytesin") || found[FindDiffers][0].Hits != found[FindDiffers][0].Want+1 {
		t.Errorf("a counter: %v", found)
	}
	_, err = coll.DeleteOne(t.Context(), bson.M{"_id": doc["_id"]})
	must(t, err)
	if _, found := compare(t, sink, a, counted, second); len(found[FindMissing]) != 1 {
		t.Errorf("a document that is gone: %v", found)
	}
	doc["orgid"] = "another"
	_, err = s.db.Collection(orgPrefix+org).InsertOne(t.Context(), bson.M{"orgid": "another", "timestamp": doc["timestamp"]})
	must(t, err)
	if _, found := compare(t, sink, a, counted, second); len(found[FindStrange]) != 1 {
		t.Errorf("a document of another: %v", found)
	}
}
