package mongoagg

import (
	"context"
	"fmt"
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

// Comparison holds the documents of a span against what an archive's rows add up to, below exactly the positions that
// the documents have.
type Comparison struct {
	From, To time.Time                 // bounds of buckets
	Wants    func(*record.Record) bool // nil: all
	// Look lists the archive anew.
	Look func(context.Context) (Snapshot, error)
	// Counted is up to where the sink has taken a lineage's records, read before the comparison began.
	Counted func(lineage string) (pipeline.Position, bool)
	// Skip tells whether a row never reached the documents, and rightly: dead letters, and what is spooled.
	Skip func(*archive.Row) bool
	// Gone tells whether a document of that organisation and bucket may have been deleted by a rule.
	Gone func(org string, bucket time.Time) bool
	// Patience is how long to wait for an archive that has not got all that the documents count.
	Patience time.Duration
	Found    func(Finding)
}

// Kinds of findings.
const (
	FindMissing  = "missing"  // the archive has records of a document that is not there
	FindStrange  = "strange"  // the archive has none of what a document counts
	FindDiffers  = "differs"  // counters are not what the archive adds up to
	FindCopies   = "copies"   // records that were claimed again count twice
	FindInFlight = "inflight" // the archive has not got all of it yet, or a pump writes all the time
	FindUntold   = "untold"   // it cannot be told, and why
)

// Finding is what a comparison says of one document.
type Finding struct {
	Kind       string
	Collection string
	Org        string
	Bucket     time.Time
	Reason     string
	Hits       int64 // requests that the document counts
	Want       int64 // that it should
}

// comparing is a Comparison under way.
type comparing struct {
	rebuilding
	c        Comparison
	compared int64
}

// Compare tells what differs and how many documents were compared. It writes nothing and needs a sink that was opened to
// read. Its memory is that of a rebuild: some 48 MiB of documents and folds at a time.
func (s *Sink) Compare(ctx context.Context, c Comparison) (compared int64, err error) {
	sh := s.cfg.shape()
	k := &comparing{c: c, rebuilding: rebuilding{Sink: s, shape: &sh, done: map[orgBucket]bool{}, mixed: map[string]bool{}, looks: true,
		Rebuild: Rebuild{From: c.From, To: c.To, Wants: c.Wants}}}
	until := time.Now().Add(c.Patience)
	for {
		more, err := k.pass(ctx, until)
		if err != nil || !more {
			return k.compared, err
		}
	}
}

// pass compares as many documents as there is room for and tells whether there are more.
func (k *comparing) pass(ctx context.Context, until time.Time) (more bool, err error) {
	folds := map[orgBucket]*refold{}
	room := rebuildMemory
	if more, err = k.stored(ctx, folds, &room); err != nil {
		return false, err
	}
	snap, err := k.await(ctx, folds, until)
	if err != nil {
		return false, err
	}
	err = snap.Rows(ctx, func(row *archive.Row, c archive.Copies) error {
		r := row.Record
		if !aggregate.Counts(r) || k.mixed[r.OrgID] || k.c.Wants != nil && !k.c.Wants(r) || k.c.Skip(row) {
			return nil
		}
		key := orgBucket{r.OrgID, k.shape.BucketOf(r.TimeStamp)}
		f := folds[key]
		if f == nil {
			if k.done[key] {
				return nil
			}
			if room <= 0 {
				more = true
				return nil
			}
			if f, err = k.begin(ctx, key); err != nil {
				return err
			}
			folds[f.key] = f
			k.done[f.key] = true
		}
		room -= k.add(f, row, c)
		return nil
	})
	if err != nil {
		return false, err
	}
	for _, f := range folds {
		if err := k.judge(f, snap); err != nil {
			return false, err
		}
	}
	return more, nil
}

// stored reads the documents of the span that are not compared yet, as far as there is room.
func (k *comparing) stored(ctx context.Context, folds map[orgBucket]*refold, room *int) (more bool, err error) {
	var keys []orgBucket
	err = k.every(ctx, func(collection string, d *anyDoc) {
		key := orgBucket{d.Org, k.shape.BucketOf(d.Timestamp)}
		switch {
		case k.done[key] || k.mixed[d.Org]:
		case d.ID != any(documentID(d.Org, key.at, k.shape.Width())) || key.at != d.Timestamp.Unix():
			k.other(collection, d)
		default:
			keys = append(keys, key)
		}
	})
	if err != nil {
		return false, err
	}
	for _, key := range keys {
		switch {
		case k.done[key] || k.mixed[key.org]:
			continue
		case *room <= 0:
			return true, nil
		}
		f, err := k.begin(ctx, key)
		if err != nil {
			return false, err
		}
		folds[f.key] = f
		k.done[f.key] = true
		for _, t := range f.docs {
			*room -= len(t.raw)
		}
	}
	return false, nil
}

// anyDoc is a document of the span, whoever wrote it.
type anyDoc struct {
	ID        any       `bson:"_id"`
	Org       string    `bson:"orgid"`
	Timestamp time.Time `bson:"timestamp"`
	Sluice    struct {
		Pos bson.Raw `bson:"pos"`
	} `bson:"sluice"`
}

// other says what a document is that has not the place of one of ours.
func (k *comparing) other(collection string, d *anyDoc) {
	f := Finding{Kind: FindUntold, Collection: collection, Org: d.Org, Bucket: d.Timestamp.UTC(),
		Reason: "it has been written by another pump, or was rolled up: it is not compared"}
	if es, err := d.Sluice.Pos.Elements(); err == nil && len(es) > 0 {
		k.mixed[d.Org] = true
		f.Reason = "it has another bucket width than configured: its organisation is not compared in this hour"
	}
	k.c.Found(f)
}

// every visits the documents between the bounds in all collections of aggregates.
func (k *comparing) every(ctx context.Context, do func(collection string, d *anyDoc)) error {
	names, err := k.db.ListCollectionNames(ctx, bson.D{{Key: "name", Value: bson.D{{Key: "$regex", Value: "^" + orgPrefix}}}})
	if err != nil {
		return fmt.Errorf("list collections: %w", mongo.Classify(err))
	}
	if k.shape.Mixed {
		names = append(names, mixedName)
	}
	filter := bson.D{{Key: "timestamp", Value: bson.D{{Key: "$gte", Value: k.c.From}, {Key: "$lt", Value: k.c.To}}}}
	only := options.Find().SetProjection(bson.D{{Key: "orgid", Value: 1}, {Key: "timestamp", Value: 1}, {Key: "sluice.pos", Value: 1}})
	for _, name := range names {
		cur, err := k.db.Collection(name).Find(ctx, filter, only)
		if err != nil {
			return fmt.Errorf("look for documents: %w", mongo.Classify(err))
		}
		for cur.Next(ctx) {
			var d anyDoc
			if cur.Decode(&d) != nil || name != mixedName && d.Org != strings.TrimPrefix(name, orgPrefix) {
				k.c.Found(Finding{Kind: FindStrange, Collection: name, Org: d.Org, Bucket: d.Timestamp.UTC(),
					Reason: "a document that is none of the collection's organisation"})
				continue
			}
			do(name, &d)
		}
		if err := cur.Err(); err != nil {
			return fmt.Errorf("look for documents: %w", mongo.Classify(err))
		}
	}
	return nil
}

// await lists the archive until it has all that the documents count. Those it has not got in time are given up.
func (k *comparing) await(ctx context.Context, folds map[orgBucket]*refold, until time.Time) (Snapshot, error) {
	for wait := rebuildAgain; ; wait = min(2*wait, rebuildAgainMax) {
		snap, err := k.c.Look(ctx)
		if err != nil {
			return nil, err
		}
		behind := map[orgBucket]string{}
		for key, f := range folds {
			for _, t := range f.docs {
				for l, p := range t.pos {
					if !snap.Elsewhere(l) && !snap.Covers(l, p) {
						behind[key] = lagging(l, p)
					}
				}
			}
		}
		if len(behind) > 0 && time.Now().Before(until) {
			timer := time.NewTimer(wait)
			select {
			case <-timer.C:
				continue
			case <-ctx.Done():
				timer.Stop()
				return nil, context.Cause(ctx)
			}
		}
		for key, why := range behind {
			k.found(FindInFlight, folds[key].docs[0], why, nil, nil)
			delete(folds, key)
		}
		return snap, nil
	}
}

// add folds a row for a document, or notes that it should have been counted and was not.
func (k *comparing) add(f *refold, row *archive.Row, c archive.Copies) (bytes int) {
	lineage := aggregate.EscapeKey(row.Stream.Lineage)
	counted, known := k.c.Counted(row.Stream.Lineage)
	owed := !known || row.Position.Compare(counted) < 0
	for _, t := range f.docs {
		p, has := t.pos[lineage]
		if below := has && row.Position.Compare(p) < 0; !below && owed {
			t.uncounted++
		}
	}
	return f.add(row, c)
}

func (k *comparing) found(kind string, t *target, why string, has, want *aggregate.Delta) {
	f := Finding{Kind: kind, Collection: t.collection, Org: t.org, Bucket: t.timestamp(), Reason: why}
	if has != nil {
		f.Hits = has.Total.Hits
	}
	if want != nil {
		f.Want = want.Total.Hits
	}
	k.c.Found(f)
}

// Hours are the hours between two times of which there is any document, in no order. Zero times are no bounds.
func (s *Sink) Hours(ctx context.Context, from, to time.Time) ([]time.Time, error) {
	names, err := s.db.ListCollectionNames(ctx, bson.D{{Key: "name", Value: bson.D{{Key: "$regex", Value: "^" + orgPrefix + "|^" + mixedName + "$"}}}})
	if err != nil {
		return nil, fmt.Errorf("list collections: %w", mongo.Classify(err))
	}
	seen := map[time.Time]bool{}
	for _, name := range names {
		pipe := bson.A{bson.D{{Key: "$group", Value: bson.D{{Key: "_id", Value: "$timestamp"}}}}}
		cur, err := s.db.Collection(name).Aggregate(ctx, pipe, options.Aggregate().SetAllowDiskUse(true))
		if err != nil {
			return nil, fmt.Errorf("list the hours of %s: %w", name, mongo.Classify(err))
		}
		for cur.Next(ctx) {
			at, ok := cur.Current.Lookup("_id").DateTimeOK()
			t := time.UnixMilli(at).UTC().Truncate(time.Hour)
			if ok && (from.IsZero() || t.Add(time.Hour).After(from)) && (to.IsZero() || t.Before(to)) {
				seen[t] = true
			}
		}
		if err := cur.Err(); err != nil {
			return nil, fmt.Errorf("list the hours of %s: %w", name, mongo.Classify(err))
		}
	}
	out := make([]time.Time, 0, len(seen))
	for t := range seen {
		out = append(out, t)
	}
	return out, nil
}
