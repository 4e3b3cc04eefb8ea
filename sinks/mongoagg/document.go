package mongoagg

import (
	"hash/maphash"
	"maps"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"

	"sluice/aggregate"
	"sluice/internal/pipeline"
)

// docID names a stored document. The same _id stands in the organisation's collection and in the mixed one; they are
// two documents, each with its own positions.
type docID struct {
	collection string
	id         primitive.ObjectID
}

// document is what is known of a stored document, and what waits to be counted in it.
type document struct {
	docID
	org    string
	bucket int64 // Unix seconds
	top    int

	known bool                         // pos and mapBytes are what the store last said, or what was written to it
	pos   map[string]pipeline.Position // by lineage: everything below is counted
	queue map[string][]*segment        // by lineage: what is not, in order

	mapBytes int             // what the maps take, from above
	sizes    aggregate.Sizes // the same by dimension, when counters is set
	counters map[uint64]bool // hashes of the counters there are; only kept for documents that are nearly full
	tight    bool            // the store said that it is too large: leave out what can be
	bad      string          // why nothing can be counted in it any more
	dirty    bool            // its derived fields are behind its counters
	derived  time.Time       // when they were last brought up to date, or that was tried
	used     uint64          // the flush in which it was last needed
	warned   bool
	refused  int // flushes in a row in which the server refused this one update, for no known reason
}

// segment is what a run of consecutive positions of a stream adds to an organisation's bucket: every record in [first,
// end) of the stream that belongs there, and that the documents it waits for have not counted yet.
type segment struct {
	fold       *aggregate.Document
	delta      *aggregate.Delta // what fold holds, once end is fixed
	first, end pipeline.Position
	waiting    int // documents that have not taken it yet
}

// maxSegment is how large an update a segment may make. It is closed at the next record then, so that no update comes
// near the 16 MiB that MongoDB takes, whatever a batch holds.
const maxSegment = 3 << 20

func newDocument(id docID, org string, bucket int64) *document {
	return &document{docID: id, org: org, bucket: bucket, pos: map[string]pipeline.Position{}, queue: map[string][]*segment{}}
}

// forgotten marks the document as one whose state in the store is not known: it is read before the next update.
func (d *document) forgotten() {
	d.known, d.counters = false, nil
	clear(d.pos)
}

// passed takes from the queue of a lineage what lies below a position; it tells whether the position lies within what
// remains, so that a part of that is counted already.
func (d *document) passed(lineage string, at pipeline.Position, drop func(*segment)) (within bool) {
	q := d.queue[lineage]
	for len(q) > 0 && q[0].end.Compare(at) <= 0 {
		drop(q[0])
		q = q[1:]
	}
	d.setQueue(lineage, q)
	return len(q) > 0 && q[0].first.Compare(at) < 0
}

func (d *document) setQueue(lineage string, q []*segment) {
	if len(q) == 0 {
		delete(d.queue, lineage)
		return
	}
	d.queue[lineage] = q
}

// key finds the document. The _id would do; organisation and time beside it let a sharded cluster send the update to one
// shard, whether the collection is sharded by _id or by {orgid, timestamp}, and an upsert needs the shard key. What
// follows is held against the document as well.
func (d *document) key(more ...bson.E) bson.D {
	return append(bson.D{{Key: "_id", Value: d.id}, {Key: "orgid", Value: d.org}, {Key: "timestamp", Value: d.timestamp()}}, more...)
}

func (d *document) timestamp() time.Time { return time.Unix(d.bucket, 0).UTC() }

// counterKeys hashes counters' places; 64 bits make a mix-up, which would put a newcomer into a full document, unlikely
// enough.
type counterKeys struct{ seed maphash.Seed }

func (c counterKeys) of(dim aggregate.Dim, k aggregate.Key) uint64 {
	return maphash.Comparable(c.seed, aggregate.Place{Dim: dim, Key: k})
}

// lineages of what waits, sorted by nothing.
func (d *document) waiting() []string {
	out := make([]string, 0, len(d.queue))
	for l := range maps.Keys(d.queue) {
		out = append(out, l)
	}
	return out
}
