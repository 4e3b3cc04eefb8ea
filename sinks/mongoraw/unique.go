package mongoraw

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
	"go.mongodb.org/mongo-driver/mongo/options"
	"go.mongodb.org/mongo-driver/mongo/readconcern"

	"sluice/internal/mongo"
	"sluice/internal/record"
)

func bsonRaw(b []byte) bson.Raw { return b }

// settleClashes decides about documents that another unique index refused: somebody made one. A server looks at _id
// first, but that is its own affair, so those that are there count as delivered; the others can never be. Local reads
// do: the insert that failed has waited for a majority to have all that was written before.
func (in *inserter) settleClashes(ctx context.Context, items []int) {
	if len(items) == 0 {
		return
	}
	ids := make(bson.A, len(items))
	for n, i := range items {
		ids[n] = primitive.ObjectID(in.batch.Items[i].ID)
	}
	c := in.db.Collection(in.to.name, options.Collection().SetReadConcern(readconcern.Local()))
	cursor, err := c.Find(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}},
		options.Find().SetProjection(bson.D{{Key: "_id", Value: 1}}))
	var there []struct {
		ID primitive.ObjectID `bson:"_id"`
	}
	if err == nil {
		err = cursor.All(ctx, &there)
	}
	if err != nil {
		in.tally.Retry(items, fmt.Errorf("look for documents in %s: %w", in.to.name, mongo.Classify(err)))
		return
	}
	delivered := make(map[record.ID]bool, len(there))
	for _, d := range there {
		delivered[record.ID(d.ID)] = true
	}
	for _, i := range items {
		if !delivered[in.batch.Items[i].ID] {
			in.tally.Dead(i, in.to.name+" has a unique index beside that of _id, and another document with the same key")
		}
	}
}
