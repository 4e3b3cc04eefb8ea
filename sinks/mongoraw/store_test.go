package mongoraw

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/bson"
	driver "go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"

	"sluice/internal/mongo"
	"sluice/internal/pipeline"
	"sluice/internal/record"
	"sluice/internal/tally"
	"sluice/internal/testenv"
)

func TestPlainCollectionIsFatal(t *testing.T) {
	t.Parallel()
	s := shared(t)
	if err := s.db.CreateCollection(t.Context(), cappedName); err != nil {
		t.Fatal(err)
	}
	sink, _ := s.sink(t, s.config(LayoutCapped))
	err := sink.Open(t.Context())
	if class, _ := pipeline.Classify(err); class != pipeline.FatalError {
		t.Fatalf("Open = %v, want a fatal error", err)
	}
	for _, cure := range []string{"convertToCapped", "layout: per-org"} {
		if !strings.Contains(err.Error(), cure) {
			t.Errorf("the error does not name the cure %q: %v", cure, err)
		}
	}
	// The cure it names works, on the same handle.
	cmd := bson.D{{Key: "convertToCapped", Value: cappedName}, {Key: "size", Value: 1 << 20}}
	if err := s.db.RunCommand(t.Context(), cmd).Err(); err != nil {
		t.Fatal(err)
	}
	if err := sink.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(s.indexes(t, cappedName)); n != 4 {
		t.Errorf("%d indexes after the conversion, want 4", n)
	}
}

// TestDroppedUnderWay: when somebody drops the capped collection, an insert makes a plain one. It is noticed when the
// collection is looked at again.
func TestDroppedUnderWay(t *testing.T) {
	t.Parallel()
	s := shared(t)
	sink, _ := s.open(t, s.config(LayoutCapped))
	if err := s.db.Collection(cappedName).Drop(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, sink, sample(1, nil))
	sink.ready.seen[cappedName] = sink.ready.seen[cappedName].Add(-recheck)
	_, err := sink.Write(t.Context(), batch(sample(2, nil)))
	if class, _ := pipeline.Classify(err); class != pipeline.FatalError {
		t.Fatalf("Write = %v, want a fatal error", err)
	}
}

func TestOtherSizeIsLeft(t *testing.T) {
	t.Parallel()
	s := shared(t)
	if err := s.db.CreateCollection(t.Context(), cappedName, options.CreateCollection().SetCapped(true).SetSizeInBytes(1<<20)); err != nil {
		t.Fatal(err)
	}
	sink, log := s.open(t, s.config(LayoutCapped))
	write(t, sink, sample(1, nil))
	if !strings.Contains(log.String(), "another size") {
		t.Errorf("the other size is not said: %s", log)
	}
	is, err := describe(t.Context(), s.db, cappedName)
	if err != nil || is.Options.Size != 1<<20 {
		t.Errorf("%+v, %v", is, err)
	}
}

func TestNoCappedCollections(t *testing.T) {
	if !mongo.Unsupported(mongo.Code(driver.CommandError{Code: 303, Message: "Feature not supported: capped collections"})) {
		t.Error("the answer of DocumentDB is not understood")
	}
	if mongo.Unsupported(91) || mongo.Unsupported(mongo.Code(errors.New("reset"))) {
		t.Error("a passing error says nothing about the server")
	}
	err := uncappable(cappedName, errors.New("x"))
	if class, _ := pipeline.Classify(err); class != pipeline.FatalError || !strings.Contains(err.Error(), "layout: per-org") {
		t.Errorf("%v", err)
	}
}

func TestIndexThatDiffersIsLogged(t *testing.T) {
	t.Parallel()
	s := shared(t)
	name := orgPrefix + "org"
	models := []driver.IndexModel{
		{Keys: bson.D{{Key: "expireAt", Value: 1}}, Options: options.Index().SetName("expireAt_1")}, // no expiry
		{Keys: bson.D{{Key: "host", Value: 1}}, Options: options.Index().SetName("apiid_1")},        // another key
	}
	if _, err := s.db.Collection(name).Indexes().CreateMany(t.Context(), models); err != nil {
		t.Fatal(err)
	}
	sink, log := s.open(t, s.config(LayoutPerOrg))
	write(t, sink, sample(1, nil))
	if n := strings.Count(log.String(), "an index could not be made"); n != 2 {
		t.Errorf("%d indexes were logged, want 2: %s", n, log)
	}
	if n := len(s.documents(t, name)); n != 1 {
		t.Errorf("%d documents", n)
	}
	if n := len(s.indexes(t, name)); n != 4 { // _id, the two, logBrowserIndex
		t.Errorf("%d indexes", n)
	}
}

