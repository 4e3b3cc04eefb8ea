package mongoagg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"

	"sluice/aggregate"
	"sluice/internal/archive"
	"sluice/internal/mongo"
	"sluice/internal/pipeline"
	"sluice/internal/record"
)

// refold is the documents of an organisation and bucket as the archive's rows add up to them.
type refold struct {
	key  orgBucket
	docs []*target
	bad  string // why they cannot be rebuilt
}

// target is one stored document and what is folded for it.
type target struct {
	*document
	raw    bson.Raw // as it was read; nil: there is none
	base   bson.Raw // the incumbent's counters that it began with; nil: none
	rev    int64
	exists bool // there is one with our bookkeeping: its positions are what to fold up to

	uncounted int64 // rows that it should have counted, by the ledger, and has not
	*tallied
}

// tallied is a sum that grows. Two documents with the same positions share one.
type tallied struct {
	shape aggregate.Shape
	fold  *aggregate.Fold
	open  *aggregate.Document
	sum   *aggregate.Delta
	ends  map[string]bool // lineages that had a row

	distinct archive.Distinct
	copies   int64 // requests that came again and were left out
	keeps    bool  // the copies are folded as well, apart
	again    *tallied
}

// foldBytes is how much a fold may hold before it is summed up, in bytes.
const foldBytes = 8 << 20

// begin reads the documents of an organisation and bucket.
func (b *rebuilding) begin(ctx context.Context, k orgBucket) (*refold, error) {
	k.org = strings.Clone(k.org)
	f := &refold{key: k}
	name, why := orgCollection(b.cfg.Database, k.org)
	if why != "" {
		f.bad = why
		return f, nil
	}
	id := documentID(k.org, k.at, b.shape.Width())
	names := []string{name}
	if b.shape.Mixed {
		names = append(names, mixedName)
	}
	for _, name := range names {
		d := newDocument(docID{name, id}, k.org, k.at)
		d.top = b.shape.Top
		t := &target{document: d}
		if err := b.load(ctx, t); err != nil {
			return nil, err
		}
		if rolled, ok := t.raw.Lookup("sluice", "rolled", "rev").AsInt64OK(); t.raw != nil && ok && rolled > 0 {
			f.bad = "its counters were rolled up into a coarser document"
		}
		f.docs = append(f.docs, t)
	}
	if err := b.coarser(ctx, f); err != nil {
		return nil, err
	}
	for i, t := range f.docs {
		t.tallied = &tallied{shape: b.shape.Shape, ends: map[string]bool{}, keeps: b.looks}
		if i > 0 && t.sameTarget(f.docs[0]) {
			t.tallied = f.docs[0].tallied
		}
	}
	return f, nil
}

// coarser says when a document that is not there may have been rolled up into one of a day.
func (b *rebuilding) coarser(ctx context.Context, f *refold) error {
	for _, t := range f.docs {
		if t.raw != nil {
			continue
		}
		day := f.key.time().Truncate(24 * time.Hour)
		n, err := b.db.Collection(t.collection).CountDocuments(ctx, bson.D{{Key: "_id", Value: documentID(f.key.org, day.Unix(), int64(24*time.Hour/time.Second))}})
		if err != nil {
			return fmt.Errorf("look for a coarser document: %w", mongo.Classify(err))
		}
		if n > 0 {
			f.bad = "it is gone, and a document of its day has its counters"
		}
	}
	return nil
}

// load reads a document, finishing or beginning the adoption of an incumbent's unless it only looks.
func (b *rebuilding) load(ctx context.Context, t *target) error {
	if !b.looks {
		apart, err := b.readPositions(ctx, t.collection, []*document{t.document})
		if err := cmp.Or(err, apart[t.document]); err != nil {
			return err
		}
	}
	raw, err := b.db.Collection(t.collection).FindOne(ctx, t.key()).Raw()
	switch {
	case errors.Is(err, errNoDocuments):
		t.raw = nil
	case err != nil:
		return fmt.Errorf("read a document: %w", mongo.Classify(err))
	default:
		t.raw = raw
	}
	t.rev, t.exists = revision(t.raw)
	clear(t.pos)
	if t.exists {
		if err := t.takePositions(); err != nil {
			return err
		}
	}
	return b.loadBase(ctx, t)
}

