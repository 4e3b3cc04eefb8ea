package mongodb

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/bson"

	"sluice/internal/testenv"
	"sluice/retention/erase"
	"sluice/retention/plan"
	"sluice/sinks/mongoraw"
)

// TestHoldOfWhatCameLate: documents on hold that come between plan and deed stay; the others go.
func TestHoldOfWhatCameLate(t *testing.T) {
	uri := testenv.Mongo(t)
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, anonymise := range []bool{false, true} {
		p, err := erase.New(erase.Person{Keys: []string{"k"}, Anonymise: anonymise, Holds: []plan.Hold{
			{Org: "held", Reason: "court"}, {Org: "*", From: noon.Add(time.Hour), Reason: "audit"}}})
		if err != nil {
			t.Fatal(err)
		}
		raw, err := NewRaw(t.Context(), "raw", mongoraw.Config{URI: uri, Database: database(t, uri), Layout: mongoraw.LayoutCapped}, 0, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close(t.Context())
		insert := func(org string, at time.Time) {
			if _, err := raw.db.Collection(cappedName).InsertOne(t.Context(), bson.M{"apikey": "k", "orgid": org, "timestamp": at}); err != nil {
				t.Fatal(err)
			}
		}
		insert("free", noon)
		e := &Eraser{Raw: raw, Person: p}
		actions, err := e.Plan(t.Context())
		if err != nil || len(actions) != 1 || actions[0].Held() {
			t.Fatalf("%+v, %v", actions, err)
		}
		insert("held", noon)
		insert("free", noon.Add(time.Hour))
		insert("free", noon)
		done := int64(0)
		err = e.Do(t.Context(), &actions[0], func(n int64) { done += n })
		if held := new(erase.HeldError); !errors.As(err, &held) || len(held.Holds) != 2 || done != 2 {
			t.Errorf("%d documents, %v", done, err)
		}
		if n, err := raw.db.Collection(cappedName).CountDocuments(t.Context(), bson.M{"apikey": "k"}); err != nil || n != 2 {
			t.Errorf("%d are left, %v", n, err)
		}
	}
}
