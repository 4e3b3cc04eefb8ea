package mongoraw

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/bson"

	"sluice/internal/pipeline"
	"sluice/internal/record"
	"sluice/internal/testenv"
	"sluice/sinks/sinktest"
)

// TestReplicaSet holds the sink to every record exactly once on a set of three members, while its primary steps down, is
// killed or cut off, and while secondaries hang.
func TestReplicaSet(t *testing.T) {
	t.Parallel()
	set := testenv.StartMongoSet(t, 3)
	t.Run("steps down", func(t *testing.T) {
		harmed(t, set, 1, LayoutCapped, set.StepDown)
		harmed(t, set, 2, LayoutPerOrg, set.StepDown)
	})
	t.Run("primary killed", func(t *testing.T) {
		harmed(t, set, 10, LayoutPerOrg, func() { set.Primary().Kill() })
		harmed(t, set, 11, LayoutCapped, func() { set.Primary().Kill() })
	})
	t.Run("a secondary hangs", func(t *testing.T) {
		harmed(t, set, 20, LayoutCapped, func() { set.Secondaries()[0].Pause() })
	})
	t.Run("no majority", func(t *testing.T) { noMajority(t, set) })
	t.Run("rolled back", func(t *testing.T) { rolledBack(t, set) })
}

// impatient is a set's address with which unconfirmed writes and lost servers are noticed in tests' time.
func impatient(set *testenv.MongoSet) string {
	return set.URI + "&wtimeoutMS=1000&serverSelectionTimeoutMS=2000&heartbeatFrequencyMS=500&socketTimeoutMS=5000"
}

// patiently delivers all, as the pipeline would: errors are repeated after a pause.
func patiently(t *testing.T, d *sinktest.Driver, lists ...*sinktest.List) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	for {
		err := d.Deliver(ctx, lists...)
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("not delivered: %v", err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// many is a list of n records of few organisations with bodies, so that a bulk takes its time.
func many(rnd *rand.Rand, name string, n int) *sinktest.List {
	l := sinktest.NewList(name)
	items := make([]pipeline.Item, n)
	body := fmt.Sprintf("%01000d", rnd.Int64())
	for i := range items {
		items[i] = sample(i, func(r *record.Record) {
			r.OrgID, r.Path, r.RawResponse = fmt.Sprint("org", rnd.IntN(3)), fmt.Sprint("/", name, i), body
		})
		items[i].Raw = fmt.Appendf(nil, "%s %d", name, i)
	}
	l.Add(items)
	return l
}

// harmed delivers lists while harm is done, and then all of it again, as another pump that knows of no cursor would.
func harmed(t *testing.T, set *testenv.MongoSet, seed uint64, layout string, harm func()) {
	t.Helper()
	s, rnd := newStore(t, impatient(set)), rand.New(rand.NewPCG(seed, seed))
	sink, _ := s.open(t, s.config(layout))
	d := sinktest.NewDriver(sink)
	d.Cut = func(int) int { return 1 + rnd.IntN(400) }
	lists := []*sinktest.List{many(rnd, "a", 3000), many(rnd, "b", 2000)}
	pause := time.Duration(rnd.IntN(100)) * time.Millisecond
	done := make(chan struct{})
	go func() { defer close(done); time.Sleep(pause); harm() }()
	patiently(t, d, lists...)
	<-done
	other, _ := s.open(t, s.config(layout))
	patiently(t, sinktest.NewDriver(other), lists...)
	set.Heal()
	s.once(t, lists...)
}

// once holds the store against the lists: each record is there, once, and nothing else.
func (s *store) once(t *testing.T, lists ...*sinktest.List) {
	t.Helper()
	var want, got []string
	for _, l := range lists {
		for _, c := range l.Claims {
			for i := range c.Items {
				want = append(want, c.Items[i].ID.String()+" "+c.Items[i].Record.Path)
			}
		}
	}
	for _, name := range s.names(t) {
		for _, doc := range s.documents(t, name) {
			got = append(got, record.ID(doc.Lookup("_id").ObjectID()).String()+" "+doc.Lookup("path").StringValue())
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) {
		t.Errorf("%d documents of %d records, or others", len(got), len(want))
	}
}

// noMajority: with both secondaries hanging, an insert is there and nobody confirms it. It does not settle, also not
// when it comes again and finds itself.
func noMajority(t *testing.T, set *testenv.MongoSet) {
	s := newStore(t, impatient(set))
	sink, _ := s.open(t, s.config(LayoutCapped))
	l := many(rand.New(rand.NewPCG(30, 0)), "a", 40)
	b := sinktest.Batch(sink, l, &l.Claims[0], 0, 40)
	defer set.Heal()
	for _, m := range set.Secondaries() {
		m.Pause()
	}
	for try := range 3 {
		_, err := sink.Write(t.Context(), b)
		var partial *pipeline.PartialError
		switch {
		case err == nil:
			t.Fatalf("write %d is settled without a majority", try)
		case errors.As(err, &partial) && len(partial.Retry) != 40:
			t.Fatalf("write %d settles %d records without a majority", try, 40-len(partial.Retry))
		}
	}
	set.Heal()
	patiently(t, sinktest.NewDriver(sink), l)
	s.once(t, l)
}

// rolledBack: a primary that is cut off takes records that the others never get; another one is elected, and it takes
// them back. They were not settled, so they come again.
func rolledBack(t *testing.T, set *testenv.MongoSet) {
	s, rnd := newStore(t, impatient(set)), rand.New(rand.NewPCG(40, 0))
	sink, _ := s.open(t, s.config(LayoutCapped))
	defer set.Heal()
	old, rest := set.Primary(), set.Secondaries()
	for _, m := range rest {
		m.Kill()
	}
	l := many(rnd, "lost", 50)
	if _, err := sink.Write(t.Context(), sinktest.Batch(sink, l, &l.Claims[0], 0, 50)); err == nil {
		t.Fatal("a primary that is cut off settles records")
	}
	time.Sleep(300 * time.Millisecond) // its journal is written ten times a second
	old.Kill()
	for _, m := range rest {
		m.Restart()
	}
	set.Primary()
	d, other := sinktest.NewDriver(sink), many(rnd, "other", 20)
	patiently(t, d, other)
	if n, err := s.db.Collection(cappedName).CountDocuments(t.Context(), bson.D{}); err != nil || n != 20 {
		t.Fatalf("%d documents, %v: the others have what was never confirmed, so the test shows nothing", n, err)
	}
	set.Heal()
	if !old.RolledBack("/lost") {
		t.Error("nothing of ours was rolled back: the test shows nothing")
	}
	patiently(t, d, l)
	s.once(t, l, other)
}
