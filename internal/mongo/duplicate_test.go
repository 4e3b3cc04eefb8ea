package mongo

import (
	"testing"

	"go.mongodb.org/mongo-driver/bson"
	driver "go.mongodb.org/mongo-driver/mongo"
)

// TestClash reads the index from errors of servers of all ages and makes.
func TestClash(t *testing.T) {
	const db, coll = "d", "a index: _id_ " // a name that imitates the message
	at := "E11000 duplicate key error collection: d." + coll
	pattern := func(fields ...string) bson.Raw {
		var d bson.D
		for _, f := range fields {
			d = append(d, bson.E{Key: f, Value: 1})
		}
		raw, err := bson.Marshal(bson.D{{Key: "keyPattern", Value: d}})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	for _, tt := range []struct {
		e    driver.WriteError
		want Clash
	}{
		{driver.WriteError{Message: at + " index: _id_ dup key: { _id: 1 }"}, ClashID},
		{driver.WriteError{Message: at + " index: _id_"}, ClashID},
		{driver.WriteError{Message: at + " index: alias_1 dup key: { alias: \" index: _id_ \" }"}, ClashOther},
		{driver.WriteError{Message: at + " index: _id_not dup key: {}"}, ClashOther},
		{driver.WriteError{Message: "E11000 duplicate key error index: _id_"}, ClashUnknown},
		{driver.WriteError{Message: "something else"}, ClashUnknown},
		{driver.WriteError{Raw: pattern("_id"), Message: "in words nobody knows"}, ClashID},
		{driver.WriteError{Raw: pattern("_id", "x"), Message: at + " index: _id_ dup key"}, ClashOther},
		{driver.WriteError{Raw: pattern("alias"), Message: at + " index: _id_ dup key"}, ClashOther},
	} {
		if got := ClashOf(&tt.e, db, coll); got != tt.want {
			t.Errorf("%q %v: %d, want %d", tt.e.Message, tt.e.Raw, got, tt.want)
		}
	}
}
