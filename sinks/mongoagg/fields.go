package mongoagg

import (
	"bytes"
	"math"
	"slices"
	"strconv"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/x/bsonx/bsoncore"

	"sluice/aggregate"
)

// A stored document is to stay below this, which is MongoDB's limit less some room for what comes until it is derived
// again. Lists are cut to it. One update of derived fields takes up to maxFields bytes.
const (
	maxDocument = 15 << 20
	maxFields   = 10 << 20
)

// fields are what $set is to hold: BSON elements.
type fields []byte

// with makes a document of the fields and some more.
func (f fields) with(more bson.D) bson.Raw {
	at, doc := bsoncore.AppendDocumentStart(make([]byte, 0, len(f)+128))
	doc = append(doc, f...)
	for _, e := range more {
		doc = bsoncore.AppendInt64Element(doc, e.Key, e.Value.(int64))
	}
	doc, _ = bsoncore.AppendDocumentEnd(doc, at)
	return doc
}

// derivation works out a document's derived fields. It keeps those that differ from what is stored, in parts that fit
// into an update each.
type derivation struct {
	parts []fields
	lists [aggregate.NumDims]map[string]map[aggregate.Key]*aggregate.Entry // by outer key, which is empty where there is none
	size  int                                                              // of all counters as list entries
}

// deriveFields returns at least one part, which may be empty.
func deriveFields(raw bson.Raw, top int) []fields {
	d := &derivation{parts: make([]fields, 1)}
	if total, ok := raw.Lookup("total").DocumentOK(); ok {
		d.counter("total", decodeCounter(total))
	}
	eachCounter(raw, func(dim aggregate.Dim, k aggregate.Key, c bson.Raw) {
		s := decodeCounter(c)
		path := dim.String() + "." + k.Name
		if dim.Nested() {
			path = dim.String() + "." + k.Outer + "." + k.Name
		}
		d.counter(path, s)
		if d.lists[dim] == nil {
			d.lists[dim] = map[string]map[aggregate.Key]*aggregate.Entry{}
		}
		if d.lists[dim][k.Outer] == nil {
			d.lists[dim][k.Outer] = map[aggregate.Key]*aggregate.Entry{}
		}
		d.lists[dim][k.Outer][k] = &s.Entry
		d.size += entryBytes(k, &s.Entry)
	})
	stored := raw.Lookup("lists")
	old, _ := stored.DocumentOK()
	d.addLists(old, top, maxDocument-(len(raw)-len(old)))
	return d.parts
}

// part is where the next n bytes go.
func (d *derivation) part(n int) *fields {
	if last := len(d.parts) - 1; len(d.parts[last]) > 0 && len(d.parts[last])+n > maxFields {
		d.parts = append(d.parts, nil)
	}
	return &d.parts[len(d.parts)-1]
}

func (d *derivation) counter(path string, s stored) {
	rt, lat, up := s.Averages()
	f := d.part(4*len(path) + 128 + 64*len(s.Codes))
	for _, a := range []struct {
		name string
		is   bson.RawValue
		want float64
	}{{"requesttime", s.requestTime, rt}, {"latency", s.latency, lat}, {"upstreamlatency", s.upstream, up}} {
		if a.is.Type != bson.TypeDouble || math.Float64bits(a.is.Double()) != math.Float64bits(a.want) {
			*f = bsoncore.AppendDoubleElement(*f, path+"."+a.name, a.want)
		}
	}
	if len(s.Codes) == 0 && s.errorList.Type == bson.TypeArray && string(s.errorList.Value) == noErrors {
		return
	}
	if list := errorList(&s.Entry); s.errorList.Type != bson.TypeArray || !bytes.Equal(s.errorList.Value, list) {
		*f = bsoncore.AppendArrayElement(*f, path+".errorlist", list)
	}
}

// noErrors is the list of a counter without errors, as most are.
const noErrors = "\x05\x00\x00\x00\x00"

func errorList(e *aggregate.Entry) []byte {
	if len(e.Codes) == 0 {
		return []byte(noErrors)
	}
	at, arr := bsoncore.AppendArrayStart(nil)
	for i, c := range e.ErrorList() {
		sub, b := bsoncore.AppendDocumentElementStart(arr, strconv.Itoa(i))
		b = bsoncore.AppendStringElement(b, "code", c.String())
		b = appendCount(b, "count", c.Count)
		arr, _ = bsoncore.AppendDocumentEnd(b, sub)
	}
	arr, _ = bsoncore.AppendArrayEnd(arr, at)
	return arr
}

