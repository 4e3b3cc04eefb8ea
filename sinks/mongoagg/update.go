package mongoagg

import (
	"math"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/bsontype"
	"go.mongodb.org/mongo-driver/x/bsonx/bsoncore"

	"sluice/aggregate"
	"sluice/internal/pipeline"
)

// operators gathers an update by its operators: every field goes to one of them, in BSON as it is sent.
type operators struct {
	inc, max, min, set []byte
	path               []byte // of the counter being written, with a dot behind it
}

// reserve makes room for the fields of a delta, so that what is written is not copied again and again.
func (o *operators) reserve(delta *aggregate.Delta) {
	const more = 26 // of a field beside its counter's path: type, its own name, value
	paths := 0
	for i, m := range delta.Dims {
		for k := range m {
			paths += len(aggregate.Dim(i).String()) + len(k.Outer) + len(k.Name) + more
		}
	}
	o.inc = slices.Grow(o.inc, 10*paths+1024)
	o.max = slices.Grow(o.max, 3*paths+1024)
	o.min = slices.Grow(o.min, 2*paths+1024)
	o.set = slices.Grow(o.set, 4*paths+1024) // names are about as long as paths
}

// at begins the path of a counter.
func (o *operators) at(steps ...string) {
	o.path = o.path[:0]
	for _, s := range steps {
		o.path = append(append(o.path, s...), '.')
	}
}

// field begins an element of the counter: its type and its name, behind which its value goes. It makes no string of
// the name, of which an update has a hundred thousand.
func (o *operators) field(dst []byte, t bsontype.Type, name ...string) []byte {
	dst = append(append(dst, byte(t)), o.path...)
	for _, n := range name {
		dst = append(dst, n...)
	}
	return append(dst, 0)
}

func newOperators() *operators {
	o := &operators{}
	for _, b := range []*[]byte{&o.inc, &o.max, &o.min, &o.set} {
		_, *b = bsoncore.AppendDocumentStart(*b)
	}
	return o
}

// update is the update that adds a delta. Organisation and time stand in its filter, from which an upsert takes them.
func update(d *document, delta *aggregate.Delta, at map[string]pipeline.Position, growth int) bson.Raw {
	o := newOperators()
	o.reserve(delta)
	o.setTimeID(d.timestamp())
	for l, p := range at {
		o.set = bsoncore.AppendStringElement(o.set, positionField(l), p.String())
	}
	o.set = bsoncore.AppendBooleanElement(o.set, "sluice.dirty", true)
	o.inc = bsoncore.AppendInt64Element(o.inc, "sluice.rev", 1)
	o.inc = bsoncore.AppendInt64Element(o.inc, "sluice.bytes", int64(growth))
	o.max = bsoncore.AppendDateTimeElement(o.max, "expireAt", delta.ExpireAt)
	if delta.Total.Hits > 0 {
		o.max = bsoncore.AppendDateTimeElement(o.max, "lasttime", delta.LastTime)
	}
	o.at("total")
	o.counter(&aggregate.Entry{Counter: delta.Total})
	for i, m := range delta.Dims {
		dim := aggregate.Dim(i)
		for k, e := range m {
			if dim.Nested() {
				o.at(dim.String(), k.Outer, k.Name)
			} else {
				o.at(dim.String(), k.Name)
			}
			o.counter(e)
		}
	}
	return o.document()
}

func positionField(lineage string) string { return "sluice.pos." + lineage }

func (o *operators) setTimeID(t time.Time) {
	at, set := bsoncore.AppendDocumentElementStart(o.set, "timeid")
	for _, f := range []struct {
		name string
		n    int
	}{{"year", t.Year()}, {"month", int(t.Month())}, {"day", t.Day()}, {"hour", t.Hour()}} {
		set = bsoncore.AppendInt32Element(set, f.name, int32(f.n))
	}
	o.set, _ = bsoncore.AppendDocumentEnd(set, at)
}

