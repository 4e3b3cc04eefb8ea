package mongodb

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	driver "go.mongodb.org/mongo-driver/mongo"

	"sluice/internal/mongo"
	"sluice/internal/testenv"
	"sluice/internal/units"
	"sluice/retention/plan"
	"sluice/sinks/mongoraw"
)

var now = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

// ownDatabase is one of a test's own.
func ownDatabase(t *testing.T, uri string) (*driver.Database, mongoraw.Config) {
	t.Helper()
	client, err := mongo.Connect(t.Context(), uri, "test")
	if err != nil {
		t.Fatal(err)
	}
	db := client.Database("retain_" + strings.ToLower(rand.Text()[:12]))
	t.Cleanup(func() {
		if err := db.Drop(context.Background()); err != nil {
			t.Log(err)
		}
		mongo.Disconnect(context.Background(), client)
	})
	c := mongoraw.Defaults()
	c.URI, c.Database = uri, db.Name()
	return db, c
}

func raw(t *testing.T, c mongoraw.Config) *Raw {
	t.Helper()
	r, err := NewRaw(t.Context(), "raw", c, 1e6, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(context.Background()) })
	return r
}

// fill inserts n documents of an organisation, some 1 kB each, of times spread over a day that ends so many days ago.
func fill(t *testing.T, coll *driver.Collection, org string, n, daysAgo int) {
	t.Helper()
	var docs []any
	for i := range n {
		docs = append(docs, bson.M{"orgid": org, "apiid": "a", "timestamp": now.AddDate(0, 0, -daysAgo).Add(-time.Duration(i) * time.Second),
			"rawrequest": strings.Repeat("x", 900)})
	}
	if _, err := coll.InsertMany(t.Context(), docs); err != nil {
		t.Fatal(err)
	}
}

type planned interface {
	Inventory(ctx context.Context, now time.Time) (plan.Inventory, error)
	Do(ctx context.Context, a *plan.Action, done func(int64)) error
}

func makePlan(t *testing.T, s planned, r plan.Rules) *plan.Plan {
	t.Helper()
	inv, err := s.Inventory(t.Context(), now)
	if err != nil {
		t.Fatal(err)
	}
	return plan.Make(plan.Input{Now: now, Rules: r, Inventories: []plan.Inventory{inv}})
}

