package mongoagg

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/bson"
	driver "go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"

	"sluice/aggregate"
	"sluice/internal/crash"
	"sluice/internal/mongo"
	"sluice/internal/pipeline"
)

// maxUpdate is how large one update may be by estimate, maxBulk how large what is sent together, in bytes. MongoDB takes
// 16 MiB and 48 MB.
const (
	maxUpdate = 8 << 20
	maxBulk   = 24 << 20
	maxOps    = 500
)

// operation is one document's update.
type operation struct {
	doc    *document
	at     map[string]pipeline.Position // where the update takes the positions
	taken  map[string]int               // how many segments of each lineage it holds
	growth int
	filter bson.D
	update bson.Raw
	err    error // nil: it took effect
	unsent bool  // the call ended before
}

// errMissed says that the document was not as it was known: nothing has changed. Every miss shows so, since all updates
// are upserts: one that finds no match tries to insert, which the document that is there refuses.
var errMissed = errors.New("the document was written by another process meanwhile")

// errUnknown says that the server took the update and could not say that a majority has it.
var errUnknown = errors.New("no majority has confirmed the update")

// update sends one update for each document and takes in what became of it.
func (f *flushing) update(ctx context.Context, docs []*document) {
	var ready []*document
	for _, d := range docs {
		switch {
		case f.left[d] != nil || len(d.queue) == 0:
		case !d.known:
			f.missed(d)
		default:
			ready = append(ready, d)
		}
	}
	ops, failed := f.operations(ctx, ready)
	f.sortOut(failed)
	byCollection(ready, func(collection string, ds []*document) {
		coll := f.db.Collection(collection)
		for _, bulk := range bulks(ds, ops) {
			if ctx.Err() == nil {
				f.send(ctx, coll, bulk)
				continue
			}
			for _, op := range bulk { // ten thousand bulks would take long to be refused one by one
				op.unsent = true
			}
		}
	})
	for _, d := range ready {
		switch op := ops[d]; {
		case op != nil && !op.unsent:
			f.result(op)
		case failed[d] == nil:
			f.left[d] = context.Cause(ctx) // what is known of it stands
		}
	}
}

// operations prepares the updates. Documents that are nearly full are read for it.
func (f *flushing) operations(ctx context.Context, docs []*document) (map[*document]*operation, map[*document]error) {
	ops, failed := map[*document]*operation{}, map[*document]error{}
	for _, d := range docs {
		if ctx.Err() != nil {
			break
		}
		op, err := f.operation(ctx, d)
		if err != nil {
			failed[d] = err
			continue
		}
		ops[d] = op
	}
	return ops, failed
}

func (f *flushing) operation(ctx context.Context, d *document) (*operation, error) {
	op := &operation{doc: d, at: map[string]pipeline.Position{}, taken: map[string]int{}}
	delta := op.take()
	delta, err := f.fit(ctx, op, delta)
	if err != nil {
		return nil, err
	}
	op.filter, op.update = filter(d, op.at), update(d, delta, op.at, op.growth)
	return op, nil
}

// take merges what waits, in order, as much as one update may hold: of each lineage in turn, at least one segment.
func (op *operation) take() *aggregate.Delta {
	var taken []*segment
	size := 0
	for l, q := range op.doc.queue {
		for _, seg := range q {
			if n := seg.fold.UpdateBytes(); len(taken) > 0 && size+n > maxUpdate {
				break
			} else {
				size += n
			}
			taken = append(taken, seg)
			op.taken[l]++
			op.at[l] = seg.end
		}
	}
	for _, seg := range taken {
		if seg.delta == nil {
			seg.delta = seg.fold.Delta()
		}
	}
	if len(taken) == 1 {
		return taken[0].delta
	}
	sum := &aggregate.Delta{Org: op.doc.org, Bucket: op.doc.bucket}
	for _, seg := range taken {
		sum.Merge(seg.delta)
	}
	return sum
}

// fit sees to it that the document stays storable. As long as it is small nothing is known of its counters, and every
// counter is taken to be new. When that sum gets near the bound the document is read, and newcomers that find no room
// count under "other".
func (f *flushing) fit(ctx context.Context, op *operation, delta *aggregate.Delta) (*aggregate.Delta, error) {
	d := op.doc
	sizes := delta.StoredBytes()
	op.growth = sizes.Total()
	if d.counters == nil && !d.tight && d.mapBytes+op.growth <= aggregate.SafeTotal {
		return delta, nil
	}
	if d.counters == nil {
		if err := f.loadCounters(ctx, d); err != nil {
			return nil, err
		}
	}
	own := &aggregate.Delta{Org: delta.Org, Bucket: delta.Bucket} // a copy: the other collection's document may have room
	own.Merge(delta)
	let, folded := own.Fit(&d.sizes, func(dim aggregate.Dim, k aggregate.Key) bool { return d.counters[f.keys.of(dim, k)] })
	for _, p := range let {
		d.counters[f.keys.of(p.Dim, p.Key)] = true
	}
	op.growth = d.sizes.Total() - d.mapBytes
	if d.tight || d.sizes.Total() > hardTotal {
		own.FoldCodes()
	}
	if folded > 0 && !d.warned {
		d.warned = true
		f.log.Warn("an aggregate document is full: newcomers count under other; consider ignore, or a shorter bucket",
			"collection", d.collection, "org", d.org, "bucket", d.timestamp(), "newcomers", folded)
	}
	return own, nil
}

