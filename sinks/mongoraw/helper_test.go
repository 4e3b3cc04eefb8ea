package mongoraw

import (
	"bytes"
	"context"
	"crypto/rand"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	driver "go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
	"go.uber.org/goleak"

	"sluice/internal/mongo"
	"sluice/internal/pipeline"
	"sluice/internal/record"
	"sluice/internal/testenv"
	"sluice/internal/units"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// store is a database of one test.
type store struct {
	uri string
	db  *driver.Database
}

func newStore(t testing.TB, uri string) *store {
	t.Helper()
	client, err := mongo.Connect(t.Context(), uri, "test")
	if err != nil {
		t.Fatal(err)
	}
	s := &store{uri: uri, db: client.Database("raw_" + strings.ToLower(rand.Text()[:12]))}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := s.db.Drop(ctx); err != nil {
			t.Logf("drop: %v", err)
		}
		mongo.Disconnect(ctx, client)
	})
	return s
}

func shared(t testing.TB) *store { return newStore(t, testenv.Mongo(t)) }

func (s *store) config(layout string) Config {
	c := Defaults()
	c.URI, c.Database, c.Layout, c.CappedSize = s.uri, s.db.Name(), layout, 256*units.MiB
	return c
}

// sink makes a sink that is closed with the test, not yet open.
func (s *store) sink(t testing.TB, c Config) (*Sink, *logs) {
	t.Helper()
	l := &logs{}
	sink, err := New("raw", c, slog.New(slog.NewTextHandler(l, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sink.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return sink, l
}

func (s *store) open(t testing.TB, c Config) (*Sink, *logs) {
	t.Helper()
	sink, l := s.sink(t, c)
	for deadline := time.Now().Add(time.Minute); ; { // as the pipeline does; a set that just healed may need some time to confirm
		err := sink.Open(t.Context())
		if err == nil {
			return sink, l
		}
		if class, _ := pipeline.Classify(err); class != pipeline.Retryable || time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// documents are those of a collection in the order they were stored.
func (s *store) documents(t testing.TB, name string) []bson.Raw {
	t.Helper()
	cursor, err := s.db.Collection(name).Find(t.Context(), bson.D{}, options.Find().SetSort(bson.D{{Key: "$natural", Value: 1}}))
	if err != nil {
		t.Fatal(err)
	}
	var all []bson.Raw
	if err := cursor.All(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func (s *store) names(t testing.TB) []string {
	t.Helper()
	names, err := s.db.ListCollectionNames(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// logs is a log in memory.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// sample is a plain record, changed as asked, with an ID of its own.
func sample(n int, change func(*record.Record)) pipeline.Item {
	r := &record.Record{
		Method: "GET", Host: "h", Path: "/p", RawPath: "/p", ResponseCode: 200, APIID: "api", OrgID: "org",
		TimeStamp: time.Date(2026, 11, 23, 9, 43, 46, 370367119, time.UTC), ExpireAt: time.Date(2126, 1, 1, 0, 0, 0, 0, time.UTC),
		RequestTime: int64(n),
	}
	if change != nil {
		change(r)
	}
	return pipeline.Item{Index: uint32(n), ID: record.MakeID(r.TimeStamp, uint64(n)), Record: r}
}

func batch(items ...pipeline.Item) *pipeline.Batch {
	return &pipeline.Batch{From: 0, To: uint32(len(items)), Items: items, ClaimTime: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)}
}

func write(t testing.TB, s *Sink, items ...pipeline.Item) pipeline.Result {
	t.Helper()
	r, err := s.Write(t.Context(), batch(items...))
	if err != nil {
		t.Fatal(err)
	}
	return r
}
