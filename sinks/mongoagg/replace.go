package mongoagg

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"go.mongodb.org/mongo-driver/bson"
	driver "go.mongodb.org/mongo-driver/mongo"

	"sluice/aggregate"
	"sluice/internal/crash"
	"sluice/internal/mongo"
	"sluice/internal/pipeline"
)

// replace brings the documents of a fold to their counters. It returns why they are to be tried again, if they are.
func (b *rebuilding) replace(ctx context.Context, f *refold, snap Snapshot) (again string, err error) {
	if f.bad != "" {
		b.fail(f.key, f.bad)
		return "", nil
	}
	var done Rebuilt
	for _, t := range f.docs {
		why, err := b.replaceOne(ctx, t, snap, &done)
		var bad unfit
		switch {
		case errors.As(err, &bad):
			b.fail(f.key, bad.why)
			b.sum.Add(done)
			return "", nil
		case err != nil:
			return "", err
		case why != "":
			again = why
		}
	}
	if again != "" {
		done.Unchanged = 0 // the next pass finds the other one unchanged
	}
	b.sum.Add(done)
	return again, nil
}

// unfit says why a document cannot be rebuilt.
type unfit struct{ why string }

func (u unfit) Error() string { return u.why }

func (b *rebuilding) replaceOne(ctx context.Context, t *target, snap Snapshot, done *Rebuilt) (again string, err error) {
	if t.bad != "" {
		return "", unfit{t.bad}
	}
	if again, err := t.settle(snap); again != "" || err != nil {
		return again, err
	}
	if len(t.pos) == 0 {
		return "", nil // it has counted nothing of ours yet
	}
	fresh, err := b.compose(t, t.total(orgBucket{t.org, t.bucket}))
	if err != nil {
		return "", err
	}
	if t.raw == nil && fresh.expired(b.now().UnixMilli()) {
		return "", nil // it would be deleted at once, as the one before it was
	}
	if err := t.shrinks(fresh, snap); err != nil {
		return "", err
	}
	if t.raw != nil {
		stored, err := treeOf(t.raw)
		if err != nil {
			return "", unfit{"it cannot be read: " + err.Error()}
		}
		if same(stored, fresh) {
			done.Unchanged++
			return "", nil
		}
	}
	again, err = b.store(ctx, t, fresh.encode())
	if again == "" && err == nil {
		done.Replaced++
		done.Copies += t.copies
	}
	return again, err
}

// settle fixes the positions that the document is to have, and holds them against what the archive can have.
func (t *target) settle(snap Snapshot) (again string, err error) {
	if !t.exists {
		for l := range t.ends {
			end, _ := snap.End(l)
			t.pos[l] = end
			if counted, ok := snap.Counted(l); ok && !snap.Covers(l, counted) {
				return lagging(l, counted), nil
			}
		}
		return "", nil
	}
	for _, l := range slices.Sorted(maps.Keys(t.pos)) {
		if snap.Elsewhere(l) {
			continue
		}
		if !snap.Covers(l, t.pos[l]) {
			return lagging(l, t.pos[l]), nil
		}
		if !t.ends[l] {
			return "", unfit{"the archive has none of the records of list " + l + " that it counts"}
		}
	}
	return "", nil
}

// shrinks refuses to take requests away from a document on the word of an archive that may not have had all of its lists
// from their beginning. Those that came again do not count: the archive has them.
func (t *target) shrinks(fresh *doctree, snap Snapshot) error {
	total, _ := fresh.fields["total"].(*doctree)
	had, ok := t.raw.Lookup("total", "hits").AsInt64OK()
	if total == nil || !ok {
		return nil
	}
	hits, _ := total.fields["hits"].(bson.RawValue)
	if integer(hits)+t.copies >= had {
		return nil
	}
	for _, l := range slices.Sorted(maps.Keys(t.pos)) {
		if !snap.Whole(l) {
			return unfit{fmt.Sprintf("it counts %d requests and the archive has %d; list %s was perhaps not archived from its beginning: "+
				"delete the document and replay again if the archive is right", had, integer(hits), l)}
		}
	}
	return nil
}

func lagging(lineage string, at pipeline.Position) string {
	return fmt.Sprintf("the archive has list %s not up to %s yet, which is counted already", lineage, at)
}

