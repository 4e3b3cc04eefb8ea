package mongoraw

import (
	"encoding/base64"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/bson"
	driver "go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"

	"sluice/internal/pipeline"
	"sluice/internal/record"
)

// TestUniqueIndex: documents that another unique index refuses are dead by index, duplicates of _id beside them are
// success, and so it stays when all comes again in another cut.
func TestUniqueIndex(t *testing.T) {
	t.Parallel()
	s := shared(t)
	sink, _ := s.open(t, s.config(LayoutCapped))
	unique := driver.IndexModel{Keys: bson.D{{Key: "alias", Value: 1}}, Options: options.Index().SetName("_id_not").SetUnique(true)}
	if _, err := s.db.Collection(cappedName).Indexes().CreateOne(t.Context(), unique); err != nil {
		t.Fatal(err)
	}
	with := func(n int, alias string) pipeline.Item {
		return sample(n, func(r *record.Record) { r.Alias = alias })
	}
	items := []pipeline.Item{with(0, "a"), with(1, "b"), with(2, "a"), with(3, "c"), with(4, "b")}
	for range 2 {
		result := write(t, sink, items...)
		if len(result.Dead) != 2 || result.Dead[0].Item != 2 || result.Dead[1].Item != 4 {
			t.Fatalf("%+v, want items 2 and 4 dead", result)
		}
		if !strings.Contains(result.Dead[0].Reason, "unique index") {
			t.Errorf("reason %q", result.Dead[0].Reason)
		}
	}
	if result := write(t, sink, items[1], items[2], with(5, "d")); len(result.Dead) != 1 || result.Dead[0].Item != 1 {
		t.Errorf("other cut: %+v", result)
	}
	if n := len(s.documents(t, cappedName)); n != 4 {
		t.Errorf("%d documents, want 4", n)
	}
}

// TestRefusedDocuments: a validator that somebody put on the collection refuses single documents for good.
func TestRefusedDocuments(t *testing.T) {
	t.Parallel()
	s := shared(t)
	sink, _ := s.open(t, s.config(LayoutPerOrg))
	validator := bson.D{{Key: "method", Value: bson.D{{Key: "$ne", Value: "BREW"}}}}
	if err := s.db.CreateCollection(t.Context(), orgPrefix+"org", options.CreateCollection().SetValidator(validator)); err != nil {
		t.Fatal(err)
	}
	result := write(t, sink, sample(0, nil), sample(1, func(r *record.Record) { r.Method = "BREW" }), sample(2, nil))
	if len(result.Dead) != 1 || result.Dead[0].Item != 1 || !strings.Contains(result.Dead[0].Reason, "121") {
		t.Errorf("%+v", result)
	}
	if n := len(s.documents(t, orgPrefix+"org")); n != 2 {
		t.Errorf("%d documents", n)
	}
}

// TestLargeRecords: bodies above 10 MiB are cut and marked in both layouts; a record too large even so is dead; both keep
// their place among others.
func TestLargeRecords(t *testing.T) {
	t.Parallel()
	s := shared(t)
	large := func(request, response, path int) func(*record.Record) {
		return func(r *record.Record) {
			r.RawRequest, r.RawResponse = strings.Repeat("QUJD", request/4), strings.Repeat("QUJD", response/4)
			r.Path = strings.Repeat("p", path)
		}
	}
	items := []pipeline.Item{
		sample(0, nil),
		sample(1, large(20<<20, 0, 1)),
		sample(2, large(6<<20, 5<<20, 1)),
		sample(3, large(0, maxBodies, 1)),       // just fits
		sample(4, large(4<<20, 5<<20, 8<<20)),   // bodies are not the only large part
		sample(5, large(0, 0, 17<<20)),          // hopeless
		sample(6, large(0, 0, maxDocument-800)), // as large as a document can be
		sample(7, nil),
	}
	cut := map[string]bool{"1": true, "2": true, "4": true}
	for _, layout := range []string{LayoutCapped, LayoutPerOrg} {
		sink, _ := s.open(t, s.config(layout))
		result := write(t, sink, items...)
		if len(result.Dead) != 1 || result.Dead[0].Item != 5 {
			t.Errorf("%s: %v", layout, result.Dead)
		}
		name := cappedName
		if layout == LayoutPerOrg {
			name = orgPrefix + "org"
		}
		docs := s.documents(t, name)
		if len(docs) != len(items)-1 {
			t.Fatalf("%s: %d documents", layout, len(docs))
		}
		for _, doc := range docs {
			n := doc.Lookup("requesttime").AsInt64()
			mark, err := doc.LookupErr(fieldTruncated)
			if marked := err == nil && mark.Boolean(); marked != cut[string(rune('0'+n))] {
				t.Errorf("%s: record %d cut: %t", layout, n, marked)
			}
			if err != nil {
				continue
			}
			text, err := base64.StdEncoding.DecodeString(doc.Lookup("rawresponse").StringValue())
			if err != nil || string(text) != "Document too large, not writing raw request and raw response!" || doc.Lookup("rawrequest").StringValue() != "" {
				t.Errorf("%s: record %d has response %q", layout, n, text)
			}
		}
	}
}

// TestManyOrganisations writes to more collections than may be written at once.
func TestManyOrganisations(t *testing.T) {
	t.Parallel()
	s := shared(t)
	sink, _ := s.open(t, s.config(LayoutPerOrg))
	var items []pipeline.Item
	for i := range 60 {
		items = append(items, sample(i, func(r *record.Record) { r.OrgID = "o" + string(rune('a'+i%12)) }))
	}
	write(t, sink, items...)
	if result := write(t, sink, items[7:51]...); len(result.Dead)+result.Filtered != 0 {
		t.Errorf("%+v", result)
	}
	for i := range 12 {
		if n := len(s.documents(t, orgPrefix+"o"+string(rune('a'+i)))); n != 5 {
			t.Errorf("organisation %d has %d documents, want 5", i, n)
		}
	}
}

// TestCappedTurnsOver: records that a capped collection has thrown out are gone; writing goes on.
func TestCappedTurnsOver(t *testing.T) {
	t.Parallel()
	s := shared(t)
	c := s.config(LayoutCapped)
	c.CappedSize = minCapped
	sink, _ := s.open(t, c)
	var items []pipeline.Item
	for i := range 40 {
		items = append(items, sample(i, func(r *record.Record) { r.RawResponse = strings.Repeat("QUJD", 16<<10) }))
	}
	write(t, sink, items...)
	if result := write(t, sink, items[:10]...); len(result.Dead) != 0 { // some come a second time
		t.Errorf("%+v", result)
	}
	if n := len(s.documents(t, cappedName)); n == 0 || n > 20 {
		t.Errorf("%d documents of 64 KiB in 1 MiB", n)
	}
}
