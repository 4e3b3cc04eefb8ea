package mongoagg

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo/options"

	"sluice/aggregate"
	"sluice/internal/archive"
	"sluice/internal/pipeline"
	"sluice/internal/record"
	"sluice/sinks/sinktest"
)

// listed is an archive that has lists as they are.
type listed struct {
	lists []*sinktest.List
	rows  int                          // how many rows were passed on
	after func()                       // called once all rows were passed on
	upTo  map[string]pipeline.Position // what it has not got yet; nil: it has all
	part  bool                         // it may not have had the lists from their beginning
	count map[string]pipeline.Position // what the sink has counted, by its registry

	region int             // of all rows
	elses  map[string]bool // lineages that it has under other positions
}

func (a *listed) Rows(_ context.Context, do func(*archive.Row, archive.Copies) error) error {
	for _, l := range a.lists {
		for _, c := range l.Claims {
			for _, it := range c.Items {
				p := pipeline.Position{Claim: c.ID, Index: it.Index}
				if end, ok := a.upTo[l.Stream.Lineage]; ok && end.Compare(p) <= 0 {
					continue
				}
				a.rows++
				row := archive.Row{ID: it.ID, Record: it.Record, Stream: l.Stream, Position: p}
				if err := do(&row, archive.Copies{Region: a.region}); err != nil {
					return err
				}
			}
		}
	}
	if a.after != nil {
		a.after()
	}
	return nil
}

func (a *listed) End(lineage string) (end pipeline.Position, ok bool) {
	if end, ok := a.upTo[lineage]; ok {
		return end, true
	}
	for _, l := range a.lists {
		if n := len(l.Claims); l.Stream.Lineage == lineage && n > 0 {
			return pipeline.Position{Claim: l.Claims[n-1].ID, Index: uint32(len(l.Claims[n-1].Items))}, true
		}
	}
	return end, false
}

func (a *listed) Covers(lineage string, p pipeline.Position) bool {
	end, ok := a.End(lineage)
	return ok && p.Compare(end) <= 0
}

func (a *listed) Whole(string) bool { return !a.part }

func (a *listed) Elsewhere(lineage string) bool { return a.elses[lineage] }

func (a *listed) Counted(lineage string) (pipeline.Position, bool) {
	p, ok := a.count[lineage]
	return p, ok
}

// rebuild rebuilds everything from what an archive has.
func rebuild(t *testing.T, s *Sink, a *listed, patience time.Duration) (Rebuilt, []RebuildFailure) {
	t.Helper()
	var failed []RebuildFailure
	got, err := s.Rebuild(t.Context(), Rebuild{From: time.Unix(0, 0).UTC(), To: time.Unix(1<<33, 0).UTC(), Patience: patience,
		Look:   func(context.Context) (Snapshot, error) { return a, nil },
		Failed: func(f RebuildFailure) { failed = append(failed, f) }})
	must(t, err)
	return got, failed
}

// spoil makes every document of the mixed collection wrong, but for its bookkeeping.
func (s *store) spoil(t *testing.T) {
	t.Helper()
	_, err := s.db.Collection(mixedName).UpdateMany(t.Context(), bson.D{}, bson.D{{Key: "$inc", Value: bson.D{{Key: "total.hits", Value: 99}}},
		{Key: "$unset", Value: bson.D{{Key: "apiid", Value: ""}, {Key: "lists", Value: ""}}}})
	must(t, err)
}

func capturedList(t *testing.T, name string, claims ...[2]int) *sinktest.List {
	l := sinktest.NewList(name)
	for _, c := range claims {
		l.Add(sinktest.Captured(t, record.Msgpack)[c[0]:c[1]])
	}
	return l
}

