package mongoagg

import (
	"context"
	"fmt"
	"strings"

	"sluice/aggregate"
	"sluice/internal/pipeline"
	"sluice/internal/record"
)

// What may be gathered before Add asks for a flush. 16 MiB are some 40,000 counters: more than two seconds of busy lists
// have. One more batch, and the deltas as they are written out, come on top.
const (
	maxGathered  = 16 << 20
	maxDocuments = 8192
)

// stream is a list as it is being folded.
type stream struct {
	id      pipeline.StreamID
	end     pipeline.Position // everything below is folded, or was settled before
	settled pipeline.Position // the last one that was said to be settled
	buckets map[bucketKey]*bucket
	folds   map[*shape]*aggregate.Fold
	last    *bucket // the bucket of the record before, which is mostly that of the next as well
}

// lineage is how a stream's lineage is named here and in the documents: as it is, since it is hexadecimal.
func lineage(id pipeline.StreamID) string { return aggregate.EscapeKey(id.Lineage) }

type bucketKey struct {
	org   string
	at    int64
	shape *shape
}

// bucket is an organisation's bucket as one stream folds into it.
type bucket struct {
	key     bucketKey
	dead    string               // why there can be no document
	docs    [2]*document         // the organisation's, and the mixed one or nil
	below   [2]pipeline.Position // what they have of this stream already
	open    *segment
	openFor [2]bool // the documents that the open segment is for
}

// Add folds a batch. Nothing is written, so that it cannot fail half-way.
func (s *Sink) Add(ctx context.Context, b *pipeline.Batch) (pipeline.Result, error) {
	var res pipeline.Result
	if err := ctx.Err(); err != nil {
		return res, err
	}
	if s.bytes > maxGathered || len(s.waiting) > maxDocuments {
		s.full = true
		return res, pipeline.ErrFull
	}
	sh, err := s.shapeOf(b)
	if err != nil {
		return res, err
	}
	st, err := s.streamOf(b)
	if err != nil {
		return res, err
	}
	if !s.touched && len(s.waiting) == 0 {
		s.since = s.now()
	}
	for i := range b.Items {
		it := &b.Items[i]
		if it.Record == nil || !aggregate.Counts(it.Record) {
			res.Filtered++
			continue
		}
		if why := s.fold(st, sh, it.Record, pipeline.Position{Claim: b.Claim, Index: it.Index}); why != "" {
			res.Dead = append(res.Dead, pipeline.Dead{Item: i, Reason: why})
		}
	}
	st.end = b.End()
	s.touched = true
	return res, nil
}

// streamOf finds the batch's stream. One that begins again at or below what was settled is begun anew; one that begins
// between that and what was folded would be counted wrongly, and is refused.
func (s *Sink) streamOf(b *pipeline.Batch) (*stream, error) {
	st := s.streams[lineage(b.Stream)]
	if st != nil && b.First().Compare(st.end) < 0 {
		if b.First().Compare(st.settled) > 0 {
			return nil, fmt.Errorf("batch at %s of list %s overlaps what was gathered up to %s", b.First(), b.Stream.List, st.end)
		}
		s.Forget(b.Stream)
		st = nil
	}
	if st == nil {
		st = &stream{id: b.Stream, end: b.First(), settled: b.First(), buckets: map[bucketKey]*bucket{}, folds: map[*shape]*aggregate.Fold{}}
		s.streams[lineage(b.Stream)] = st
	}
	return st, nil
}

// fold counts a record in the documents that do not have it. It returns why it can be counted nowhere.
func (s *Sink) fold(st *stream, sh *shape, r *record.Record, p pipeline.Position) (dead string) {
	bu := s.bucketOf(st, sh, r)
	if bu.dead != "" {
		return bu.dead
	}
	var wants [2]bool
	for i, d := range bu.docs {
		if d == nil {
			continue
		}
		if d.bad != "" {
			return d.bad
		}
		wants[i] = bu.below[i].Compare(p) <= 0
	}
	if bu.open != nil && (bu.openFor != wants || bu.open.fold.UpdateBytes() > maxSegment) {
		bu.open.end, bu.open = p, nil
	}
	if wants == [2]bool{} {
		return ""
	}
	if bu.open == nil {
		s.begin(st, sh, bu, wants, p)
	}
	before := bu.open.fold.Bytes()
	bu.open.fold.Add(r)
	s.bytes += bu.open.fold.Bytes() - before
	return ""
}

