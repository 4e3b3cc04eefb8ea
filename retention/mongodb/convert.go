package mongodb

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/bson"

	"sluice/internal/crash"
	"sluice/internal/mongo"
	"sluice/internal/units"
	"sluice/retention/plan"
	"sluice/sinks/mongoraw"
)

// convertLocks says what a conversion holds up, and why.
func convertLocks(database string, bytes int64) string {
	return fmt.Sprintf("an exclusive lock on the whole database %s: MongoDB reads all %s in the order they were stored, copies the newest that fit, and puts the "+
		"copy in the place of the old one; so that nothing written meanwhile is lost, all reads and writes of the database wait. "+
		"Gateways do not notice; pumps keep their records in Redis and go on afterwards", database, units.Size(bytes))
}

// convert makes the plain collection a capped one, and its indexes, which a conversion drops. MongoDB puts the copy in place
// with a rename at the end: killed before, nothing has changed, but for a temporary collection that its next start deletes.
// Killed before the indexes are there, the next plan has them.
func (r *Raw) convert(ctx context.Context, a *plan.Action) error {
	s, err := sizesOf(ctx, r.db, a.Target)
	if err != nil {
		return err
	}
	if !s.Capped && a.Verb == plan.ConvertCapped {
		crash.Before("retention/convert")
		err := r.db.RunCommand(ctx, bson.D{{Key: "convertToCapped", Value: a.Target}, {Key: "size", Value: a.Size}}).Err()
		crash.After("retention/convert")
		if err != nil {
			return fmt.Errorf("convert %s to a capped collection (not in a sharded cluster, nor in DocumentDB): %w", a.Target, mongo.Classify(err))
		}
	}
	return mongoraw.MakeIndexes(ctx, r.db, r.log)
}