func appendCount(b []byte, name string, n int64) []byte {
	if n <= math.MaxInt32 {
		return bsoncore.AppendInt32Element(b, name, int32(n))
	}
	return bsoncore.AppendInt64Element(b, name, n)
}

// addLists makes the lists that differ from what is stored. When all of them together have no room, each is cut by the
// same share, so that those with most hits stay.
func (d *derivation) addLists(old bson.Raw, top, room int) {
	share := func(int) int { return -1 }
	if d.size > room {
		share = func(n int) int { return int(float64(n) * float64(max(room, 0)) / float64(d.size)) }
	}
	for i := range aggregate.NumDims {
		dim := aggregate.Dim(i)
		if !dim.Nested() {
			d.addList(old, []string{dim.String()}, d.lists[dim][""], top, share)
			continue
		}
		for _, outer := range sortedKeys(d.lists[dim]) {
			d.addList(old, []string{dim.String(), outer}, d.lists[dim][outer], top, share)
		}
	}
}

func (d *derivation) addList(old bson.Raw, path []string, m map[aggregate.Key]*aggregate.Entry, top int, share func(int) int) {
	size := 0
	for k, e := range m {
		size += entryBytes(k, e)
	}
	at, arr := bsoncore.AppendArrayStart(nil)
	for i, k := range aggregate.Ranked(m, top, share(size), entryBytes) {
		arr = appendEntry(arr, strconv.Itoa(i), m[k])
	}
	arr, _ = bsoncore.AppendArrayEnd(arr, at)
	if v := old.Lookup(path...); v.Type == bson.TypeArray && bytes.Equal(v.Value, arr) {
		return
	}
	name := "lists." + path[0]
	if len(path) > 1 {
		name += "." + path[1]
	}
	f := d.part(len(arr) + len(name) + 8)
	*f = bsoncore.AppendArrayElement(*f, name, arr)
}

// entryBytes is about what a counter takes in its list, from above.
func entryBytes(_ aggregate.Key, e *aggregate.Entry) int {
	return 480 + len(e.Identifier) + len(e.Human) + 75*len(e.Codes)
}

// appendEntry writes a counter as the lists have it: with all fields, a minimum that the map leaves out as 0.
func appendEntry(arr []byte, index string, e *aggregate.Entry) []byte {
	at, b := bsoncore.AppendDocumentElementStart(arr, index)
	b = appendCount(b, "hits", e.Hits)
	b = appendCount(b, "success", e.Success)
	b = appendCount(b, "errortotal", e.Errors)
	b = appendErrorMap(b, e)
	b = bsoncore.AppendArrayElement(b, "errorlist", errorList(e))
	rt, lat, up := e.Averages()
	for _, f := range []struct {
		name string
		v    float64
	}{{"totalrequesttime", float64(e.RequestTime)}, {"requesttime", rt}, {"latency", lat}, {"upstreamlatency", up}} {
		b = bsoncore.AppendDoubleElement(b, f.name, f.v)
	}
	b = bsoncore.AppendStringElement(b, "identifier", e.Identifier)
	b = bsoncore.AppendStringElement(b, "humanidentifier", e.Human)
	b = bsoncore.AppendDateTimeElement(b, "lasttime", e.LastTime)
	for _, f := range []struct {
		name string
		v    int64
	}{{"minlatency", e.MinLatency}, {"maxlatency", e.MaxLatency}, {"totallatency", e.Latency},
		{"minupstreamlatency", e.MinUpstream}, {"maxupstreamlatency", e.MaxUpstream}, {"totalupstreamlatency", e.Upstream},
		{"openconnections", e.OpenConnections}, {"closedconnections", e.ClosedConnections},
		{"bytesin", e.BytesIn}, {"bytesout", e.BytesOut}} {
		b = bsoncore.AppendInt64Element(b, f.name, f.v)
	}
	b, _ = bsoncore.AppendDocumentEnd(b, at)
	return b
}

func appendErrorMap(b []byte, e *aggregate.Entry) []byte {
	at, b := bsoncore.AppendDocumentElementStart(b, "errormap")
	for _, c := range e.ErrorList() {
		b = appendCount(b, c.String(), c.Count)
	}
	b, _ = bsoncore.AppendDocumentEnd(b, at)
	return b
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