// counter adds a counter. Sums are there also when they are zero, as the Dashboard is used to; minima and maxima only
// when there is something to compare.
func (o *operators) counter(e *aggregate.Entry) {
	o.count(e.Hits, "hits")
	o.count(e.Success, "success")
	o.count(e.Errors, "errortotal")
	o.inc = bsoncore.AppendDouble(o.field(o.inc, bson.TypeDouble, "totalrequesttime"), float64(e.RequestTime))
	o.sum(e.Latency, "totallatency")
	o.sum(e.Upstream, "totalupstreamlatency")
	o.sum(e.OpenConnections, "openconnections")
	o.sum(e.ClosedConnections, "closedconnections")
	o.sum(e.BytesIn, "bytesin")
	o.sum(e.BytesOut, "bytesout")
	for _, c := range e.Codes {
		o.count(c.Count, "errormap.", c.String())
	}
	if e.Hits > 0 {
		o.max = bsoncore.AppendInt64(o.field(o.max, bson.TypeInt64, "maxlatency"), e.MaxLatency)
		o.max = bsoncore.AppendInt64(o.field(o.max, bson.TypeInt64, "maxupstreamlatency"), e.MaxUpstream)
		o.max = bsoncore.AppendDateTime(o.field(o.max, bson.TypeDateTime, "lasttime"), e.LastTime)
	}
	if e.Served() {
		o.min = bsoncore.AppendInt64(o.field(o.min, bson.TypeInt64, "minlatency"), e.MinLatency)
		o.min = bsoncore.AppendInt64(o.field(o.min, bson.TypeInt64, "minupstreamlatency"), e.MinUpstream)
	}
	o.set = bsoncore.AppendString(o.field(o.set, bson.TypeString, "identifier"), e.Identifier)
	o.set = bsoncore.AppendString(o.field(o.set, bson.TypeString, "humanidentifier"), e.Human)
}

// count adds a number of requests: 32 bits while they do, as the incumbent stores them; MongoDB widens the sum itself.
func (o *operators) count(n int64, name ...string) {
	if n <= math.MaxInt32 {
		o.inc = bsoncore.AppendInt32(o.field(o.inc, bson.TypeInt32, name...), int32(n))
		return
	}
	o.sum(n, name...)
}

func (o *operators) sum(n int64, name ...string) {
	o.inc = bsoncore.AppendInt64(o.field(o.inc, bson.TypeInt64, name...), n)
}

func (o *operators) document() bson.Raw {
	size := len(o.inc) + len(o.max) + len(o.min) + len(o.set) + 64
	at, doc := bsoncore.AppendDocumentStart(make([]byte, 0, size))
	for _, p := range []struct {
		name string
		body []byte
	}{{"$inc", o.inc}, {"$max", o.max}, {"$min", o.min}, {"$set", o.set}} {
		body, _ := bsoncore.AppendDocumentEnd(p.body, 0)
		if len(body) > 5 { // an operator without fields is an error for old servers
			doc = bsoncore.AppendDocumentElement(doc, p.name, body)
		}
	}
	doc, _ = bsoncore.AppendDocumentEnd(doc, at)
	return doc
}

// identity is what an upsert takes from the filter beside the _id.
func (d *document) identity() bson.Raw {
	at, doc := bsoncore.AppendDocumentStart(nil)
	doc = bsoncore.AppendStringElement(doc, "orgid", d.org)
	doc = bsoncore.AppendDateTimeElement(doc, "timestamp", d.bucket*1000)
	doc, _ = bsoncore.AppendDocumentEnd(doc, at)
	return doc
}

// filter finds the document only as it was left: with the positions it is known to have of the lineages that the update
// is about to move.
func filter(d *document, at map[string]pipeline.Position) bson.D {
	f := d.key()
	for l := range at {
		if p, ok := d.pos[l]; ok {
			f = append(f, bson.E{Key: positionField(l), Value: p.String()})
		} else {
			f = append(f, bson.E{Key: positionField(l), Value: bson.D{{Key: "$exists", Value: false}}})
		}
	}
	return f
}