// takePositions takes the positions from the document itself, so that they belong to its revision.
func (t *target) takePositions() error {
	m, ok := t.raw.Lookup("sluice", "pos").DocumentOK()
	if !ok {
		return nil
	}
	es, err := m.Elements()
	if err != nil {
		return pipeline.Permanent(fmt.Errorf("read positions of %s: %w", t.id.Hex(), err))
	}
	for _, e := range es {
		s, _ := e.Value().StringValueOK()
		if t.pos[e.Key()], err = pipeline.ParsePosition(s); err != nil {
			return pipeline.Permanent(fmt.Errorf("read positions of %s: %w", t.id.Hex(), err))
		}
	}
	return nil
}

// loadBase reads the counters that an adopted document began with. One that was adopted and is gone began with them too.
func (b *rebuilding) loadBase(ctx context.Context, t *target) error {
	_, adopted := t.raw.Lookup("sluice", "adopted").ObjectIDOK()
	if t.raw != nil && !adopted {
		return nil
	}
	var kept struct {
		Document bson.Raw `bson:"document"`
	}
	id := bson.D{{Key: "collection", Value: t.collection}, {Key: "id", Value: t.id}}
	err := b.db.Collection(basesName).FindOne(ctx, bson.D{{Key: "_id", Value: id}}).Decode(&kept)
	switch {
	case errors.Is(err, errNoDocuments) && adopted:
		t.bad = "it was adopted from another pump, and " + basesName + " does not have its first counters any more"
	case errors.Is(err, errNoDocuments):
	case err != nil:
		return fmt.Errorf("read the counters of an adopted document: %w", mongo.Classify(err))
	default:
		t.base = kept.Document
	}
	return nil
}

// sameTarget tells whether two documents are to be folded up to the same.
func (t *target) sameTarget(o *target) bool {
	if t.exists != o.exists || len(t.pos) != len(o.pos) {
		return false
	}
	for l, p := range t.pos {
		if q, ok := o.pos[l]; !ok || q != p {
			return false
		}
	}
	return true
}

// wants tells whether the document is to have counted a row.
func (t *target) wants(lineage string, at pipeline.Position) bool {
	if !t.exists {
		return true
	}
	p, ok := t.pos[lineage]
	return ok && at.Compare(p) < 0
}

// add folds a row and returns by how much the memory grew.
func (f *refold) add(row *archive.Row, c archive.Copies) (bytes int) {
	if f.bad != "" {
		return 0
	}
	lineage := aggregate.EscapeKey(row.Stream.Lineage)
	for i, t := range f.docs {
		if t.wants(lineage, row.Position) && (i == 0 || t.tallied != f.docs[0].tallied) {
			bytes += t.tallied.add(f.key, lineage, row, c)
		}
	}
	return bytes
}

// add folds a row, unless it is a copy of one that was folded: of all rows below the document's positions each record
// counts once.
func (t *tallied) add(k orgBucket, lineage string, row *archive.Row, c archive.Copies) int {
	r := row.Record
	if !t.ends[lineage] {
		t.ends[strings.Clone(lineage)] = true
	}
	if !t.distinct.First(row, c) {
		if r.ResponseCode != aggregate.TCPReport {
			t.copies++
		}
		if !t.keeps {
			return 0
		}
		if t.again == nil {
			t.again = &tallied{shape: t.shape}
		}
		return t.again.one(k, r)
	}
	return t.one(k, r)
}

// one folds one record.
func (t *tallied) one(k orgBucket, r *record.Record) int {
	if t.open == nil {
		t.fold = aggregate.NewFold(t.shape)
		t.open = t.fold.Document(k.org, k.at)
	}
	before := t.open.Bytes()
	t.open.Add(r)
	after := t.open.Bytes()
	if after > foldBytes {
		t.sumUp()
		return 0 // what is left of it is bounded by what a document may have
	}
	return after - before
}

// sumUp moves what is folded into the sum, which is kept as small as a document must be.
func (t *tallied) sumUp() {
	if t.open == nil {
		return
	}
	d := t.open.Delta()
	t.open, t.fold = nil, nil
	if t.sum == nil {
		t.sum = d
	} else {
		t.sum.Merge(d)
	}
	if t.sum.StoredBytes().Total() > aggregate.SafeTotal {
		var sizes aggregate.Sizes
		t.sum.Fit(&sizes, func(aggregate.Dim, aggregate.Key) bool { return false })
	}
}

// total is everything that was folded.
func (t *tallied) total(k orgBucket) *aggregate.Delta {
	t.sumUp()
	if t.sum == nil {
		t.sum = &aggregate.Delta{Org: aggregate.Clean(k.org), Bucket: k.at}
	}
	return t.sum
}

func objectID(id primitive.ObjectID) bson.RawValue {
	return bson.RawValue{Type: bson.TypeObjectID, Value: id[:]}
}
