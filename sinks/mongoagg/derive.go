package mongoagg

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
	driver "go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"sluice/internal/crash"
	"sluice/internal/mongo"
	"sluice/internal/pipeline"
)

// sweepEvery is how often marks are looked for that other processes left behind.
const sweepEvery = 10 * time.Minute

// deriveEvery is how long derived fields may be behind. Writing them costs about as much as thirty updates.
const deriveEvery = 5 * time.Second

// Deriving a document reads all of it and writes every list that changed as a whole, so that a large one rests for longer:
// deriveEvery for each deriveSmall bytes of its maps, up to maxRest.
const (
	deriveSmall = 256 << 10
	maxRest     = time.Minute
)

// rest is how long after a derivation the next one of the document is due.
func (d *document) rest() time.Duration {
	if d.mapBytes <= deriveSmall {
		return 0 // at every turn
	}
	return min(maxRest, deriveEvery*time.Duration(1+d.mapBytes/deriveSmall))
}

// deriveFor is how long one flush derives when it is not the last one: a backlog over many buckets makes many documents,
// and counting goes first.
const deriveFor = 5 * time.Second

// deriveMemory bounds the documents that are derived at a time, in bytes: each is there as it was read, decoded, and as
// it will be written.
const (
	deriveMemory = 48 << 20
	deriveCopies = 6
	deriveLeast  = 2 << 20
)

// derive brings the derived fields of the documents that were written up to date: averages, error lists, lists. The
// counters are read back, since other processes add to them too. What cannot be derived is logged and stays marked.
func (s *Sink) derive(ctx context.Context, all bool) error {
	for {
		found, err := s.look(ctx)
		if err != nil {
			return err
		}
		if err = s.deriveKnown(ctx, all); err != nil || !all || len(s.more) == 0 || found == 0 {
			return err
		}
	}
}

func (s *Sink) deriveKnown(ctx context.Context, all bool) error {
	began := s.now()
	room := semaphore.NewWeighted(deriveMemory)
	g, grouped := errgroup.WithContext(ctx)
	for _, d := range s.docs {
		if !d.dirty || d.bad != "" || !all && began.Before(d.derived.Add(d.rest())) {
			continue
		}
		weight := int64(min(deriveMemory, max(deriveLeast, d.mapBytes*deriveCopies)))
		if !all && s.now().Sub(began) > deriveFor || room.Acquire(grouped, weight) != nil {
			break
		}
		g.Go(func() error {
			defer room.Release(weight)
			return s.deriveDocument(grouped, d)
		})
	}
	err := g.Wait()
	s.derived = s.now()
	if err == nil {
		err = ctx.Err()
	}
	return err
}

// deriveDocument touches nothing but its document. It returns errors that concern more than this one.
func (s *Sink) deriveDocument(ctx context.Context, d *document) error {
	clean, err := s.deriveOne(ctx, d)
	d.derived = s.now()
	switch {
	case err == nil:
		d.dirty = !clean
	case hopeless(err):
		d.dirty = false
		s.log.Error("derived fields cannot be written", "collection", d.collection, "id", d.id.Hex(), "err", err)
	default:
		return err
	}
	return nil
}

func hopeless(err error) bool {
	var we driver.WriteException
	if errors.As(err, &we) {
		for _, e := range we.WriteErrors {
			if mongo.Hopeless(e.Code) {
				return true
			}
		}
	}
	c, _ := pipeline.Classify(err)
	return c == pipeline.PermanentBatch || errors.Is(err, errCannotDerive)
}

var errCannotDerive = errors.New("the stored document cannot be read")

