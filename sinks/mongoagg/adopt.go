package mongoagg

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
	driver "go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
	"go.mongodb.org/mongo-driver/x/bsonx/bsoncore"

	"sluice/internal/crash"
	"sluice/internal/mongo"
)

var errNoDocuments = driver.ErrNoDocuments

// adopt takes over documents that the incumbent wrote for the organisation and bucket: their counters go on in ours, so
// that the Dashboard finds one. The documents given are those that are not there under our _id.
//
// Every step may be the last before a crash. First the counters are kept as they are, as the base that a rebuild
// starts from. Then our document is inserted with them and the mark adopting, which names the old one; then the old one
// is deleted, then the mark. Whoever finds the mark goes on from there. So the counters are taken once, since only an
// insert takes them. The incumbent must not run any more: what it counts between copy and deletion would be lost.
func (s *Sink) adopt(ctx context.Context, coll *driver.Collection, absent map[primitive.ObjectID]*document) error {
	olds, err := s.incumbents(ctx, coll, absent)
	if err != nil {
		return err
	}
	for id, d := range absent {
		oldID, ok := olds[id]
		if !ok {
			d.learnAbsent()
			continue
		}
		old, err := coll.FindOne(ctx, bson.D{{Key: "_id", Value: oldID}}).Raw()
		switch {
		case errors.Is(err, errNoDocuments):
			d.forgotten() // another process was faster: read again
		case err != nil:
			return fmt.Errorf("read the incumbent's document: %w", mongo.Classify(err))
		default:
			if err := s.adoptOne(ctx, coll, d, oldID, old); err != nil {
				return err
			}
		}
	}
	return nil
}

// incumbents finds documents of the same organisation and bucket that are not ours: their _ids by those ours will have.
func (s *Sink) incumbents(ctx context.Context, coll *driver.Collection, absent map[primitive.ObjectID]*document) (map[primitive.ObjectID]primitive.ObjectID, error) {
	type place struct {
		org string
		at  int64
	}
	places, any := map[place]primitive.ObjectID{}, bson.A{}
	for id, d := range absent {
		places[place{d.org, d.bucket * 1000}] = id
		any = append(any, bson.D{{Key: "timestamp", Value: d.timestamp()}, {Key: "orgid", Value: d.org}})
	}
	cur, err := coll.Find(ctx, bson.D{{Key: "$or", Value: any}, {Key: "sluice", Value: bson.D{{Key: "$exists", Value: false}}}},
		options.Find().SetProjection(bson.D{{Key: "orgid", Value: 1}, {Key: "timestamp", Value: 1}}))
	if err != nil {
		return nil, fmt.Errorf("look for the incumbent's documents: %w", mongo.Classify(err))
	}
	var found []bson.Raw
	if err := cur.All(ctx, &found); err != nil {
		return nil, fmt.Errorf("look for the incumbent's documents: %w", mongo.Classify(err))
	}
	out := map[primitive.ObjectID]primitive.ObjectID{}
	for _, f := range found {
		org, _ := f.Lookup("orgid").StringValueOK()
		at, _ := f.Lookup("timestamp").DateTimeOK()
		id, ours := places[place{org, at}]
		old, ok := f.Lookup("_id").ObjectIDOK()
		switch {
		case !ours:
		case !ok:
			s.log.Warn("a document is not adopted: its _id is no ObjectID", "collection", coll.Name(), "org", org)
		default:
			out[id] = old
		}
	}
	return out, nil
}

func (s *Sink) adoptOne(ctx context.Context, coll *driver.Collection, d *document, oldID primitive.ObjectID, old bson.Raw) error {
	ours, err := adopted(d.id, oldID, old)
	if err != nil {
		return err
	}
	if err := s.keepBase(ctx, coll.Name(), d.id, old); err != nil {
		return err
	}
	crash.Before("mongo-aggregate/adopt-insert")
	_, err = coll.InsertOne(ctx, ours)
	crash.After("mongo-aggregate/adopt-insert")
	if err != nil {
		if driver.IsDuplicateKeyError(err) {
			d.forgotten() // another process was faster: read again
			return nil
		}
		return fmt.Errorf("adopt a document: %w", mongo.Classify(err))
	}
	if err := s.finishAdoption(ctx, coll, d, oldID); err != nil {
		return err
	}
	s.log.Info("an existing aggregate document is adopted", "collection", coll.Name(), "org", d.org, "bucket", d.timestamp(), "was", oldID.Hex())
	d.learnAbsent()
	d.takeCounters(ours, s.keys)
	d.counters, d.dirty = nil, true
	return nil
}