// compose makes the document: the base it began with, and what was folded, as an update would have added it; then what
// is derived.
func (b *rebuilding) compose(t *target, delta *aggregate.Delta) (*doctree, error) {
	doc, err := treeOf(t.base, "_id", "lists", "sluice")
	if t.base == nil {
		doc, err = newTree(), nil
	}
	if err != nil {
		return nil, unfit{"its first counters cannot be read: " + err.Error()}
	}
	own := &aggregate.Delta{Org: delta.Org, Bucket: delta.Bucket}
	own.Merge(delta)
	t.takeCounters(doc.encode(), b.keys)
	own.Fit(&t.sizes, func(dim aggregate.Dim, k aggregate.Key) bool { return t.counters[b.keys.of(dim, k)] })
	if t.sizes.Total() > hardTotal {
		own.FoldCodes()
	}
	if at, ok := t.raw.Lookup("expireAt").DateTimeOK(); ok {
		own.ExpireAt = max(own.ExpireAt, at)
	}
	if err := doc.setAll(t.identity()); err != nil {
		return nil, fmt.Errorf("compose a document: %w", err)
	}
	if err := doc.apply(update(t.document, own, nil, 0)); err != nil {
		return nil, fmt.Errorf("compose a document: %w", err)
	}
	doc.drop("sluice")
	for _, part := range deriveFields(doc.encode(), t.top) {
		if err := doc.setAll(part.with(nil)); err != nil {
			return nil, fmt.Errorf("compose a document: %w", err)
		}
	}
	t.takeCounters(doc.encode(), b.keys)
	doc.put("sluice", t.books())
	whole := newTree()
	whole.put("_id", objectID(t.id))
	for _, name := range doc.names {
		whole.put(name, doc.fields[name])
	}
	return whole, nil
}

// books is what stands under the field sluice. The derived fields are as new as the counters.
func (t *target) books() *doctree {
	out, pos := newTree(), newTree()
	for _, l := range slices.Sorted(maps.Keys(t.pos)) {
		pos.put(l, text(t.pos[l].String()))
	}
	if len(t.pos) > 0 {
		out.put("pos", pos)
	}
	if old, err := t.raw.LookupErr("sluice", "adopted"); err == nil {
		out.put("adopted", old)
	} else if old, ok := t.base.Lookup("_id").ObjectIDOK(); ok {
		out.put("adopted", objectID(old))
	}
	out.put("rev", long(t.rev+1))
	out.put("derived", long(t.rev+1))
	out.put("bytes", long(int64(t.mapBytes)))
	return out
}

func (t *doctree) expired(now int64) bool {
	v, _ := t.fields["expireAt"].(bson.RawValue)
	at, ok := v.DateTimeOK()
	return ok && at <= now
}

// same tells whether a stored document is what it should be, but for its revision.
func same(stored, fresh *doctree) bool {
	was, _ := stored.fields["sluice"].(*doctree)
	is, _ := fresh.fields["sluice"].(*doctree)
	if was == nil || is == nil || was.fields["dirty"] != nil {
		return false
	}
	a, b := *was, *is
	a.fields, b.fields = maps.Clone(was.fields), maps.Clone(is.fields)
	for _, name := range []string{"rev", "derived", "bytes"} {
		delete(a.fields, name)
		delete(b.fields, name)
	}
	left, right := *stored, *fresh
	left.fields, right.fields = maps.Clone(stored.fields), maps.Clone(fresh.fields)
	left.fields["sluice"], right.fields["sluice"] = &a, &b
	return left.equal(&right)
}

// store puts the document in the place of the one that was read, if that is as it was.
func (b *rebuilding) store(ctx context.Context, t *target, doc bson.Raw) (again string, err error) {
	if err := b.prepare(ctx, b.db, t.collection); err != nil {
		return "", err
	}
	coll := b.db.Collection(t.collection)
	matched := int64(1)
	if t.raw == nil {
		crash.Before("mongo-aggregate/rebuild-insert")
		_, err = coll.InsertOne(ctx, doc)
		crash.After("mongo-aggregate/rebuild-insert")
	} else {
		var res *driver.UpdateResult
		crash.Before("mongo-aggregate/rebuild-replace")
		res, err = coll.ReplaceOne(ctx, t.unchanged(), doc)
		crash.After("mongo-aggregate/rebuild-replace")
		if err == nil {
			matched = res.MatchedCount
		}
	}
	switch {
	case err == nil && matched == 1:
		return "", nil
	case err == nil || driver.IsDuplicateKeyError(err):
		return "a pump writes to it all the time", nil
	}
	err = mongo.Classify(err)
	if c, _ := pipeline.Classify(err); c == pipeline.PermanentBatch || hopeless(err) {
		return "", unfit{"MongoDB refuses the rebuilt document: " + err.Error()}
	}
	if c, _ := pipeline.Classify(err); c == pipeline.FatalError || ctx.Err() != nil {
		return "", fmt.Errorf("replace a document: %w", err)
	}
	return "it could not be written: " + err.Error(), nil // whether it was is seen in the next pass
}

// unchanged finds the document only as it was read.
func (t *target) unchanged() bson.D {
	f := t.key()
	if !t.exists {
		return append(f, bson.E{Key: "sluice.rev", Value: bson.D{{Key: "$exists", Value: false}}})
	}
	f = append(f, bson.E{Key: "sluice.rev", Value: t.rev})
	for l, p := range t.pos {
		f = append(f, bson.E{Key: positionField(l), Value: p.String()})
	}
	return f
}