// deriveOne writes a document's derived fields if they rest on newer counters than what is stored, and takes the mark
// away if the counters did not change meanwhile. It tells whether the mark is gone.
func (s *Sink) deriveOne(ctx context.Context, d *document) (clean bool, err error) {
	coll := s.db.Collection(d.collection)
	raw, err := coll.FindOne(ctx, d.key()).Raw()
	if errors.Is(err, errNoDocuments) {
		return true, nil // it has expired
	}
	if err != nil {
		return false, fmt.Errorf("read a document back: %w", mongo.Classify(err))
	}
	if old, ok := raw.Lookup("sluice", "adopting").ObjectIDOK(); ok {
		if err := s.finishAdoption(ctx, coll, d, old); err != nil {
			return false, err
		}
	}
	rev, ok := revision(raw)
	if !ok {
		return false, errCannotDerive
	}
	s.measure(d, raw)
	parts := deriveFields(raw, d.top)
	unchanged := bson.E{Key: "sluice.rev", Value: rev}
	unmark := bson.E{Key: "$unset", Value: bson.D{{Key: "sluice.dirty", Value: ""}}}
	state := bson.D{{Key: "sluice.derived", Value: rev}, {Key: "sluice.bytes", Value: int64(d.mapBytes)}}
	if len(parts) == 1 {
		n, err := setDerived(ctx, coll, d.key(unchanged), bson.D{{Key: "$set", Value: parts[0].with(state)}, unmark})
		if err != nil || n == 1 {
			return err == nil, err
		}
	}
	// somebody adds to it all the time, or it is too much for one update: newer than what is there is good enough
	older := bson.E{Key: "$or", Value: bson.A{bson.D{{Key: "sluice.derived", Value: bson.D{{Key: "$lt", Value: rev}}}},
		bson.D{{Key: "sluice.derived", Value: bson.D{{Key: "$exists", Value: false}}}}}}
	for i, p := range parts {
		set := p.with(nil)
		if i == len(parts)-1 {
			set = p.with(state[:1])
		}
		if len(set) <= 5 {
			continue
		}
		if _, err := setDerived(ctx, coll, d.key(older), bson.D{{Key: "$set", Value: set}}); err != nil {
			return false, err
		}
	}
	done := bson.E{Key: "sluice.derived", Value: rev}
	n, err := setDerived(ctx, coll, d.key(unchanged, done), bson.D{{Key: "$set", Value: state}, unmark})
	return n == 1, err
}

// setDerived writes derived fields and returns how many documents the filter found: one or none.
func setDerived(ctx context.Context, coll *driver.Collection, filter, update bson.D) (int64, error) {
	crash.Before("mongo-aggregate/derive")
	res, err := coll.UpdateOne(ctx, filter, update)
	crash.After("mongo-aggregate/derive")
	if err != nil {
		return 0, fmt.Errorf("write derived fields: %w", mongo.Classify(err))
	}
	return res.MatchedCount, nil
}

func revision(raw bson.Raw) (int64, bool) {
	v, err := raw.LookupErr("sluice", "rev")
	return integer(v), err == nil
}

// measure notes what the maps take. Documents that are getting full keep what counters there are.
func (s *Sink) measure(d *document, raw bson.Raw) {
	d.takeCounters(raw, s.keys)
	if d.mapBytes < nearlyFull && !d.tight {
		d.counters = nil
	}
}

// nearlyFull is from how many bytes on the counters of a document are kept in mind, so that it need not be read again.
const nearlyFull = 2 << 20

// look finds documents that other processes left marked, when it is time to: everywhere, or where the last look did not
// take on all. It returns how many were not known.
func (s *Sink) look(ctx context.Context) (found int, err error) {
	names := s.more
	everywhere := s.now().Sub(s.swept) >= sweepEvery
	if everywhere {
		if names, err = s.ofAggregates(ctx); err != nil {
			return 0, err
		}
	}
	var more []string
	for _, name := range names {
		n, full, err := s.sweep(ctx, name)
		if err != nil {
			return 0, err
		}
		if found += n; full {
			more = append(more, name)
		}
	}
	if s.more = more; everywhere {
		s.swept = s.now()
	}
	return found, nil
}