// begin opens a segment for the documents that want it.
func (s *Sink) begin(st *stream, sh *shape, bu *bucket, wants [2]bool, p pipeline.Position) {
	f := st.folds[sh]
	if f == nil {
		f = aggregate.NewFold(sh.Shape)
		st.folds[sh] = f
	}
	seg := &segment{first: p}
	bu.open, bu.openFor = seg, wants
	for i, d := range bu.docs {
		if !wants[i] {
			continue
		}
		if seg.fold == nil {
			seg.fold = f.Document(d.org, d.bucket)
		}
		l := lineage(st.id)
		d.queue[l] = append(d.queue[l], seg)
		s.waiting[d] = true
		seg.waiting++
	}
	s.bytes += segmentBytes
}

const segmentBytes = 1024

func (s *Sink) bucketOf(st *stream, sh *shape, r *record.Record) *bucket {
	k := bucketKey{r.OrgID, sh.BucketOf(r.TimeStamp), sh}
	if st.last != nil && st.last.key == k {
		return st.last
	}
	bu := st.buckets[k]
	if bu == nil {
		k.org = strings.Clone(k.org) // the record's strings go with its batch
		bu = s.newBucket(k, lineage(st.id))
		st.buckets[k] = bu
	}
	st.last = bu
	return bu
}

func (s *Sink) newBucket(k bucketKey, lineage string) *bucket {
	name, why := orgCollection(s.cfg.Database, k.org)
	if why != "" {
		return &bucket{key: k, dead: why}
	}
	id := documentID(k.org, k.at, k.shape.Width())
	bu := &bucket{key: k}
	bu.docs[0] = s.document(docID{name, id}, k)
	if k.shape.Mixed {
		bu.docs[1] = s.document(docID{mixedName, id}, k)
	}
	for i, d := range bu.docs {
		if d != nil {
			bu.below[i] = d.pos[lineage]
		}
	}
	return bu
}

func (s *Sink) document(id docID, k bucketKey) *document {
	d := s.docs[id]
	if d == nil {
		d = newDocument(id, k.org, k.at)
		s.docs[id] = d
	}
	d.top, d.used = k.shape.Top, s.flushes
	return d
}

// Forget drops what was gathered of a stream and is not written.
func (s *Sink) Forget(id pipeline.StreamID) {
	l := lineage(id)
	if s.streams[l] == nil {
		return
	}
	delete(s.streams, l)
	for d := range s.waiting {
		for _, seg := range d.queue[l] {
			s.drop(seg)
		}
		d.setQueue(l, nil)
		if len(d.queue) == 0 {
			delete(s.waiting, d)
		}
	}
}

// drop counts a segment down: one document less waits for it.
func (s *Sink) drop(seg *segment) {
	if seg.waiting--; seg.waiting == 0 {
		s.bytes -= segmentBytes + seg.fold.Bytes()
	}
}

// closeSegments fixes what every stream has folded so far. What comes later begins new segments.
func (s *Sink) closeSegments() {
	for _, st := range s.streams {
		for _, bu := range st.buckets {
			if bu.open != nil {
				bu.open.end = st.end
			}
		}
		clear(st.buckets)
		clear(st.folds)
		st.last = nil
	}
}

// marks are what is settled of each stream, where that is news: everything below the first record that some document
// still waits for.
func (s *Sink) marks() (out []pipeline.Mark) {
	low := map[string]pipeline.Position{}
	for d := range s.waiting {
		for l, q := range d.queue {
			if at, ok := low[l]; !ok || q[0].first.Compare(at) < 0 {
				low[l] = q[0].first
			}
		}
	}
	for l, st := range s.streams {
		at, ok := low[l]
		if !ok {
			at = st.end
		}
		if at.Compare(st.settled) > 0 {
			st.settled = at
			out = append(out, pipeline.Mark{Stream: st.id, Pos: at})
		}
	}
	return out
}