func TestRebuildFoldsUpToExactlyThePositions(t *testing.T) {
	t.Parallel()
	s := shared(t)
	c := s.config()
	sink := s.open(t, c)
	a, b := capturedList(t, "a", [2]int{0, 200}), capturedList(t, "b", [2]int{200, 350})
	d := sinktest.NewDriver(sink)
	must(t, d.Deliver(t.Context(), a, b))
	counted := recordsOf(a, b)
	a.Add(sinktest.Captured(t, record.Msgpack)[350:500]) // archived, and not counted yet
	s.spoil(t)
	archive := &listed{lists: []*sinktest.List{a, b}}
	other := s.open(t, c)
	if got, failed := rebuild(t, other, archive, 0); got.Replaced == 0 || got.Unchanged == 0 || len(failed) > 0 {
		t.Errorf("%+v, %v", got, failed)
	}
	s.holds(t, c, counted)
	if got, failed := rebuild(t, other, archive, 0); got.Replaced != 0 || len(failed) > 0 {
		t.Errorf("again: %+v, %v", got, failed)
	}
	must(t, d.Deliver(t.Context(), a, b)) // the pump goes on with what it believes to know
	s.holds(t, c, recordsOf(a, b))
}

func TestRebuildMakesWhatIsGone(t *testing.T) {
	t.Parallel()
	s := shared(t)
	c := s.config()
	l := capturedList(t, "a", [2]int{0, 300})
	d := sinktest.NewDriver(s.open(t, c))
	must(t, d.Deliver(t.Context(), l))
	must(t, s.db.Drop(t.Context()))
	sink := s.open(t, c)
	l.Add(sinktest.Captured(t, record.Msgpack)[300:400])
	if got, failed := rebuild(t, sink, &listed{lists: []*sinktest.List{l}}, 0); got.Replaced == 0 || len(failed) > 0 {
		t.Errorf("%+v, %v", got, failed)
	}
	s.holds(t, c, recordsOf(l))
	must(t, d.Deliver(t.Context(), l)) // its second claim is counted already
	s.holds(t, c, recordsOf(l))
	names, err := s.db.Collection(mixedName).Indexes().ListSpecifications(t.Context())
	if must(t, err); len(names) != 5 {
		t.Errorf("%d indexes", len(names))
	}
}

func TestRebuildMissesWhenAPumpWrites(t *testing.T) {
	t.Parallel()
	s := shared(t)
	c := s.config()
	l := capturedList(t, "a", [2]int{0, 200})
	d := sinktest.NewDriver(s.open(t, c))
	must(t, d.Deliver(t.Context(), l))
	s.spoil(t)
	writes := 0
	archive := &listed{lists: []*sinktest.List{l}}
	archive.after = func() { // behind the positions that were read
		if writes++; writes <= 3 {
			l.Add(sinktest.Captured(t, record.Msgpack)[200*writes : 200*writes+150])
			must(t, d.Deliver(t.Context(), l))
		}
	}
	if got, failed := rebuild(t, s.open(t, c), archive, time.Minute); got.Replaced == 0 || len(failed) > 0 {
		t.Errorf("%+v, %v", got, failed)
	}
	if writes < 4 {
		t.Errorf("%d passes", writes)
	}
	s.holds(t, c, recordsOf(l))
}

func TestRebuildStartsFromTheAdoptedBase(t *testing.T) {
	t.Parallel()
	s := shared(t)
	c := s.config()
	rs := incumbent(t, s, org)
	l := listOf("a", rs[:50])
	must(t, sinktest.NewDriver(s.open(t, c)).Deliver(t.Context(), l))
	all := append(append([]*record.Record{}, rs...), rs[:50]...)
	s.holdsAdopted(t, c, all)
	s.spoil(t)
	sink := s.open(t, c)
	if got, failed := rebuild(t, sink, &listed{lists: []*sinktest.List{l}}, 0); got.Replaced == 0 || len(failed) > 0 {
		t.Errorf("%+v, %v", got, failed)
	}
	s.holdsAdopted(t, c, all)
	if got, failed := rebuild(t, sink, &listed{lists: []*sinktest.List{l}}, 0); got.Replaced != 0 || len(failed) > 0 {
		t.Errorf("again: %+v, %v", got, failed)
	}
}

