package mongoagg

import (
	"math"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/x/bsonx/bsoncore"

	"sluice/aggregate"
	"sluice/internal/pipeline"
)

// operators gathers an update by its operators: every field goes to one of them, in BSON as it is sent.
type operators struct {
	inc, max, min, set []byte
	path               []byte // of the counter being written, with a dot behind it
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
	o.counter("total", &aggregate.Entry{Counter: delta.Total})
	for i, m := range delta.Dims {
		dim := aggregate.Dim(i)
		for k, e := range m {
			path := dim.String() + "." + k.Name
			if dim.Nested() {
				path = dim.String() + "." + k.Outer + "." + k.Name
			}
			o.counter(path, e)
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
func (o *operators) counter(path string, e *aggregate.Entry) {
	o.path = append(append(o.path[:0], path...), '.')
	o.count("hits", e.Hits)
	o.count("success", e.Success)
	o.count("errortotal", e.Errors)
	o.inc = bsoncore.AppendDoubleElement(o.inc, o.field("totalrequesttime"), float64(e.RequestTime))
	o.sum("totallatency", e.Latency)
	o.sum("totalupstreamlatency", e.Upstream)
	o.sum("openconnections", e.OpenConnections)
	o.sum("closedconnections", e.ClosedConnections)
	o.sum("bytesin", e.BytesIn)
	o.sum("bytesout", e.BytesOut)
	for _, c := range e.Codes {
		o.count("errormap."+c.String(), c.Count)
	}
	if e.Hits > 0 {
		o.max = bsoncore.AppendInt64Element(o.max, o.field("maxlatency"), e.MaxLatency)
		o.max = bsoncore.AppendInt64Element(o.max, o.field("maxupstreamlatency"), e.MaxUpstream)
		o.max = bsoncore.AppendDateTimeElement(o.max, o.field("lasttime"), e.LastTime)
	}
	if e.Served() {
		o.min = bsoncore.AppendInt64Element(o.min, o.field("minlatency"), e.MinLatency)
		o.min = bsoncore.AppendInt64Element(o.min, o.field("minupstreamlatency"), e.MinUpstream)
	}
	o.set = bsoncore.AppendStringElement(o.set, o.field("identifier"), e.Identifier)
	o.set = bsoncore.AppendStringElement(o.set, o.field("humanidentifier"), e.Human)
}

func (o *operators) field(name string) string { return string(append(o.path, name...)) }

// count adds a number of requests: 32 bits while they do, as the incumbent stores them; MongoDB widens the sum itself.
func (o *operators) count(name string, n int64) {
	if n <= math.MaxInt32 {
		o.inc = bsoncore.AppendInt32Element(o.inc, o.field(name), int32(n))
		return
	}
	o.sum(name, n)
}

func (o *operators) sum(name string, n int64) {
	o.inc = bsoncore.AppendInt64Element(o.inc, o.field(name), n)
}

func (o *operators) document() bson.Raw {
	at, doc := bsoncore.AppendDocumentStart(nil)
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
