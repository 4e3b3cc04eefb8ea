package mongoagg

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
	driver "go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
	"go.mongodb.org/mongo-driver/mongo/readconcern"
	"go.mongodb.org/mongo-driver/mongo/writeconcern"

	"sluice/aggregate"
	"sluice/internal/crash"
	"sluice/internal/mongo"
	"sluice/internal/pipeline"
)

// RolledField is set in a document whose counters were rolled up: {at, rev}. While sluice.rev is still that rev, nothing
// was counted in it since.
const RolledField = "sluice.rolled"

// IsCollection tells whether a collection holds aggregate documents, and of which organisation; of the mixed one: none.
func IsCollection(name string) (org string, ok bool) {
	if name == mixedName {
		return "", true
	}
	return strings.CutPrefix(name, orgPrefix)
}

// OfOneOrganisation tells whether a collection is one organisation's own.
func OfOneOrganisation(collection string) bool { return strings.HasPrefix(collection, orgPrefix) }

// DocumentID is the _id of an organisation's document of the bucket that begins at that time.
func DocumentID(org string, bucket time.Time, width time.Duration) primitive.ObjectID {
	return documentID(org, bucket.Unix(), int64(width/time.Second))
}

// ErrTooLarge says that counters do not fit into one coarser document.
var ErrTooLarge = errors.New("the coarser document would be too large")

// RollUp is documents of an organisation that go into a coarser one.
type RollUp struct {
	Collection string
	Org        string
	Bucket     time.Time // beginning of the coarser document's time
	Width      time.Duration
	Fine       []primitive.ObjectID
	Now        time.Time
}

// Run adds the counters of the finer documents to the coarser one and takes them out of the finer ones, in one
// transaction: either all of it is done or nothing. The finer documents stay with their _ids and positions, so that a
// late update of a frozen pump misses, or adds only what is new. A document that has nothing in it is left as it is. It
// returns how many were emptied.
func (r *RollUp) Run(ctx context.Context, db *driver.Database) (int, error) {
	session, err := db.Client().StartSession()
	if err != nil {
		return 0, fmt.Errorf("roll up: %w", mongo.Classify(err))
	}
	defer session.EndSession(context.WithoutCancel(ctx))
	o := options.Transaction().SetReadConcern(readconcern.Snapshot()).SetWriteConcern(writeconcern.Majority())
	crash.Before("mongo-aggregate/roll-up")
	n, err := session.WithTransaction(ctx, func(tx driver.SessionContext) (any, error) {
		return r.in(tx, db.Collection(r.Collection))
	}, o)
	crash.After("mongo-aggregate/roll-up")
	if err != nil {
		return 0, fmt.Errorf("roll up %s of %s: %w", r.Org, r.Bucket.Format(time.RFC3339), err)
	}
	return n.(int), nil
}

// in does the work within the transaction. Its errors are the driver's, unwrapped, so that it can repeat the whole.
func (r *RollUp) in(ctx context.Context, coll *driver.Collection) (int, error) {
	cur, err := coll.Find(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: r.Fine}}}},
		options.Find().SetProjection(bson.D{{Key: "lists", Value: 0}}))
	if err != nil {
		return 0, err
	}
	defer cur.Close(ctx)
	var sum *aggregate.Delta
	var empty []driver.WriteModel
	for cur.Next(ctx) {
		d := decodeDelta(cur.Current)
		if d == nil || d.Org != r.Org {
			continue
		}
		if _, err := cur.Current.LookupErr("sluice", "adopting"); err == nil {
			return 0, errors.New("a document of the incumbent's is being taken over")
		}
		d.Bucket = r.Bucket.Unix()
		if sum == nil {
			sum = d
		} else {
			sum.Merge(d)
		}
		empty = append(empty, emptied(cur.Current, r.Now))
	}
	if err := cur.Err(); err != nil || sum == nil {
		return 0, err
	}
	if err := r.add(ctx, coll, sum); err != nil {
		return 0, err
	}
	_, err = coll.BulkWrite(ctx, empty)
	return len(empty), err
}

