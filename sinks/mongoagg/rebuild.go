package mongoagg

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo/options"

	"sluice/aggregate"
	"sluice/internal/archive"
	"sluice/internal/mongo"
	"sluice/internal/pipeline"
	"sluice/internal/record"
)

// Snapshot is what an archive has of a span of time, as it was listed at one moment.
type Snapshot interface {
	// Rows passes on every row whose record lies in the span, and whether there may be copies of it. Objects are known to
	// be good before their first row comes. Strings of records live no longer than the call.
	Rows(ctx context.Context, do func(r *archive.Row, c archive.Copies) error) error
	// End is behind the last row of a lineage, and tells whether there are any: there is no other row below it.
	End(lineage string) (pipeline.Position, bool)
	// Covers tells whether there can be no row of a lineage below a position beside those that Rows passes on.
	Covers(lineage string, upTo pipeline.Position) bool
	// Whole tells whether the archive is known to have a lineage from its beginning.
	Whole(lineage string) bool
	// Counted is up to where this sink has taken a lineage's records, by its registry; false when that is not known.
	Counted(lineage string) (pipeline.Position, bool)
	// Elsewhere tells whether the archive has a lineage's records under the positions of another one.
	Elsewhere(lineage string) bool
}

// Rebuild replaces the counters of a span's documents with what an archive says.
type Rebuild struct {
	From, To time.Time                 // bounds of buckets
	Wants    func(*record.Record) bool // nil: all
	Orgs     []string                  // only documents of these; empty means all
	// Look lists the archive anew.
	Look func(context.Context) (Snapshot, error)
	// Patience is how long documents are tried again that a pump writes to, or whose records the archive has not got yet.
	Patience time.Duration
	Failed   func(RebuildFailure)
}

// RebuildFailure is a document that was left as it is, and why.
type RebuildFailure struct {
	Collection string    `json:"collection"`
	Org        string    `json:"org"`
	Bucket     time.Time `json:"bucket"`
	Reason     string    `json:"reason"`
}

// Rebuilt tells what became of documents.
type Rebuilt struct {
	Replaced  int64 `json:"replaced"`  // also those that were not there
	Unchanged int64 `json:"unchanged"` // had the right counters
	Failed    int64 `json:"failed"`
	Copies    int64 `json:"copies"` // records of replaced documents that were claimed again and count once
}

// Add sums up.
func (r *Rebuilt) Add(o Rebuilt) {
	r.Replaced += o.Replaced
	r.Unchanged += o.Unchanged
	r.Failed += o.Failed
	r.Copies += o.Copies
}

// rebuildMemory bounds what one pass over the rows folds, in bytes. What has no room waits for the next pass.
const rebuildMemory = 48 << 20

// rebuilding is a Rebuild under way.
type rebuilding struct {
	*Sink
	Rebuild
	shape *shape
	done  map[orgBucket]bool
	mixed map[string]bool // organisations of which documents of another width have counted in the span
	sum   Rebuilt
	looks bool // it only compares: nothing is adopted
}

// orgBucket names the documents of an organisation and bucket.
type orgBucket struct {
	org string
	at  int64
}

func (k orgBucket) time() time.Time { return time.Unix(k.at, 0).UTC() }

// Rebuild brings the documents of a span to what the archive's rows up to exactly their positions add up to. A document
// that a pump writes to meanwhile is read and folded again. Like all calls it needs an open sink; no others may run
// beside it.
func (s *Sink) Rebuild(ctx context.Context, r Rebuild) (Rebuilt, error) {
	sh := s.cfg.shape()
	b := &rebuilding{Sink: s, Rebuild: r, shape: &sh, done: map[orgBucket]bool{}, mixed: map[string]bool{}}
	if err := b.refuseOthers(ctx); err != nil {
		return b.sum, err
	}
	until := time.Now().Add(r.Patience)
	wait := rebuildAgain
	for {
		again, err := b.pass(ctx)
		switch {
		case err != nil:
			return b.sum, err
		case again.room:
			continue
		case len(again.retry) == 0:
			return b.sum, b.orphans(ctx)
		case time.Now().After(until):
			for k, why := range again.retry {
				b.fail(k, why)
			}
			return b.sum, b.orphans(ctx)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return b.sum, context.Cause(ctx)
		}
		wait = min(2*wait, rebuildAgainMax)
	}
}

// Pause before documents that could not be rebuilt are tried again.
const (
	rebuildAgain    = 200 * time.Millisecond
	rebuildAgainMax = 5 * time.Second
)

func (b *rebuilding) fail(k orgBucket, why string) {
	b.done[k] = true
	b.sum.Failed++
	name, _ := orgCollection(b.cfg.Database, k.org)
	b.Failed(RebuildFailure{Collection: name, Org: k.org, Bucket: k.time(), Reason: why})
}

