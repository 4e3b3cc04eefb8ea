package mongoagg

import (
	"strconv"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/x/bsonx/bsoncore"

	"sluice/aggregate"
)

// eachCounter visits the counters of a stored document's maps. What is no counter (the incumbent left such things where
// a key had a dot) is passed over.
func eachCounter(doc bson.Raw, visit func(aggregate.Dim, aggregate.Key, bson.Raw)) {
	for i := range aggregate.NumDims {
		dim := aggregate.Dim(i)
		m, ok := doc.Lookup(dim.String()).DocumentOK()
		if !ok {
			continue
		}
		if !dim.Nested() {
			eachIn(m, func(k string, c bson.Raw) { visit(dim, aggregate.Key{Name: k}, c) })
			continue
		}
		eachDocument(m, func(outer string, inner bson.Raw) {
			eachIn(inner, func(k string, c bson.Raw) { visit(dim, aggregate.Key{Outer: outer, Name: k}, c) })
		})
	}
}

func eachIn(m bson.Raw, visit func(string, bson.Raw)) {
	eachDocument(m, func(k string, c bson.Raw) {
		if _, err := c.LookupErr("hits"); err == nil {
			visit(k, c)
		}
	})
}

func eachDocument(m bson.Raw, visit func(string, bson.Raw)) {
	eachElement(m, func(key []byte, v bson.RawValue) {
		if c, ok := v.DocumentOK(); ok {
			visit(string(key), c)
		}
	})
}

// eachElement visits the elements of a document that the server sent, without a list of them.
func eachElement(m bson.Raw, visit func(key []byte, v bson.RawValue)) {
	_, rest, ok := bsoncore.ReadLength(m)
	for ok && len(rest) > 1 {
		var e bsoncore.Element
		if e, rest, ok = bsoncore.ReadElement(rest); !ok {
			return
		}
		if v, err := e.ValueErr(); err == nil {
			visit(e.KeyBytes(), bson.RawValue{Type: v.Type, Value: v.Data})
		}
	}
}

// stored is a counter as it was read.
type stored struct {
	aggregate.Entry
	hasLast, hasMin, hasMax        bool
	requestTime, latency, upstream bson.RawValue // derived, as they are
	errorList                      bson.RawValue
}

// decodeCounter reads a counter. Numbers may have any numeric type: the incumbent stores the same in several.
func decodeCounter(raw bson.Raw) (s stored) {
	eachElement(raw, func(key []byte, v bson.RawValue) {
		switch string(key) {
		case "hits":
			s.Hits = integer(v)
		case "success":
			s.Success = integer(v)
		case "errortotal":
			s.Errors = integer(v)
		case "totalrequesttime":
			s.RequestTime = integer(v)
		case "totallatency":
			s.Latency = integer(v)
		case "totalupstreamlatency":
			s.Upstream = integer(v)
		case "maxlatency":
			s.MaxLatency, s.hasMax = integer(v), true
		case "maxupstreamlatency":
			s.MaxUpstream = integer(v)
		case "minlatency":
			s.MinLatency, s.hasMin = integer(v), true
		case "minupstreamlatency":
			s.MinUpstream = integer(v)
		case "openconnections":
			s.OpenConnections = integer(v)
		case "closedconnections":
			s.ClosedConnections = integer(v)
		case "bytesin":
			s.BytesIn = integer(v)
		case "bytesout":
			s.BytesOut = integer(v)
		case "lasttime":
			s.LastTime, s.hasLast = v.DateTimeOK()
		case "identifier":
			s.Identifier, _ = v.StringValueOK()
		case "humanidentifier":
			s.Human, _ = v.StringValueOK()
		case "errormap":
			s.Codes = decodeCodes(v)
		case "errorlist":
			s.errorList = v
		case "requesttime":
			s.requestTime = v
		case "latency":
			s.latency = v
		case "upstreamlatency":
			s.upstream = v
		}
	})
	if !s.hasLast {
		s.LastTime = time.Time{}.UnixMilli() // what the Dashboard reads where there is none
	}
	return s
}

func decodeCodes(v bson.RawValue) (out []aggregate.CodeCount) {
	m, ok := v.DocumentOK()
	if !ok {
		return nil
	}
	es, err := m.Elements()
	if err != nil {
		return nil
	}
	for _, e := range es {
		code := int64(aggregate.OtherCode)
		if e.Key() != aggregate.Other {
			if code, err = strconv.ParseInt(e.Key(), 10, 32); err != nil {
				continue
			}
		}
		out = append(out, aggregate.CodeCount{Code: int32(code), Count: integer(e.Value())})
	}
	return out
}

func integer(v bson.RawValue) int64 {
	switch v.Type {
	case bson.TypeInt32:
		return int64(v.Int32())
	case bson.TypeInt64:
		return v.Int64()
	case bson.TypeDouble:
		return int64(v.Double())
	}
	return 0
}