func do(t *testing.T, s planned, p *plan.Plan) {
	t.Helper()
	for _, a := range p.Due() {
		if err := s.Do(t.Context(), &a, func(int64) {}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAPlainCollectionIsConvertedWhenAsked while a pump of the incumbent goes on writing to it: what that was told is
// stored is there afterwards, once, and Sluice's own sink starts on it.
func TestAPlainCollectionIsConvertedWhenAsked(t *testing.T) {
	db, c := ownDatabase(t, testenv.Mongo(t))
	coll := db.Collection(cappedName)
	fill(t, coll, "a", 20_000, 3)
	r := raw(t, c)
	rules := plan.Rules{CappedSize: 64 << 20, Floor: units.Day}
	p := makePlan(t, r, rules)
	if len(p.Actions) != 0 || !strings.Contains(strings.Join(p.Notes, " "), "retention.raw.convert: true") {
		t.Fatalf("without being asked: %+v, notes %v", p.Actions, p.Notes)
	}
	rules.Convert = true
	p = makePlan(t, r, rules)
	if len(p.Actions) != 1 || p.Actions[0].Held() || p.Actions[0].Verb != plan.ConvertCapped || !strings.Contains(p.Actions[0].Locks, "exclusive lock on the whole database "+db.Name()) {
		t.Fatalf("plan: %+v", p.Actions)
	}
	ctx, stop := context.WithCancel(t.Context())
	var pump sync.WaitGroup
	acked := 0
	var slowest time.Duration
	pump.Go(func() {
		for ctx.Err() == nil {
			began := time.Now()
			if _, err := coll.InsertMany(t.Context(), []any{bson.M{"n": acked, "orgid": "new", "timestamp": time.Now()}}); err != nil {
				t.Errorf("the pump's insert: %v", err)
				return
			}
			slowest = max(slowest, time.Since(began))
			acked++
		}
	})
	time.Sleep(200 * time.Millisecond)
	began := time.Now()
	do(t, r, p)
	took := time.Since(began)
	time.Sleep(200 * time.Millisecond)
	stop()
	pump.Wait()
	t.Logf("converting %d documents took %s; the pump's slowest insert %s, %d inserts", 20_000, took, slowest, acked)
	var found []struct{ N int }
	cur, err := coll.Find(t.Context(), bson.M{"orgid": "new"})
	if err == nil {
		err = cur.All(t.Context(), &found)
	}
	seen := map[int]bool{}
	for _, f := range found {
		seen[f.N] = true
	}
	if err != nil || len(found) != acked || len(seen) != acked || acked == 0 {
		t.Errorf("%d documents of %d that the pump was told are stored: %v", len(found), acked, err)
	}
	s, err := sizesOf(t.Context(), db, cappedName)
	if err != nil || !s.Capped || s.MaxSize != 64<<20 || s.Count != int64(20_000+acked) {
		t.Errorf("%+v, %v", s, err)
	}
	if p := makePlan(t, r, rules); len(p.Actions) != 0 {
		t.Errorf("again: %+v", p.Actions)
	}
	c.CappedSize = 64 * units.MiB
	sink, err := mongoraw.New("raw", c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(sink.Open(t.Context()), sink.Close(t.Context())); err != nil {
		t.Error(err)
	}
	// cut off before the indexes were there
	if _, err := coll.Indexes().DropOne(t.Context(), "logBrowserIndex"); err != nil {
		t.Fatal(err)
	}
	p = makePlan(t, r, rules)
	if len(p.Actions) != 1 || p.Actions[0].Verb != plan.MakeIndexes {
		t.Fatalf("without an index: %+v", p.Actions)
	}
	do(t, r, p)
	if missing, err := mongoraw.MissingIndexes(t.Context(), db); err != nil || len(missing) != 0 {
		t.Errorf("still missing: %v, %v", missing, err)
	}
}

// TestAConversionThatIsKilled: the server dies in the middle of it, and the collection is what it was, or what it is to be.
func TestAConversionThatIsKilled(t *testing.T) {
	m := testenv.StartMongo(t)
	db, c := ownDatabase(t, m.URI)
	coll := db.Collection(cappedName)
	fill(t, coll, "a", 30_000, 3)
	r := raw(t, c)
	rules := plan.Rules{CappedSize: 64 << 20, Convert: true}
	for i := range 3 {
		p := makePlan(t, r, rules)
		due := p.Due()
		if len(due) == 0 {
			break
		}
		ended := make(chan error, 1)
		go func() { ended <- r.Do(t.Context(), &due[0], func(int64) {}) }()
		time.Sleep(time.Duration(10+40*i) * time.Millisecond)
		m.Kill()
		m.Restart()
		err := <-ended
		s, sizeErr := sizesOf(t.Context(), db, cappedName)
		if sizeErr != nil || s.Count != 30_000 {
			t.Fatalf("killed after the conversion said %v: %+v, %v", err, s, sizeErr)
		}
	}
	do(t, r, makePlan(t, r, rules))
	s, err := sizesOf(t.Context(), db, cappedName)
	if err != nil || !s.Capped || s.Count != 30_000 {
		t.Errorf("%+v, %v", s, err)
	}
	names, err := db.ListCollectionNames(t.Context(), bson.M{})
	if err != nil || !slices.Equal(names, []string{cappedName}) {
		t.Errorf("left behind: %v, %v", names, err)
	}
	if again := makePlan(t, r, rules); len(again.Actions) != 0 {
		t.Errorf("again: %+v", again.Actions)
	}
}

// TestAConversionDropsNothingThatIsKept: what does not fit goes by the same rules as everything else.
func TestAConversionDropsNothingThatIsKept(t *testing.T) {
	db, c := ownDatabase(t, testenv.Mongo(t))
	coll := db.Collection(cappedName)
	fill(t, coll, "a", 1500, 40)
	fill(t, coll, "a", 1500, 3)
	r := raw(t, c)
	rules := plan.Rules{CappedSize: 2 << 20, Convert: true, Floor: units.Day, Holds: []plan.Hold{{Org: "a", To: now.AddDate(0, 0, -30), Reason: "court"}}}
	if p := makePlan(t, r, rules); len(p.Actions) != 1 || !p.Actions[0].Held() || !strings.Contains(p.Actions[0].HeldBy[0], "court") {
		t.Fatalf("plan: %+v", p.Actions)
	}
	rules.Holds = nil
	p := makePlan(t, r, rules)
	if len(p.Due()) != 1 || p.Actions[0].Bytes == 0 {
		t.Fatalf("plan: %+v", p.Actions)
	}
	do(t, r, p)
	var old, young int64
	var err error
	if old, err = coll.CountDocuments(t.Context(), bson.M{"timestamp": bson.M{"$lt": now.AddDate(0, 0, -30)}}); err == nil {
		young, err = coll.CountDocuments(t.Context(), bson.M{"timestamp": bson.M{"$gte": now.AddDate(0, 0, -30)}})
	}
	if err != nil || young != 1500 || old >= 1500 {
		t.Errorf("%d old and %d young documents are left: %v", old, young, err)
	}
}

// TestUptimeGoesByAge: by organisation, beside the expiry index, holds and the floor.
func TestUptimeGoesByAge(t *testing.T) {
	db, c := ownDatabase(t, testenv.Mongo(t))
	coll := db.Collection(uptimeName)
	for _, org := range []string{"a", "held", "short", ""} {
		fill(t, coll, org, 10, 100)
		fill(t, coll, org, 10, 10)
	}
	if _, err := coll.UpdateMany(t.Context(), bson.M{"orgid": ""}, bson.M{"$unset": bson.M{"orgid": ""}}); err != nil {
		t.Fatal(err)
	}
	u, err := NewUptime(t.Context(), "raw uptime", c, 1e6, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close(context.Background())
	rules := plan.Rules{Floor: units.Day, Keep: map[plan.Kind]time.Duration{plan.Uptime: 90 * units.Day}, Holds: []plan.Hold{{Org: "held", Reason: "court"}},
		Organisations: map[string]plan.OrgRules{"short": {Keep: map[plan.Kind]time.Duration{plan.Uptime: 5 * units.Day}}}}
	do(t, u, makePlan(t, u, rules))
	got := map[string]int64{}
	for org, filter := range map[string]any{"a": "a", "held": "held", "short": "short", "none": nil} {
		if got[org], err = coll.CountDocuments(t.Context(), bson.M{"orgid": filter}); err != nil {
			t.Fatal(err)
		}
	}
	if want := "map[a:10 held:20 none:10 short:0]"; fmt.Sprint(got) != want {
		t.Errorf("left: %v, want %s", got, want)
	}
	if why, err := expiryIndex(t.Context(), coll); why != "" || err != nil {
		t.Errorf("expiry index: %s, %v", why, err)
	}
	if again := makePlan(t, u, rules); len(again.Due()) != 0 {
		t.Errorf("again: %+v", again.Due())
	}
	if err := u.Do(t.Context(), &plan.Action{Verb: plan.DeleteDocuments, Target: cappedName}, func(int64) {}); err == nil {
		t.Error("another collection is taken for uptime checks")
	}
}