// left is what a pass leaves to the next one.
type left struct {
	room  bool                 // there was no room for all
	retry map[orgBucket]string // and why
}

// pass reads the rows once and rebuilds as many documents as there is room for.
func (b *rebuilding) pass(ctx context.Context) (left, error) {
	out := left{retry: map[orgBucket]string{}}
	snap, err := b.Look(ctx)
	if err != nil {
		return out, err
	}
	folds := map[orgBucket]*refold{}
	bytes := 0
	err = snap.Rows(ctx, func(row *archive.Row, c archive.Copies) error {
		r := row.Record
		if !aggregate.Counts(r) || b.mixed[r.OrgID] || b.Wants != nil && !b.Wants(r) {
			return nil
		}
		k := orgBucket{r.OrgID, b.shape.BucketOf(r.TimeStamp)}
		f := folds[k]
		if f == nil {
			if b.done[k] {
				return nil
			}
			if bytes > rebuildMemory {
				out.room = true
				return nil
			}
			var err error
			if f, err = b.begin(ctx, k); err != nil {
				return err
			}
			folds[f.key] = f
		}
		bytes += f.add(row, c)
		return nil
	})
	if err != nil {
		return out, err
	}
	for k, f := range folds {
		why, err := b.replace(ctx, f, snap)
		if err != nil {
			return out, err
		}
		if why != "" {
			out.retry[k] = why
			continue
		}
		b.done[k] = true
	}
	return out, nil
}

// collections are those that documents of the span may lie in.
func (b *rebuilding) collections(ctx context.Context) ([]string, error) {
	if len(b.Orgs) == 0 && b.shape.Mixed {
		return []string{mixedName}, nil // it has the documents of all
	}
	if len(b.Orgs) == 0 {
		names, err := b.db.ListCollectionNames(ctx, bson.D{})
		if err != nil {
			return nil, fmt.Errorf("list collections: %w", mongo.Classify(err))
		}
		return slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, orgPrefix) }), nil
	}
	var names []string
	for _, org := range b.Orgs {
		if name, why := orgCollection(b.cfg.Database, org); why == "" {
			names = append(names, name)
		}
	}
	return names, nil
}

// storedDoc is a document of ours that stands in the store.
type storedDoc struct {
	ID        any       `bson:"_id"`
	Org       string    `bson:"orgid"`
	Timestamp time.Time `bson:"timestamp"`
}

// each visits the documents between two times that have counted something of ours.
func (b *rebuilding) each(ctx context.Context, from, to time.Time, do func(collection string, d *storedDoc)) error {
	names, err := b.collections(ctx)
	if err != nil {
		return err
	}
	filter := bson.D{{Key: "timestamp", Value: bson.D{{Key: "$gte", Value: from}, {Key: "$lt", Value: to}}},
		{Key: "sluice.pos", Value: bson.D{{Key: "$gt", Value: bson.D{}}}}}
	for _, name := range names {
		cur, err := b.db.Collection(name).Find(ctx, filter, options.Find().SetProjection(bson.D{{Key: "orgid", Value: 1}, {Key: "timestamp", Value: 1}}))
		if err != nil {
			return fmt.Errorf("look for documents to rebuild: %w", mongo.Classify(err))
		}
		for cur.Next(ctx) {
			var d storedDoc
			if err := cur.Decode(&d); err == nil {
				do(name, &d)
			}
		}
		if err := cur.Err(); err != nil {
			return fmt.Errorf("look for documents to rebuild: %w", mongo.Classify(err))
		}
	}
	return nil
}

// refuseOthers refuses the organisations of which documents of another bucket width have counted in the hours of the
// span: their records would count twice. No width crosses an hour.
func (b *rebuilding) refuseOthers(ctx context.Context) error {
	return b.each(ctx, b.From.Truncate(time.Hour), b.To, func(collection string, d *storedDoc) {
		at := d.Timestamp.Unix()
		if b.mixed[d.Org] || b.shape.BucketOf(d.Timestamp) == at && d.ID == any(documentID(d.Org, at, b.shape.Width())) {
			return
		}
		b.mixed[d.Org] = true
		b.fail(orgBucket{d.Org, at}, "a document of another bucket width has counted records of its hour in "+collection)
	})
}

// orphans names documents of which the archive has no row at all.
func (b *rebuilding) orphans(ctx context.Context) error {
	return b.each(ctx, b.From, b.To, func(_ string, d *storedDoc) {
		if k := (orgBucket{d.Org, b.shape.BucketOf(d.Timestamp)}); !b.done[k] && !b.mixed[d.Org] {
			b.fail(k, "the archive has none of the records that it counts")
		}
	})
}