// adopted is the old document under our _id, without its lists, which are derived anew.
func adopted(id, oldID primitive.ObjectID, old bson.Raw) (bson.Raw, error) {
	elements, err := old.Elements()
	if err != nil {
		return nil, fmt.Errorf("read the incumbent's document: %w", err)
	}
	at, doc := bsoncore.AppendDocumentStart(nil)
	doc = bsoncore.AppendObjectIDElement(doc, "_id", id)
	bytes := int64(0)
	for _, e := range elements {
		if k := e.Key(); k != "_id" && k != "lists" {
			doc = append(doc, e...)
			bytes += int64(len(e))
		}
	}
	sub, doc := bsoncore.AppendDocumentElementStart(doc, "sluice")
	doc = bsoncore.AppendObjectIDElement(doc, "adopting", oldID)
	doc = bsoncore.AppendObjectIDElement(doc, "adopted", oldID)
	doc = bsoncore.AppendInt64Element(doc, "bytes", bytes)
	doc = bsoncore.AppendInt64Element(doc, "rev", 1)
	doc = bsoncore.AppendBooleanElement(doc, "dirty", true)
	doc, _ = bsoncore.AppendDocumentEnd(doc, sub)
	doc, err = bsoncore.AppendDocumentEnd(doc, at)
	return bson.Raw(doc), err
}

// keepBase stores the counters as they were, for rebuilds: what the archive has is added to them. One that is there
// already is the same, kept by an adoption that did not end.
func (s *Sink) keepBase(ctx context.Context, collection string, id primitive.ObjectID, old bson.Raw) error {
	elements, err := old.Elements()
	if err != nil {
		return fmt.Errorf("read the incumbent's document: %w", err)
	}
	at, doc := bsoncore.AppendDocumentStart(nil)
	for _, e := range elements {
		if e.Key() != "lists" {
			doc = append(doc, e...)
		}
	}
	doc, err = bsoncore.AppendDocumentEnd(doc, at)
	if err != nil {
		return fmt.Errorf("copy the incumbent's document: %w", err)
	}
	crash.Before("mongo-aggregate/adopt-base")
	_, err = s.db.Collection(basesName).InsertOne(ctx, bson.D{
		{Key: "_id", Value: bson.D{{Key: "collection", Value: collection}, {Key: "id", Value: id}}}, {Key: "document", Value: bson.Raw(doc)}})
	crash.After("mongo-aggregate/adopt-base")
	if err != nil && !driver.IsDuplicateKeyError(err) {
		return fmt.Errorf("keep the counters of an adopted document: %w", mongo.Classify(err))
	}
	return nil
}

// finishAdoption deletes the old document, whose counters ours has, and then the mark that says so.
func (s *Sink) finishAdoption(ctx context.Context, coll *driver.Collection, d *document, oldID primitive.ObjectID) error {
	old := bson.D{{Key: "_id", Value: oldID}, {Key: "orgid", Value: d.org}, {Key: "timestamp", Value: d.timestamp()},
		{Key: "sluice", Value: bson.D{{Key: "$exists", Value: false}}}}
	crash.Before("mongo-aggregate/adopt-delete")
	_, err := coll.DeleteOne(ctx, old)
	crash.After("mongo-aggregate/adopt-delete")
	if err != nil {
		return fmt.Errorf("delete an adopted document: %w", mongo.Classify(err))
	}
	mark := bson.D{{Key: "$unset", Value: bson.D{{Key: "sluice.adopting", Value: ""}}}}
	crash.Before("mongo-aggregate/adopt-unmark")
	_, err = coll.UpdateOne(ctx, d.key(bson.E{Key: "sluice.adopting", Value: oldID}), mark)
	crash.After("mongo-aggregate/adopt-unmark")
	if err != nil {
		return fmt.Errorf("clear the mark of an adoption: %w", mongo.Classify(err))
	}
	return nil
}