func TestRebuildLeavesWhatItCannotMakeExact(t *testing.T) {
	t.Parallel()
	s := shared(t)
	c := s.config()
	l := capturedList(t, "a", [2]int{0, 300})
	must(t, sinktest.NewDriver(s.open(t, c)).Deliver(t.Context(), l))
	before := fmt.Sprint(s.trees(t, mixedName))
	short := pipeline.Position{Claim: l.Claims[0].ID, Index: 100}
	behind := map[string]pipeline.Position{l.Stream.Lineage: short}
	later := s.config()
	later.Bucket = later.Bucket / 4
	for _, k := range []struct {
		name    string
		c       Config
		archive *listed
		say     string
	}{
		{"it lags behind", c, &listed{lists: []*sinktest.List{l}, upTo: behind}, "not up to"},
		{"it has nothing", c, &listed{}, "none of the records"},
		{"it has another list", c, &listed{lists: []*sinktest.List{capturedList(t, "b", [2]int{0, 300})}}, "not up to"},
		{"another width", later, &listed{lists: []*sinktest.List{l}}, "another bucket width"},
		{"it began later", c, &listed{lists: []*sinktest.List{{Stream: l.Stream, Claims: []sinktest.Claim{{ID: l.Claims[0].ID,
			Items: l.Claims[0].Items[30:]}}}}, part: true, upTo: map[string]pipeline.Position{l.Stream.Lineage: {Claim: l.Claims[0].ID, Index: 300}}}, "from its beginning"},
	} {
		got, failed := rebuild(t, s.open(t, k.c), k.archive, 0)
		if got.Replaced != 0 || got.Failed == 0 || !strings.Contains(failed[0].Reason, k.say) {
			t.Errorf("%s: %+v, %v", k.name, got, failed)
		}
	}
	if after := fmt.Sprint(s.trees(t, mixedName)); after != before {
		t.Error("documents changed")
	}
	must(t, s.db.Drop(t.Context())) // gone, and the sink has counted more than the archive has
	lag := &listed{lists: []*sinktest.List{l}, upTo: behind, count: map[string]pipeline.Position{l.Stream.Lineage: {Claim: l.Claims[0].ID, Index: 300}}}
	if got, failed := rebuild(t, s.open(t, c), lag, 0); got.Replaced != 0 || len(failed) == 0 {
		t.Errorf("%+v, %v", got, failed)
	}
}

// TestAppliedHereAsInTheServer: an update applied to a document here makes what the server makes.
func TestAppliedHereAsInTheServer(t *testing.T) {
	t.Parallel()
	s := shared(t)
	c := s.config()
	rnd := newRand(7)
	items := sinktest.Captured(t, record.Msgpack)
	d := newDocument(docID{"applied", documentID("o", 0, 3600)}, "o", 0)
	here := newTree()
	for range 20 {
		f := aggregate.NewFold(c.shape().Shape)
		doc := f.Document("o", 0)
		for range 1 + rnd.IntN(60) {
			r := *items[rnd.IntN(len(items))].Record
			if rnd.IntN(10) == 0 {
				r.ResponseCode = -1
			}
			doc.Add(&r)
		}
		u := update(d, doc.Delta(), map[string]pipeline.Position{"l": {Index: rnd.Uint32()}}, rnd.IntN(1000))
		must(t, here.apply(u))
		_, err := s.db.Collection("applied").UpdateByID(t.Context(), d.id, u, options.Update().SetUpsert(true))
		must(t, err)
		raw, err := s.db.Collection("applied").FindOne(t.Context(), bson.D{}).Raw()
		must(t, err)
		there, err := treeOf(raw, "_id")
		must(t, err)
		if !here.equal(there) {
			t.Fatalf("here\n%.1000s\nthere\n%.1000s", here.encode(), raw)
		}
		again, err := treeOf(here.encode())
		if must(t, err); !again.equal(here) {
			t.Fatal("a document put together and taken apart is another")
		}
	}
	huge := newTree()
	for _, n := range []int32{1 << 30, 1 << 30, 5} {
		v, err := bson.Marshal(bson.D{{Key: "$inc", Value: bson.D{{Key: "total.hits", Value: n}}}})
		must(t, err)
		must(t, huge.apply(v))
	}
	if n, ok := huge.encode().Lookup("total", "hits").Int64OK(); !ok || n != 1<<31+5 {
		t.Errorf("a sum beyond 32 bits is %d", n)
	}
}
