package mongoagg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
	"go.mongodb.org/mongo-driver/mongo/options"
	"golang.org/x/sync/errgroup"

	"sluice/aggregate"
	"sluice/internal/mongo"
	"sluice/internal/pipeline"
)

// parallel is how many collections are read or written at a time: each waits for a majority and its journal, so that ten
// thousand organisations take ten thousand such waits.
const parallel = 16

// byCollection runs do for the documents of each collection, some at a time. do must touch nothing but its documents.
func byCollection(docs []*document, do func(collection string, docs []*document)) {
	groups := map[string][]*document{}
	for _, d := range docs {
		groups[d.collection] = append(groups[d.collection], d)
	}
	var g errgroup.Group
	g.SetLimit(parallel)
	for c, ds := range groups {
		g.Go(func() error { do(c, ds); return nil })
	}
	_ = g.Wait() // it has none to report
}

// read learns the positions of the documents of which they are not known, and sees to their collections. A document
// that cannot be read is left.
func (f *flushing) read(ctx context.Context, docs []*document) {
	var unknown []*document
	for _, d := range docs {
		if !d.known {
			unknown = append(unknown, d)
		}
	}
	var mu sync.Mutex
	failed := map[*document]error{}
	f.prepareAll(ctx, unknown, failed)
	unknown = without(unknown, failed)
	byCollection(unknown, func(collection string, ds []*document) {
		for len(ds) > 0 {
			n := min(len(ds), 500)
			apart, err := f.readPositions(ctx, collection, ds[:n])
			mu.Lock()
			for _, d := range ds[:n] {
				if err := cmp.Or(err, apart[d]); err != nil {
					failed[d] = err
				}
			}
			mu.Unlock()
			ds = ds[n:]
		}
	})
	f.sortOut(failed)
}

// sortOut leaves or condemns documents that failed.
func (f *flushing) sortOut(failed map[*document]error) {
	for d, err := range failed {
		if c, _ := pipeline.Classify(err); c == pipeline.PermanentBatch {
			f.condemn(d, err)
		}
		f.leave(d, err)
	}
}

func without(docs []*document, failed map[*document]error) (out []*document) {
	for _, d := range docs {
		if failed[d] == nil {
			out = append(out, d)
		}
	}
	return out
}

// bookkeeping is what of ours stands in a stored document, under the field sluice.
type bookkeeping struct {
	ID        primitive.ObjectID `bson:"_id"`
	Org       bson.RawValue      `bson:"orgid"`
	Timestamp bson.RawValue      `bson:"timestamp"`
	Sluice    struct {
		Layout    int64              `bson:"v"`
		Positions map[string]string  `bson:"pos"`
		MapBytes  int64              `bson:"bytes"`
		Adopting  primitive.ObjectID `bson:"adopting"`
		Dirty     bool               `bson:"dirty"`
	} `bson:"sluice"`
}

var justBookkeeping = bson.D{{Key: "orgid", Value: 1}, {Key: "timestamp", Value: 1}, {Key: "sluice.v", Value: 1}, {Key: "sluice.pos", Value: 1}, {Key: "sluice.bytes", Value: 1}, {Key: "sluice.adopting", Value: 1}, {Key: "sluice.dirty", Value: 1}}

// readPositions reads with the client's concern: what a majority has, at the primary. What only a minority has may be
// rolled back, and what rests on it would be lost. apart are the errors that concern one document alone.
func (s *Sink) readPositions(ctx context.Context, collection string, docs []*document) (apart map[*document]error, err error) {
	coll := s.db.Collection(collection)
	ids, byID := make(bson.A, len(docs)), map[primitive.ObjectID]*document{}
	for i, d := range docs {
		ids[i], byID[d.id] = d.id, d
	}
	cur, err := coll.Find(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}}, options.Find().SetProjection(justBookkeeping))
	if err != nil {
		return nil, fmt.Errorf("read positions: %w", mongo.Classify(err))
	}
	var found []bookkeeping
	if err := cur.All(ctx, &found); err != nil {
		return nil, fmt.Errorf("read positions: %w", mongo.Classify(err))
	}
	apart = map[*document]error{}
	for i := range found {
		b := &found[i]
		if !b.Sluice.Adopting.IsZero() {
			if err := s.finishAdoption(ctx, coll, byID[b.ID], b.Sluice.Adopting); err != nil {
				return nil, err
			}
		}
		if err := byID[b.ID].learn(b); err != nil {
			apart[byID[b.ID]] = err
		}
		delete(byID, b.ID)
	}
	if len(byID) == 0 {
		return apart, nil
	}
	return apart, s.adopt(ctx, coll, byID)
}

// bookLayout is that of the bookkeeping, as sluice.v; documents of this layout have no such field. Another layout keeps its positions and
// revisions under other names: so no update of this one, which names them by equality, finds a document of a newer one.
const bookLayout = 1

// learn takes over what was read.
func (d *document) learn(b *bookkeeping) error {
	d.forgotten()
	if b.Sluice.Layout > bookLayout {
		return fmt.Errorf("%w: the bookkeeping of document %s has layout %d, this program knows %d; its records wait",
			pipeline.ErrNewer, d.id.Hex(), b.Sluice.Layout, bookLayout)
	}
	org, _ := b.Org.StringValueOK()
	if at, ok := b.Timestamp.DateTimeOK(); !ok || org != d.org || at != d.bucket*1000 {
		return pipeline.Permanent(fmt.Errorf("document %s has the organisation or time of another: no update finds it", d.id.Hex()))
	}
	for l, p := range b.Sluice.Positions {
		at, err := pipeline.ParsePosition(p)
		if err != nil {
			return pipeline.Permanent(fmt.Errorf("read positions of %s: %w", d.id.Hex(), err))
		}
		d.pos[l] = at
	}
	d.known, d.mapBytes = true, int(b.Sluice.MapBytes)
	d.dirty = d.dirty || b.Sluice.Dirty // perhaps by an update of ours that nobody confirmed
	return nil
}

// learnAbsent says that there is no such document.
func (d *document) learnAbsent() {
	d.forgotten()
	d.known, d.mapBytes = true, 0
}

// loadCounters reads what counters a document has, and what they take.
func (s *Sink) loadCounters(ctx context.Context, d *document) error {
	raw, err := s.db.Collection(d.collection).FindOne(ctx, d.key(),
		options.FindOne().SetProjection(bson.D{{Key: "lists", Value: 0}})).Raw()
	if err != nil && !errors.Is(err, errNoDocuments) {
		return fmt.Errorf("read counters of %s: %w", d.id.Hex(), mongo.Classify(err))
	}
	d.takeCounters(raw, s.keys)
	return nil
}

func (d *document) takeCounters(raw bson.Raw, keys counterKeys) {
	d.counters, d.sizes = map[uint64]bool{}, aggregate.Sizes{}
	eachCounter(raw, func(dim aggregate.Dim, k aggregate.Key, c bson.Raw) {
		d.counters[keys.of(dim, k)] = true
		d.sizes[dim] += len(k.Outer) + len(k.Name) + len(c) + counterOverhead
	})
	d.mapBytes = d.sizes.Total()
}

// counterOverhead is a field's type byte and the NUL behind its name, and some of what the list's entry takes more.
const counterOverhead = 16