// TestHostileOrganisations: an organisation ID that makes no collection name is dead at once, does not hold up its
// neighbours, and never writes into a collection that is not its own.
func TestHostileOrganisations(t *testing.T) {
	t.Parallel()
	s := shared(t)
	sink, _ := s.open(t, s.config(LayoutPerOrg))
	bad := []string{
		"a\x00b", "$where", "a$b", "system.users", "a.system.b", "\xff\xfe", strings.Repeat("x", 300), "aggregate_5e9d",
		strings.Repeat("x", mongo.MaxNamespace-len(s.db.Name())-len(orgPrefix)),
	}
	odd := []string{".", "..", "a.", ".a", "a b", "ünï", "\t\n", `"quoted"`, "*", "aggregate", "a/b", `a\b`,
		strings.Repeat("x", mongo.MaxNamespace-len(s.db.Name())-len(orgPrefix)-1)}
	var items []pipeline.Item
	for i, org := range slices.Concat(bad, odd) {
		items = append(items, sample(i, func(r *record.Record) { r.OrgID = org }))
	}
	items = append(items, sample(len(items), func(r *record.Record) { r.OrgID = "" }))
	result := write(t, sink, items...)
	if result.Filtered != 1 {
		t.Errorf("%d filtered, want the one without organisation", result.Filtered)
	}
	dead := map[int]string{}
	for _, d := range result.Dead {
		dead[d.Item] = d.Reason
		if len(d.Reason) > 500 {
			t.Errorf("a reason of %d bytes", len(d.Reason))
		}
	}
	for i := range bad {
		if !strings.Contains(dead[i], "makes no collection name") {
			t.Errorf("organisation %q: %q", bad[i], dead[i])
		}
	}
	for i, org := range odd {
		n := 0
		if reason, isDead := dead[len(bad)+i]; !isDead {
			n = len(s.documents(t, orgPrefix+org))
		} else if reason != "" {
			n = 1
		}
		if n != 1 {
			t.Errorf("organisation %q: neither stored once nor dead", org)
		}
	}
	if strings.Contains(fmt.Sprint(s.names(t)), orgPrefix+aggregatePrefix) {
		t.Error("a collection of aggregates was written to")
	}
}

// TestCollectionRefused: what the server refuses by name, though we thought it good, is dead and not repeated.
func TestCollectionRefused(t *testing.T) {
	t.Parallel()
	s := shared(t)
	sink, _ := s.open(t, s.config(LayoutPerOrg))
	b, tal := batch(sample(1, nil), sample(2, nil)), tally.New(2)
	sink.deliver(t.Context(), s.db, b, group{to: perOrg("system.profile.x$"), items: []int{0, 1}}, tal)
	if result, err := tal.Result(); err != nil || len(result.Dead) != 2 {
		t.Errorf("ensure: %+v, %v", result, err)
	}
	tal = tally.New(2)
	(&inserter{db: s.db, batch: b, to: perOrg("a$b"), tally: tal}).insert(t.Context(), []int{0, 1})
	if result, err := tal.Result(); err != nil || len(result.Dead) != 2 {
		t.Errorf("insert: %+v, %v", result, err)
	}
}

// TestShapeOfTheClaim: a claim is stored in the layout it was made under, whatever is configured now.
func TestShapeOfTheClaim(t *testing.T) {
	t.Parallel()
	s := shared(t)
	sink, _ := s.open(t, s.config(LayoutPerOrg))
	b := batch(sample(1, nil))
	b.Shape.JSON = s.config(LayoutCapped).mustShape(t)
	if _, err := sink.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if n := len(s.documents(t, cappedName)); n != 1 {
		t.Errorf("%d documents in %s, want 1; collections %v", n, cappedName, s.names(t))
	}
	is, err := describe(t.Context(), s.db, cappedName)
	if err != nil || is == nil || !is.Options.Capped {
		t.Errorf("%+v, %v: not capped", is, err)
	}
	b.Shape.JSON = []byte(`{"layout":"sideways"}`)
	if _, err := sink.Write(t.Context(), b); err == nil {
		t.Error("an unknown layout was taken")
	}
}

