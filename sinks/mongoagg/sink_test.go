package mongoagg

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	driver "go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"

	"sluice/internal/pipeline"
	"sluice/internal/record"
	"sluice/internal/testenv"
	"sluice/internal/units"
	"sluice/sinks/sinktest"
)

var nine = time.Date(2026, 11, 23, 9, 43, 20, 0, time.UTC)

func request(org, path string, at time.Time) *record.Record {
	return &record.Record{OrgID: org, APIID: "api", APIName: "API", APIVersion: "v", APIKey: "key", Path: path, ResponseCode: 200,
		RequestTime: 7, Latency: record.Latency{Total: 7, Upstream: 5}, TimeStamp: at, TrackPath: true}
}

// Keys that MongoDB refuses, that read as paths, or that clash with each other.
func TestHostileKeys(t *testing.T) {
	t.Parallel()
	s := shared(t)
	c := s.config()
	c.ExpireAfter = units.Duration(24 * time.Hour)
	var rs []*record.Record
	for i, k := range []string{"", "$", "$[]", "$[x]", "$set", "a.b", "a", "a.hits", "hits", "_id", "a\x00b", "\x00", "\xff", "a\xff", "a\xfe",
		"..", ".", `\u2e`, `\u`, `\`, "errormap", "0", "key-1", " key-y", "tier.gold", "é", strings.Repeat("long/", 120), "other"} {
		r := request("org", k, nine)
		r.APIID, r.APIKey, r.OauthID, r.APIVersion, r.Geo.Country.ISOCode, r.Tags = k, k, k, k, k, []string{k, k}
		r.Alias, r.APIName, r.ResponseCode = k, k, []int32{200, 404}[i%2]
		rs = append(rs, r)
	}
	must(t, sinktest.NewDriver(s.open(t, c)).Deliver(t.Context(), listOf("a", rs)))
	s.holds(t, c, rs)
}

// A backlog of hours, delivered in one go by a host in another zone.
func TestBucketsAreTheRecordsOwnAndUTC(t *testing.T) { // not beside others: it moves the process to another zone
	zone, err := time.LoadLocation("Asia/Kolkata")
	must(t, err)
	old := time.Local
	time.Local = zone
	t.Cleanup(func() { time.Local = old })
	for _, width := range []time.Duration{time.Hour, 15 * time.Minute} {
		s := shared(t)
		c := s.config()
		c.Bucket, c.MixedCollection = units.Duration(width), false
		var rs []*record.Record
		for i := range 60 {
			rs = append(rs, request("org", "/", nine.Add(time.Duration(i-50)*3*time.Minute)))
		}
		must(t, sinktest.NewDriver(s.open(t, c)).Deliver(t.Context(), listOf("a", rs)))
		s.holds(t, c, rs)
		// from 07:13 to 10:10
		if n, want := len(s.trees(t, orgPrefix+"org")), map[time.Duration]int{time.Hour: 4, 15 * time.Minute: 13}[width]; n != want {
			t.Errorf("%d documents of %s, want %d", n, width, want)
		}
	}
}

func TestExpiryIsTheLatestAndNeverMovesBack(t *testing.T) {
	t.Parallel()
	s := shared(t)
	c := s.config()
	c.ExpireAfter, c.MixedCollection = units.Duration(24*time.Hour), false
	sink := s.open(t, c)
	d := sinktest.NewDriver(sink)
	var rs []*record.Record
	for i, after := range []time.Duration{time.Hour, 100 * time.Hour, 2 * time.Hour} {
		r := request("org", "/", nine)
		r.ExpireAt = nine.Add(after)
		rs = append(rs, r)
		must(t, d.Deliver(t.Context(), listOf(fmt.Sprint("list", i), []*record.Record{r})))
		s.holds(t, c, rs)
	}
	r := request("org", "/", nine) // gives none: the bucket's end of life, which is earlier
	must(t, d.Deliver(t.Context(), listOf("last", []*record.Record{r})))
	s.holds(t, c, append(rs, r))
}

// A claim is folded by the shape recorded with it.
func TestShapeOfTheClaimCounts(t *testing.T) {
	t.Parallel()
	s := shared(t)
	before := s.config()
	before.TrackAllPaths, before.Bucket, before.MixedCollection = false, units.Duration(5*time.Minute), false
	after := s.config()
	rs := []*record.Record{request("org", "/a", nine), request("org", "/b", nine)}
	rs[1].TrackPath = false
	l := listOf("a", rs)
	sink := s.open(t, after)
	b := sinktest.Batch(s.closed(t, before), l, &l.Claims[0], 0, 2)
	_, err := sink.Add(t.Context(), b)
	must(t, err)
	p, err := sink.Flush(t.Context(), true)
	must(t, err)
	if len(p.Settled) != 1 || p.Settled[0].Pos != b.End() {
		t.Errorf("progress %+v", p)
	}
	s.holds(t, before, rs)
	if n, _ := s.db.Collection(mixedName).CountDocuments(t.Context(), bson.D{}); n != 0 {
		t.Errorf("%d documents in the mixed collection, which was not asked for", n)
	}
	if _, err := sink.Add(t.Context(), &pipeline.Batch{Stream: l.Stream, Shape: pipeline.Shape{Key: "bad", JSON: []byte(`{"bucket":"7m"}`)}}); err == nil {
		t.Error("a shape that nobody can fold by is accepted")
	}
}

func TestOddOrganisationsAreDeadLetters(t *testing.T) {
	t.Parallel()
	s := shared(t)
	c := s.config()
	good := request("org", "/", nine)
	rs := []*record.Record{request("$", "/", nine), request("a\x00b", "/", nine), good, request("\xff", "/", nine),
		request(strings.Repeat("x", 300), "/", nine), request("system.x", "/", nine), request("", "/", nine)}
	d := sinktest.NewDriver(s.open(t, c))
	must(t, d.Deliver(t.Context(), listOf("a", rs)))
	if len(d.Results.Dead) != 5 || d.Results.Filtered != 1 {
		t.Errorf("%+v", d.Results)
	}
	for _, dead := range d.Results.Dead {
		if rs[dead.Item] == good || !strings.Contains(dead.Reason, "makes no collection name") {
			t.Errorf("item %d: %s", dead.Item, dead.Reason)
		}
	}
	s.holds(t, c, []*record.Record{good})
}

// A document that cannot be written costs its own records only.
func TestABadDocumentHoldsUpNobody(t *testing.T) {
	t.Parallel()
	s := shared(t)
	c := s.config()
	c.MixedCollection = false
	_, err := s.db.Collection(orgPrefix+"bad").InsertOne(t.Context(), bson.D{{Key: "_id", Value: documentID("bad", nine.Unix()/3600*3600, 3600)},
		{Key: "sluice", Value: bson.D{{Key: "rev", Value: 1}}}, {Key: "total", Value: "not a counter"}})
	must(t, err)
	var good, rs []*record.Record
	for i := range 40 {
		g := request(fmt.Sprint("org", i%3), "/", nine)
		good, rs = append(good, g), append(rs, g, request("bad", "/", nine))
	}
	d := sinktest.NewDriver(s.open(t, c))
	l := listOf("a", rs)
	must(t, d.Deliver(t.Context(), l))
	if len(d.Results.Dead) != 40 || d.Rewinds(l) != 1 {
		t.Errorf("%d dead letters after %d rewinds, want 40 after one: %+v", len(d.Results.Dead), d.Rewinds(l), d.Results)
	}
	if _, err := s.db.Collection(orgPrefix+"bad").DeleteMany(t.Context(), bson.D{}); err != nil {
		t.Fatal(err)
	}
	s.holds(t, c, good)
}

// Beyond what a document can hold, newcomers count under "other", whoever redelivers, and sums stay exact.
func TestFullDocumentsStayStorable(t *testing.T) {
	t.Parallel()
	s := shared(t)
	c := s.config()
	c.MixedCollection = false
	var rs []*record.Record
	for i := range 24_000 {
		r := request("org", fmt.Sprint("/some/longer/path/", i%12_000), nine)
		r.APIKey = fmt.Sprint("key", i%3000)
		r.ResponseCode = []int32{200, 404, 500}[i%3]
		rs = append(rs, r)
	}
	l := listOf("a", rs[:8000], rs[8000:])
	d := sinktest.NewDriver(s.open(t, c))
	d.Cut = func(int) int { return 5000 }
	must(t, d.Deliver(t.Context(), l))
	raw, err := s.db.Collection(orgPrefix+"org").FindOne(t.Context(), bson.D{}).Raw()
	must(t, err)
	t.Logf("the document has %d bytes", len(raw))
	if len(raw) > 16<<20 || len(raw) < 6<<20 {
		t.Errorf("the document has %d bytes", len(raw))
	}
	doc := tree(raw)
	for _, m := range []string{"apiid", "apikeys", "endpoints", "apiendpoints", "versions"} {
		if n := sumHits(doc[m]); n != 24_000 {
			t.Errorf("%s: %d hits", m, n)
		}
	}
	if n := sumHits(doc["keyendpoints"]); n != 24_000 {
		t.Errorf("keyendpoints: %d hits", n)
	}
	if doc["endpoints"].(map[string]any)["other"] == nil {
		t.Error("nothing counts under other: the document was not full")
	}
	again := sinktest.NewDriver(s.open(t, c)) // all of it once more, cut otherwise
	again.Cut = func(int) int { return 3333 }
	must(t, again.Deliver(t.Context(), l))
	if n := sumHits(s.trees(t, orgPrefix+"org")[0]["keyendpoints"]); n != 24_000 {
		t.Errorf("after redelivery: %d hits", n)
	}
}

// sumHits adds up the counters below a map.
func sumHits(v any) (n int64) {
	m, ok := v.(map[string]any)
	if !ok {
		return 0
	}
	if h, ok := m["hits"].(int64); ok {
		return h
	}
	for _, e := range m {
		n += sumHits(e)
	}
	return n
}

func TestAddAsksForAFlushWhenItHoldsMuch(t *testing.T) {
	t.Parallel()
	s := shared(t)
	c := s.config()
	sink := s.open(t, c)
	ctx, full := t.Context(), false
	for i := 0; i < 60 && !full; i++ {
		var rs []*record.Record
		for j := range 2000 {
			rs = append(rs, request("org", fmt.Sprint("/", i, "/", j), nine))
		}
		l := listOf(fmt.Sprint("list", i), rs)
		_, err := sink.Add(ctx, sinktest.Batch(sink, l, &l.Claims[0], 0, 2000))
		full = errors.Is(err, pipeline.ErrFull)
		if err != nil && !full {
			t.Fatal(err)
		}
	}
	if !full {
		t.Fatal("it gathers without bound")
	}
	for _, st := range sink.streams {
		sink.Forget(st.id)
	}
	if sink.bytes != 0 || len(sink.waiting) != 0 {
		t.Errorf("%d bytes and %d documents are left of nothing", sink.bytes, len(sink.waiting))
	}
}

func TestForgetDropsOneStreamOnly(t *testing.T) {
	t.Parallel()
	s := shared(t)
	c := s.config()
	sink, ctx := s.open(t, c), t.Context()
	a, b := listOf("a", []*record.Record{request("org", "/", nine)}), listOf("b", []*record.Record{request("org", "/b", nine)})
	for _, l := range []*sinktest.List{a, b} {
		_, err := sink.Add(ctx, sinktest.Batch(sink, l, &l.Claims[0], 0, 1))
		must(t, err)
	}
	if sink.Due().Before(time.Now()) && !sink.swept.IsZero() {
		t.Error("due at once")
	}
	sink.Forget(a.Stream)
	sink.Forget(a.Stream)
	p, err := sink.Flush(ctx, true)
	must(t, err)
	if len(p.Settled) != 1 || p.Settled[0].Stream != b.Stream {
		t.Errorf("%+v", p)
	}
	s.holds(t, c, recordsOf(b))
	if !sink.Due().IsZero() {
		t.Error("something is due though nothing is gathered")
	}
}

// Derived fields of a document that another process keeps writing are brought up to date, and the mark stays until they
// are; marks of a dead process are found.
func TestDerivedFieldsAndMarks(t *testing.T) {
	t.Parallel()
	s := shared(t)
	c := s.config()
	ctx := t.Context()
	dead, l := s.open(t, c), listOf("a", made(newRand(1), 50))
	_, err := dead.Add(ctx, sinktest.Batch(dead, l, &l.Claims[0], 0, 50))
	must(t, err)
	dead.full = true // as after ErrFull: counters only
	dead.derived, dead.swept = time.Now(), time.Now()
	_, err = dead.Flush(ctx, true)
	must(t, err)
	marked := func() int64 {
		n, err := s.db.Collection(mixedName).CountDocuments(ctx, bson.D{{Key: "sluice.dirty", Value: true}}, options.Count().SetHint(dirtyIndex().Key))
		must(t, err)
		return n
	}
	if marked() == 0 {
		t.Fatal("nothing is marked")
	}
	other := s.open(t, c)
	_, err = other.Flush(ctx, false) // the first one sweeps
	must(t, err)
	if n := marked(); n != 0 {
		t.Errorf("%d marks are left", n)
	}
	s.holds(t, c, recordsOf(l))
}

// More marks than one look takes on are found by those that follow, in the flush that is the last one without a pause.
func TestManyMarksAreFound(t *testing.T) {
	t.Parallel()
	for _, all := range []bool{false, true} {
		t.Run(fmt.Sprintf("all=%t", all), func(t *testing.T) {
			t.Parallel()
			s := shared(t)
			c := s.config()
			ctx, coll := t.Context(), s.db.Collection(mixedName)
			dead := s.open(t, c)
			rs := made(newRand(1), 10)
			for i, r := range rs {
				r.OrgID = fmt.Sprint("org", i)
			}
			l := listOf("l", rs)
			_, err := dead.Add(ctx, sinktest.Batch(dead, l, &l.Claims[0], 0, 10))
			must(t, err)
			dead.full = true // as after ErrFull: counters only
			dead.derived, dead.swept = time.Now(), time.Now()
			_, err = dead.Flush(ctx, true)
			must(t, err)
			left := func() int64 {
				n, err := coll.CountDocuments(ctx, bson.D{{Key: "sluice.dirty", Value: true}})
				must(t, err)
				return n
			}
			if left() != 10 {
				t.Fatalf("%d documents are marked", left())
			}
			other := s.open(t, c)
			other.sweeps = 3
			for n := 0; n == 0 || !all && !other.Due().IsZero(); n++ {
				if other.derived = (time.Time{}); n > 10 {
					t.Fatal("there is no end")
				}
				_, err = other.Flush(ctx, all)
				must(t, err)
			}
			if left() != 0 {
				t.Errorf("%d marks are left", left())
			}
		})
	}
}

// Marks are found where their index is not: its user may not make one, or its turn had not come when the process died.
// Of a large collection only recent buckets are read.
func TestMarksAreFoundWithoutTheirIndex(t *testing.T) {
	t.Parallel()
	for _, large := range []bool{false, true} {
		t.Run(fmt.Sprintf("large=%t", large), func(t *testing.T) {
			s := shared(t)
			c := s.config()
			ctx, coll := t.Context(), s.db.Collection(mixedName)
			dead := s.open(t, c)
			for i, at := range []time.Time{time.Now().Add(-time.Hour), time.Now().Add(-30 * 24 * time.Hour)} {
				r := made(newRand(1), 1)[0]
				r.TimeStamp = at
				l := listOf(fmt.Sprint("l", i), []*record.Record{r})
				_, err := dead.Add(ctx, sinktest.Batch(dead, l, &l.Claims[0], 0, 1))
				must(t, err)
			}
			dead.full = true // as after ErrFull: counters only
			dead.derived, dead.swept = time.Now(), time.Now()
			_, err := dead.Flush(ctx, true)
			must(t, err)
			_, err = coll.Indexes().DropAll(ctx)
			must(t, err)
			if large {
				var more []any
				for range maxSwept {
					more = append(more, bson.D{{Key: "timestamp", Value: time.Now()}})
				}
				_, err = coll.InsertMany(ctx, more)
				must(t, err)
			}
			other := s.open(t, c)
			_, err = coll.Indexes().DropAll(ctx) // which the start made
			must(t, err)
			_, err = other.Flush(ctx, false)
			must(t, err)
			left, err := coll.CountDocuments(ctx, bson.D{{Key: "sluice.dirty", Value: true}})
			must(t, err)
			if want := map[bool]int64{false: 0, true: 1}[large]; left != want {
				t.Errorf("%d marks are left, not %d", left, want)
			}
		})
	}
}

// An answer that says that no majority has confirmed is not success, and does not make it count twice either.
func TestNoMajorityIsUnknown(t *testing.T) {
	t.Parallel()
	s := shared(t)
	c := s.config()
	sink := s.open(t, c)
	first := true
	sink.send = func(ctx context.Context, coll *driver.Collection, ops []*operation) {
		send(ctx, coll, ops)
		if first {
			sortByIndex(coll, ops, driver.BulkWriteException{WriteConcernError: &driver.WriteConcernError{Code: 64, Message: "timed out"}})
		}
	}
	l, ctx := listOf("a", made(newRand(2), 30)), t.Context()
	_, err := sink.Add(ctx, sinktest.Batch(sink, l, &l.Claims[0], 0, 30))
	must(t, err)
	p, err := sink.Flush(ctx, true)
	if !errors.Is(err, errUnknown) || len(p.Settled) != 0 {
		t.Fatalf("%+v, %v", p, err)
	}
	first = false
	p, err = sink.Flush(ctx, true)
	must(t, err)
	if len(p.Settled) != 1 || len(p.Rewind) != 0 {
		t.Errorf("%+v", p)
	}
	s.holds(t, c, recordsOf(l))
}

// The server dies under the writes and comes back.
func TestServerKilledUnderWay(t *testing.T) {
	t.Parallel()
	server := testenv.StartMongo(t)
	s := newStore(t, server.URI+"&serverSelectionTimeoutMS=2000&socketTimeoutMS=5000")
	c := s.config()
	d := sinktest.NewDriver(s.open(t, c))
	lists := []*sinktest.List{listOf("a", made(newRand(3), 400)), listOf("b", made(newRand(4), 400))}
	d.Cut = func(int) int { return 50 }
	for i := range 4 {
		for range 3 {
			for _, l := range lists {
				_, err := d.Step(t.Context(), l)
				must(t, err)
			}
		}
		done := make(chan error)
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			done <- d.Flush(ctx, true)
		}()
		time.Sleep(time.Duration(i*4) * time.Millisecond)
		server.Kill()
		<-done // it may have been faster
		server.Restart()
	}
	must(t, d.Deliver(t.Context(), lists...))
	s.holds(t, c, recordsOf(lists...))
}

func TestIndexes(t *testing.T) {
	t.Parallel()
	s := shared(t)
	c := s.config()
	must2 := func(_ any, err error) { must(t, err) }
	must2(s.db.Collection(mixedName).Indexes().CreateOne(t.Context(), driver.IndexModel{ // another one of that name stays
		Keys: bson.D{{Key: "timestamp", Value: 1}}, Options: options.Index().SetName("mine")}))
	must(t, sinktest.NewDriver(s.open(t, c)).Deliver(t.Context(), listOf("a", []*record.Record{request("org", "/", nine)})))
	for name, want := range map[string]string{mixedName: "_id_ expireAt_1 mine orgid_1 sluice.dirty_1", orgPrefix + "org": "_id_ expireAt_1 orgid_1 sluice.dirty_1 timestamp_1"} {
		specs, err := s.db.Collection(name).Indexes().ListSpecifications(t.Context())
		must(t, err)
		var got []string
		for _, x := range specs {
			got = append(got, x.Name)
			if x.Name == "expireAt_1" && (x.ExpireAfterSeconds == nil || *x.ExpireAfterSeconds != 0) {
				t.Errorf("%s: documents do not expire", name)
			}
		}
		if g := sortedWords(got); g != want {
			t.Errorf("%s has %s, want %s", name, g, want)
		}
	}
}