// ofAggregates names the collections that may hold aggregate documents.
func (s *Sink) ofAggregates(ctx context.Context) ([]string, error) {
	names, err := s.db.ListCollectionNames(ctx, bson.D{}) // not by a pattern, which some servers do not take there
	if err != nil {
		return nil, fmt.Errorf("list collections: %w", mongo.Classify(err))
	}
	return slices.DeleteFunc(names, func(name string) bool {
		_, ok := IsCollection(name)
		return !ok
	}), nil
}

// maxSwept bounds what one look takes on in a collection; once that is derived the next goes on.
const maxSwept = 1000

// sweep looks in one collection. It returns how many marked documents were not known, and whether there may be more that
// can be derived.
func (s *Sink) sweep(ctx context.Context, collection string) (fresh int, full bool, err error) {
	cur, err := s.marked(ctx, s.db.Collection(collection))
	if err != nil {
		return 0, false, err
	}
	var found []struct {
		ID        primitive.ObjectID `bson:"_id"`
		Org       string             `bson:"orgid"`
		Timestamp time.Time          `bson:"timestamp"`
	}
	if err := cur.All(ctx, &found); err != nil {
		return 0, false, fmt.Errorf("look for documents to derive: %w", mongo.Classify(err))
	}
	for _, f := range found {
		id := docID{collection, f.ID}
		d := s.docs[id]
		if d == nil {
			d = newDocument(id, f.Org, f.Timestamp.Unix())
			d.top, d.used = s.cfg.Top, s.flushes
			s.docs[id] = d
		}
		if !d.dirty {
			fresh++
		}
		d.dirty = true
		full = full || d.bad == ""
	}
	return fresh, full && len(found) >= s.sweeps, nil
}

// marked finds marked documents with the index of marks. That the mark exists is said twice, for servers that otherwise
// do not use a sparse index (Amazon DocumentDB, which may not take the hint).
func (s *Sink) marked(ctx context.Context, coll *driver.Collection) (*driver.Cursor, error) {
	filter := bson.D{{Key: "sluice.dirty", Value: bson.D{{Key: "$exists", Value: true}, {Key: "$eq", Value: true}}}}
	o := options.Find().SetLimit(int64(s.sweeps)).SetProjection(bson.D{{Key: "orgid", Value: 1}, {Key: "timestamp", Value: 1}})
	cur, err := coll.Find(ctx, filter, o, options.Find().SetHint(dirtyIndex().Key))
	switch code := mongo.Code(err); {
	case code == codeBadValue || code == codeNoIndex:
		filter, err = s.readable(ctx, coll, filter)
		if err == nil {
			cur, err = coll.Find(ctx, filter, o)
		}
	case mongo.Unsupported(code):
		cur, err = coll.Find(ctx, filter, o)
	}
	if err != nil {
		return nil, fmt.Errorf("look for documents to derive: %w", mongo.Classify(err))
	}
	return cur, nil
}

// recent is how far back marks are looked for in a large collection without the index of marks.
const recent = 48 * time.Hour

// readable narrows a filter for a collection without the index of marks: its user may not make indexes, or its turn has
// not come. All of a small one is read; of a large one what belongs to recent buckets, which begin with their time.
func (s *Sink) readable(ctx context.Context, coll *driver.Collection, filter bson.D) (bson.D, error) {
	n, err := coll.EstimatedDocumentCount(ctx)
	if err != nil || n <= maxSwept {
		return filter, err
	}
	var from primitive.ObjectID
	binary.BigEndian.PutUint32(from[:], uint32(s.now().Add(-recent).Unix()))
	return append(bson.D{{Key: "_id", Value: bson.D{{Key: "$gte", Value: from}}}}, filter...), nil
}

// What a server answers to a hint for an index that is not there: 2 up to now, 27 where it has none of the collection.
const (
	codeBadValue = 2
	codeNoIndex  = 27
)