// hardTotal is what maps take, in bytes, when codes that are new in old counters have made them outgrow their budget so
// far that these are summed up too.
const hardTotal = 11 << 20

// bulks cuts operations into what is sent together.
func bulks(docs []*document, ops map[*document]*operation) (out [][]*operation) {
	var cur []*operation
	size := 0
	for _, d := range docs {
		op := ops[d]
		if op == nil {
			continue
		}
		if len(cur) > 0 && (size+len(op.update) > maxBulk || len(cur) == maxOps) {
			out, cur, size = append(out, cur), nil, 0
		}
		cur, size = append(cur, op), size+len(op.update)
	}
	if len(cur) > 0 {
		out = append(out, cur)
	}
	return out
}

// send sends operations of one collection together and notes with each what became of it.
func send(ctx context.Context, coll *driver.Collection, ops []*operation) {
	models := make([]driver.WriteModel, len(ops))
	for i, op := range ops {
		models[i] = driver.NewUpdateOneModel().SetFilter(op.filter).SetUpdate(op.update).SetUpsert(true)
	}
	crash.Before("mongo-aggregate/update")
	_, err := coll.BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false))
	crash.After("mongo-aggregate/update")
	var be driver.BulkWriteException
	switch {
	case err == nil:
	case errors.As(err, &be):
		sortByIndex(coll, ops, be)
	default:
		err = mongo.Classify(err)
		if c, _ := pipeline.Classify(err); c == pipeline.PermanentBatch && len(ops) > 1 {
			for _, op := range ops { // the reason may lie in one of them
				send(ctx, coll, []*operation{op})
			}
			return
		}
		for _, op := range ops {
			op.err = fmt.Errorf("update aggregates: %w", err)
		}
	}
}

func sortByIndex(coll *driver.Collection, ops []*operation, be driver.BulkWriteException) {
	if wc := be.WriteConcernError; wc != nil {
		// what took effect may be rolled back, and so may be what a miss or another refusal ran into
		for _, op := range ops {
			op.err = fmt.Errorf("%w: %s", errUnknown, wc.Message)
		}
		return
	}
	for _, we := range be.WriteErrors {
		if we.Index < 0 || we.Index >= len(ops) {
			continue
		}
		op := ops[we.Index]
		switch {
		case we.Code == mongo.CodeDuplicateKey && mongo.ClashOf(&we.WriteError, coll.Database().Name(), coll.Name()) != mongo.ClashOther:
			op.err = errMissed
		case mongo.Passing(we.Code):
			op.err = fmt.Errorf("update aggregates: code %d, which may pass", we.Code)
		case we.Code == mongo.CodeDuplicateKey, mongo.Hopeless(we.Code):
			op.err = pipeline.Permanent(refusal{we.Code})
		default:
			op.err = refusal{we.Code}
		}
	}
}

// result takes in what became of an update.
func (f *flushing) result(op *operation) {
	d := op.doc
	switch {
	case op.err == nil:
		f.tookEffect(op)
	case errors.Is(op.err, errMissed):
		f.missed(d)
	default:
		if c, _ := pipeline.Classify(op.err); c == pipeline.PermanentBatch {
			if tooLarge(op.err) && !d.tight {
				d.forgotten()
				d.tight = true // once more, with all that can be left out left out
				return
			}
			f.condemn(d, op.err)
		} else if d.refused++; errors.As(op.err, new(refusal)) && d.refused > maxRefused {
			f.condemn(d, op.err)
		}
		f.leave(d, op.err)
	}
}

// maxRefused is after how many refusals in a row of the very document, for a reason that is not known to pass nor known
// to stay, it is given up: some ten minutes, with the pipeline's back-off. Until then its streams' cursors wait for it.
const maxRefused = 30

func (f *flushing) tookEffect(op *operation) {
	d := op.doc
	for l, n := range op.taken {
		d.pos[l] = op.at[l]
		if q := d.queue[l]; len(q) >= n { // unless the stream was forgotten meanwhile, for another document's sake
			for _, seg := range q[:n] {
				f.drop(seg)
			}
			d.setQueue(l, q[n:])
		}
	}
	d.mapBytes += op.growth
	d.dirty, d.refused = true, 0
	f.wrote = true
	f.settle(d)
}

func (f *flushing) missed(d *document) {
	d.forgotten()
	if f.misses[d]++; f.misses[d] <= maxMisses {
		return
	}
	if d.refused++; d.refused > maxRefused {
		f.condemn(d, errMissed) // nobody writes that often: a server that does not say which key it is about
	}
	f.leave(d, errMissed)
}

// refusal is the server's word about one update. Its message is left out: it can name keys and values.
type refusal struct{ code int }

func (r refusal) Error() string {
	return fmt.Sprintf("MongoDB refuses the update with code %d", r.code)
}

// tooLarge tells whether the document outgrew what MongoDB stores.
func tooLarge(err error) bool {
	var r refusal
	return errors.As(err, &r) && (r.code == 10334 || r.code == 17419 || r.code == 17420)
}
