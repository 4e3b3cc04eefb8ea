package mongoagg

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	driver "go.mongodb.org/mongo-driver/mongo"

	"sluice/internal/mongo"
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
		for seed := range uint64(2) {
			harmed(t, set, seed, set.StepDown)
		}
	})
	t.Run("primary killed", func(t *testing.T) {
		for seed := range uint64(2) {
			harmed(t, set, seed+10, func() { set.Primary().Kill() })
		}
	})
	t.Run("a secondary hangs", func(t *testing.T) {
		harmed(t, set, 20, func() { set.Secondaries()[0].Pause() })
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

// harmed delivers lists in small cuts, with a take-over on the way, and does the harm at a moment of the seed's.
func harmed(t *testing.T, set *testenv.MongoSet, seed uint64, harm func()) {
	t.Helper()
	s := newStore(t, impatient(set))
	c, rnd := s.config(), newRand(seed)
	sink := s.open(t, c)
	d := sinktest.NewDriver(sink)
	d.Cut = func(int) int { return 1 + rnd.IntN(40) }
	lists := []*sinktest.List{listOf("a", made(rnd, 200), made(rnd, 100)), listOf("b", made(rnd, 200))}
	when, failed := rnd.IntN(12), 0
	for i := range 16 {
		if i == when { // while the next steps write
			done := make(chan struct{})
			pause := time.Duration(rnd.IntN(40)) * time.Millisecond
			go func() { defer close(done); time.Sleep(pause); harm() }()
			defer func() { <-done }()
		}
		if _, err := d.Step(t.Context(), lists[rnd.IntN(2)]); err != nil {
			failed++
		}
		if err := d.Flush(t.Context(), true); err != nil {
			failed++
		}
	}
	t.Logf("seed %d: %d calls failed", seed, failed)
	patiently(t, d, lists...)
	other := sinktest.NewDriver(s.open(t, c)) // another pump that knows of no cursor delivers all of it again
	patiently(t, other, lists...)
	set.Heal()
	s.holds(t, c, recordsOf(lists...))
}

// noMajority: with both secondaries hanging, a write is there and nobody confirms it. It does not settle, also not when
// it comes again and finds itself; when they run on, it counts once.
func noMajority(t *testing.T, set *testenv.MongoSet) {
	s := newStore(t, impatient(set))
	c := s.config()
	sink := s.open(t, c)
	d, rnd := sinktest.NewDriver(sink), newRand(30)
	l := listOf("a", made(rnd, 50), made(rnd, 50))
	_, err := d.Step(t.Context(), l)
	must(t, err)
	must(t, d.Flush(t.Context(), true))
	if d.Cursor(l).Index != 50 {
		t.Fatalf("settled up to %s while all was well", d.Cursor(l))
	}
	defer set.Heal()
	for _, m := range set.Secondaries() {
		m.Pause()
	}
	_, err = d.Step(t.Context(), l)
	must(t, err)
	for range 3 { // the first writes; the next ones find that it may be there
		if err := d.Flush(t.Context(), true); err == nil {
			t.Error("a flush that no majority can confirm succeeded")
		}
		if settled(d, l) {
			t.Fatalf("settled up to %s without a majority", d.Cursor(l))
		}
	}
	set.Heal()
	patiently(t, d, l)
	s.holds(t, c, recordsOf(l))
}

// rolledBack: a primary that is cut off takes writes that the others never get. Another one is elected, and it takes
// them back. They were not settled, so they come again.
func rolledBack(t *testing.T, set *testenv.MongoSet) {
	s := newStore(t, impatient(set))
	c := s.config()
	sink := s.open(t, c)
	d, rnd := sinktest.NewDriver(sink), newRand(40)
	l := listOf("a", lost(rnd, 60), lost(rnd, 60)) // the collections are there before
	_, err := d.Step(t.Context(), l)
	must(t, err)
	must(t, d.Flush(t.Context(), true))
	defer set.Heal()
	old, rest := set.Primary(), set.Secondaries()
	for _, m := range rest {
		m.Kill() // a frozen one would find the writes in its sockets later
	}
	_, err = d.Step(t.Context(), l)
	must(t, err)
	if err := d.Flush(t.Context(), true); err == nil || settled(d, l) {
		t.Fatalf("settled up to %s by a primary that is cut off (%v)", d.Cursor(l), err)
	}
	time.Sleep(300 * time.Millisecond) // its journal is written ten times a second
	old.Kill()
	for _, m := range rest {
		m.Restart()
	}
	set.Primary() // of the two; the driver finds it by itself
	one := listOf("b", made(rnd, 20))
	patiently(t, d, one) // the history goes another way
	set.Heal()
	if !old.RolledBack("org-lost") {
		t.Error("nothing of ours was rolled back: the test shows nothing")
	}
	patiently(t, d, l)
	s.holds(t, c, append(recordsOf(l), recordsOf(one)...))
}

// settled tells whether anything of the list's second claim is.
func settled(d *sinktest.Driver, l *sinktest.List) bool {
	return d.Cursor(l).Compare(pipeline.Position{Claim: l.Claims[1].ID}) > 0
}

// lost makes records of an organisation of their own.
func lost(rnd *rand.Rand, n int) []*record.Record {
	rs := made(rnd, n)
	for i, r := range rs {
		if i%2 == 0 {
			r.OrgID = "org-lost"
		}
	}
	return rs
}

// TestUnknownIsNotSuccess: a write-concern error counts for every update of the command, also for those that the server
// refused: what they ran into may be taken back.
func TestUnknownIsNotSuccess(t *testing.T) {
	t.Parallel()
	s := shared(t)
	ops := []*operation{{}, {}, {}}
	sortByIndex(s.db.Collection("c"), ops, driver.BulkWriteException{
		WriteConcernError: &driver.WriteConcernError{Code: 64, Message: "timed out"},
		WriteErrors: []driver.BulkWriteError{{WriteError: driver.WriteError{Index: 1, Code: mongo.CodeDuplicateKey}},
			{WriteError: driver.WriteError{Index: 2, Code: 121}}},
	})
	for i, op := range ops {
		if !errors.Is(op.err, errUnknown) {
			t.Errorf("operation %d: %v", i, op.err)
		}
	}
}
