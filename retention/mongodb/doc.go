// Package mongodb is retention in MongoDB: the capped raw collection, raw collections of organisations, aggregate documents
// and their rolling up, expiry indexes, and the lease that keeps two jobs apart.
package mongodb

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	driver "go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"

	"sluice/internal/crash"
	"sluice/internal/mongo"
	"sluice/internal/units"
)

const (
	batch       = 1000 // documents of one delete
	defaultRate = 5000 // documents a second
)

// pace bounds how many documents a second are deleted, so that the server has room for others.
type pace struct {
	rate  int
	began time.Time
	n     int
}

func (p *pace) wait(ctx context.Context, n int) error {
	if p.began.IsZero() {
		p.began = time.Now()
	}
	p.n += n
	ahead := time.Duration(float64(p.n)/float64(p.rate)*float64(time.Second)) - time.Since(p.began)
	if ahead <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(ahead)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// deleteAll deletes what a filter finds, some at a time. again is held against each document once more when it is deleted.
func deleteAll(ctx context.Context, coll *driver.Collection, filter, again bson.D, p *pace, done func(int64)) error {
	for {
		ids, err := someIDs(ctx, coll, filter)
		if err != nil || len(ids) == 0 {
			return err
		}
		n, err := deleteIDs(ctx, coll, ids, again)
		if err != nil {
			return err
		}
		done(n)
		if n == 0 { // others were faster, or what it found is not to go any more
			return nil
		}
		if err := p.wait(ctx, int(n)); err != nil {
			return err
		}
	}
}

func someIDs(ctx context.Context, coll *driver.Collection, filter bson.D) (bson.A, error) {
	cur, err := coll.Find(ctx, filter, options.Find().SetProjection(bson.D{{Key: "_id", Value: 1}}).SetLimit(batch))
	if err != nil {
		return nil, fmt.Errorf("find documents of %s: %w", coll.Name(), mongo.Classify(err))
	}
	var found []bson.Raw
	if err := cur.All(ctx, &found); err != nil {
		return nil, fmt.Errorf("find documents of %s: %w", coll.Name(), mongo.Classify(err))
	}
	ids := make(bson.A, len(found))
	for i, f := range found {
		ids[i] = f.Lookup("_id")
	}
	return ids, nil
}

func deleteIDs(ctx context.Context, coll *driver.Collection, ids bson.A, again bson.D) (int64, error) {
	filter := append(bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}}, again...)
	crash.Before("retention/documents")
	res, err := coll.DeleteMany(ctx, filter)
	crash.After("retention/documents")
	if err != nil {
		return 0, fmt.Errorf("delete documents of %s: %w", coll.Name(), mongo.Classify(err))
	}
	return res.DeletedCount, nil
}

// within is the filter of a stretch of time.
func within(from, to time.Time) bson.E {
	return bson.E{Key: "timestamp", Value: bson.D{{Key: "$gte", Value: from}, {Key: "$lt", Value: to}}}
}

// sizes is what collStats says of a collection.
type sizes struct {
	Count   int64   `bson:"count"`
	Size    int64   `bson:"size"` // of the documents, uncompressed: what a cap goes by
	Capped  bool    `bson:"capped"`
	MaxSize float64 `bson:"maxSize"`
}

func (s *sizes) each() float64 {
	if s.Count == 0 {
		return 0
	}
	return float64(s.Size) / float64(s.Count)
}

func sizesOf(ctx context.Context, db *driver.Database, name string) (s sizes, err error) {
	if err = db.RunCommand(ctx, bson.D{{Key: "collStats", Value: name}}).Decode(&s); err != nil {
		err = fmt.Errorf("ask for the size of %s: %w", name, mongo.Classify(err))
	}
	return s, err
}

// free is what the file system of the server can still take, or -1 where it does not say (before 4.4, DocumentDB).
func free(ctx context.Context, db *driver.Database) int64 {
	var s struct {
		Used  float64 `bson:"fsUsedSize"`
		Total float64 `bson:"fsTotalSize"`
	}
	if err := db.RunCommand(ctx, bson.D{{Key: "dbStats", Value: 1}}).Decode(&s); err != nil || s.Total == 0 {
		return -1
	}
	return int64(s.Total - s.Used)
}

// expiryIndex tells what is wrong with the index that lets documents expire; empty: nothing.
func expiryIndex(ctx context.Context, coll *driver.Collection) (string, error) {
	specs, err := coll.Indexes().ListSpecifications(ctx)
	if err != nil {
		return "", fmt.Errorf("list the indexes of %s: %w", coll.Name(), mongo.Classify(err))
	}
	for _, s := range specs {
		var key bson.D
		if bson.Unmarshal(s.KeysDocument, &key) != nil || len(key) != 1 || key[0].Key != "expireAt" {
			continue
		}
		switch {
		case s.ExpireAfterSeconds == nil:
			return "the index on expireAt expires nothing", nil
		case *s.ExpireAfterSeconds != 0:
			return fmt.Sprintf("documents expire %s after their expireAt", units.Duration(time.Duration(*s.ExpireAfterSeconds)*time.Second)), nil
		}
		return "", nil
	}
	return "it has no index on expireAt, so that nothing expires by itself", nil
}

// setExpiry makes the expiry index, or changes the one there is. A plain index on the field becomes an expiry index from
// MongoDB 5.1 on.
func setExpiry(ctx context.Context, coll *driver.Collection) error {
	key := bson.D{{Key: "expireAt", Value: 1}}
	db := coll.Database()
	crash.Before("retention/expiry")
	err := db.RunCommand(ctx, bson.D{{Key: "createIndexes", Value: coll.Name()}, {Key: "indexes", Value: bson.A{bson.D{
		{Key: "key", Value: key}, {Key: "name", Value: "expireAt_1"}, {Key: "expireAfterSeconds", Value: 0}}}}}).Err()
	crash.After("retention/expiry")
	if code := mongo.Code(err); code == mongo.CodeIndexOptionsDiffer || code == mongo.CodeIndexKeySpecsDiffer {
		crash.Before("retention/expiry-change")
		err = db.RunCommand(ctx, bson.D{{Key: "collMod", Value: coll.Name()}, {Key: "index", Value: bson.D{
			{Key: "keyPattern", Value: key}, {Key: "expireAfterSeconds", Value: 0}}}}).Err()
		crash.After("retention/expiry-change")
	}
	if err != nil {
		return fmt.Errorf("set the expiry index of %s: %w", coll.Name(), mongo.Classify(err))
	}
	return nil
}

func dayOf(t time.Time) time.Time { return t.UTC().Truncate(units.Day) }