func (c Config) mustShape(t *testing.T) []byte {
	sink, err := New("x", c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return sink.Shape()
}

func TestUptime(t *testing.T) {
	t.Parallel()
	s := shared(t)
	c := s.config(LayoutPerOrg)
	c.Uptime = false
	if sink, _ := s.open(t, c); sink.Takes(pipeline.Uptime) || !sink.Takes(pipeline.Analytics) {
		t.Error("uptime records are taken though switched off")
	}
	if len(s.names(t)) != 0 {
		t.Errorf("collections were made: %v", s.names(t))
	}
}

func TestCredentialsAreFatal(t *testing.T) {
	t.Parallel()
	s := shared(t)
	c := s.config(LayoutCapped)
	c.URI = strings.Replace(c.URI, "mongodb://", "mongodb://nobody:wrong@", 1)
	sink, _ := s.sink(t, c)
	err := sink.Open(t.Context())
	if class, _ := pipeline.Classify(err); class != pipeline.FatalError {
		t.Fatalf("Open = %v, want a fatal error", err)
	}
	if strings.Contains(err.Error(), "wrong") {
		t.Errorf("the password is in the error: %v", err)
	}
}

func TestWriteBeforeOpen(t *testing.T) {
	s := &store{uri: "mongodb://127.0.0.1:1/"}
	c := Defaults()
	c.URI = s.uri
	sink, _ := s.sink(t, c)
	if _, err := sink.Write(t.Context(), batch(sample(1, nil))); !errors.Is(err, errNotOpen) {
		t.Errorf("Write = %v", err)
	}
}

// TestFailPoints makes a server of its own fail as servers do, at the command that inserts.
func TestFailPoints(t *testing.T) {
	t.Parallel()
	server := testenv.StartMongo(t, "--setParameter", "enableTestCommands=1")
	s := newStore(t, server.URI)
	sink, _ := s.open(t, s.config(LayoutCapped))
	fail := func(data bson.D) {
		t.Helper()
		cmd := bson.D{{Key: "configureFailPoint", Value: "failCommand"}, {Key: "mode", Value: bson.D{{Key: "times", Value: 1}}},
			{Key: "data", Value: append(bson.D{{Key: "failCommands", Value: bson.A{"insert"}}}, data...)}}
		if err := s.db.Client().Database("admin").RunCommand(t.Context(), cmd).Err(); err != nil {
			t.Fatal(err)
		}
	}
	write(t, sink, sample(1, nil)) // there already, and so a duplicate below
	filtered := sample(9, func(r *record.Record) { r.ResponseCode = -1 })
	for name, data := range map[string]bson.D{
		"write concern":   {{Key: "writeConcernError", Value: bson.D{{Key: "code", Value: 64}, {Key: "errmsg", Value: "waiting for replication timed out"}}}},
		"stepped down":    {{Key: "errorCode", Value: 189}},
		"shutdown":        {{Key: "errorCode", Value: 91}},
		"write conflict":  {{Key: "errorCode", Value: 112}},
		"connection lost": {{Key: "closeConnection", Value: true}},
	} {
		fail(data)
		result, err := sink.Write(t.Context(), batch(sample(1, nil), filtered, sample(2, nil)))
		var partial *pipeline.PartialError
		if !errors.As(err, &partial) || !slices.Equal(partial.Retry, []int{0, 2}) || result.Filtered != 1 || len(result.Dead) != 0 {
			t.Errorf("%s: %+v, %v; want both records again, the duplicate too", name, result, err)
		}
		if class, _ := pipeline.Classify(err); class != pipeline.Retryable {
			t.Errorf("%s: class %d", name, class)
		}
	}
	for { // the driver may still take the server for one that is shutting down
		if _, err := sink.Write(t.Context(), batch(sample(1, nil))); err == nil {
			break
		}
	}
	fail(bson.D{{Key: "errorCode", Value: 13}})
	if _, err := sink.Write(t.Context(), batch(sample(1, nil))); !isFatal(err) {
		t.Errorf("without rights: %v", err)
	}
	if result := write(t, sink, sample(1, nil), filtered, sample(2, nil)); result.Filtered != 1 || len(result.Dead) != 0 {
		t.Errorf("%+v", result)
	}
	if n := len(s.documents(t, cappedName)); n != 2 {
		t.Errorf("%d documents, want 2", n)
	}
	if mongo.Code(errors.New("x")) != 0 {
		t.Error("any error has a code")
	}
}

func isFatal(err error) bool {
	class, _ := pipeline.Classify(err)
	return err != nil && class == pipeline.FatalError
}