// add counts a sum in the coarser document and derives its fields.
func (r *RollUp) add(ctx context.Context, coll *driver.Collection, sum *aggregate.Delta) error {
	d := newDocument(docID{r.Collection, DocumentID(r.Org, r.Bucket, r.Width)}, r.Org, r.Bucket.Unix())
	if u := update(d, sum, nil, 0); len(u) > maxDocument {
		return ErrTooLarge
	} else if _, err := coll.UpdateOne(ctx, d.key(), u, options.Update().SetUpsert(true)); err != nil {
		return outgrown(err)
	}
	raw, err := coll.FindOne(ctx, d.key()).Raw()
	if err != nil {
		return err
	}
	rev, ok := revision(raw)
	if !ok {
		return errCannotDerive
	}
	d.takeCounters(raw, counterKeys{maphash.MakeSeed()})
	parts := deriveFields(raw, 0)
	for i, p := range parts {
		set := bson.D{{Key: "$set", Value: p.with(nil)}}
		if i == len(parts)-1 {
			state := bson.D{{Key: "sluice.derived", Value: rev}, {Key: "sluice.bytes", Value: int64(d.mapBytes)}}
			set = bson.D{{Key: "$set", Value: p.with(state)}, {Key: "$unset", Value: bson.D{{Key: "sluice.dirty", Value: ""}}}}
		}
		if _, err := coll.UpdateOne(ctx, d.key(), set); err != nil {
			return outgrown(err)
		}
	}
	return nil
}

// outgrown tells documents that grow beyond MongoDB's limit from other failures, which the driver may repeat.
func outgrown(err error) error {
	if c, _ := pipeline.Classify(mongo.Classify(err)); c == pipeline.PermanentBatch || hopeless(err) {
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	}
	return err
}

// decodeDelta reads what a stored document counts; nil when it counts nothing.
func decodeDelta(raw bson.Raw) *aggregate.Delta {
	total, ok := raw.Lookup("total").DocumentOK()
	if !ok {
		return nil
	}
	d := &aggregate.Delta{Total: decodeCounter(total).Counter}
	d.Org, _ = raw.Lookup("orgid").StringValueOK()
	d.ExpireAt, _ = raw.Lookup("expireAt").DateTimeOK()
	d.LastTime = d.Total.LastTime
	if at, ok := raw.Lookup("lasttime").DateTimeOK(); ok {
		d.LastTime = at
	}
	eachCounter(raw, func(dim aggregate.Dim, k aggregate.Key, c bson.Raw) {
		s := decodeCounter(c)
		if d.Dims[dim] == nil {
			d.Dims[dim] = map[aggregate.Key]*aggregate.Entry{}
		}
		s.HumanAt = s.LastTime
		d.Dims[dim][k] = &s.Entry
	})
	return d
}

// emptied takes the counters out of a document, provided that it is as it was read.
func emptied(raw bson.Raw, now time.Time) driver.WriteModel {
	rev, _ := revision(raw)
	unset := bson.D{{Key: "total", Value: ""}, {Key: "lists", Value: ""}, {Key: "sluice.dirty", Value: ""}}
	for i := range aggregate.NumDims {
		unset = append(unset, bson.E{Key: aggregate.Dim(i).String(), Value: ""})
	}
	set := bson.D{{Key: "sluice.rev", Value: rev + 1}, {Key: "sluice.derived", Value: rev + 1}, {Key: "sluice.bytes", Value: int64(0)},
		{Key: RolledField, Value: bson.D{{Key: "at", Value: now}, {Key: "rev", Value: rev + 1}}}}
	id := bson.D{{Key: "_id", Value: raw.Lookup("_id")}, {Key: "orgid", Value: raw.Lookup("orgid")}, {Key: "timestamp", Value: raw.Lookup("timestamp")}}
	return driver.NewUpdateOneModel().SetFilter(id).SetUpdate(bson.D{{Key: "$set", Value: set}, {Key: "$unset", Value: unset}})
}
