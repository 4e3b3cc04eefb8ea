package mongoimport

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
	driver "go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"

	"sluice/internal/mongo"
	"sluice/internal/record"
)

// Bounds of a page: what is read, decoded and looked for in the archive at once.
const (
	pageDocuments = 5000
	pageBytes     = 16 << 20
)

// beginning is where a time's ObjectIDs begin.
func beginning(t time.Time) record.ID {
	var id record.ID
	binary.BigEndian.PutUint32(id[:4], uint32(max(0, min(t.Unix(), math.MaxUint32))))
	return id
}

// page reads the documents behind one _id, or from the first one on, and below another, in the order of _id, as many as make a page. No cursor stays open,
// so that a page may take its time and a new primary is no matter.
func page(ctx context.Context, c *driver.Collection, after *record.ID, to record.ID, limit int, do func(bson.Raw)) (n int, err error) {
	from := bson.E{Key: "$gte", Value: primitive.ObjectID{}}
	if after != nil {
		from = bson.E{Key: "$gt", Value: primitive.ObjectID(*after)}
	}
	filter := bson.D{{Key: "_id", Value: bson.D{from, {Key: "$lt", Value: primitive.ObjectID(to)}}}}
	opts := options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).SetLimit(int64(limit)).SetHint(bson.D{{Key: "_id", Value: 1}})
	cur, err := c.Find(ctx, filter, opts)
	if err != nil {
		return 0, fmt.Errorf("read documents of %s: %w", c.Name(), mongo.Classify(err))
	}
	defer func() { _ = cur.Close(context.WithoutCancel(ctx)) }() // the server ends it after a while if this fails
	for bytes := 0; bytes < pageBytes && cur.Next(ctx); n++ {
		bytes += len(cur.Current)
		do(cur.Current)
	}
	if err := cur.Err(); err != nil {
		return n, fmt.Errorf("read documents of %s: %w", c.Name(), mongo.Classify(err))
	}
	return n, nil
}

// strangers tells whether a collection has documents whose _id is no ObjectID: they lie before or behind all that are.
func strangers(ctx context.Context, c *driver.Collection) (bool, error) {
	for _, order := range []int{1, -1} {
		raw, err := c.FindOne(ctx, bson.D{}, options.FindOne().SetSort(bson.D{{Key: "_id", Value: order}}).SetProjection(bson.D{{Key: "_id", Value: 1}})).Raw()
		switch {
		case err == driver.ErrNoDocuments:
			return false, nil
		case err != nil:
			return false, fmt.Errorf("look into %s: %w", c.Name(), mongo.Classify(err))
		}
		if _, ok := raw.Lookup("_id").ObjectIDOK(); !ok {
			return true, nil
		}
	}
	return false, nil
}
