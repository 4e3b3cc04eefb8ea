package mongoimport

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/bson"

	"sluice/internal/record"
)

// ErrID says that a document's _id is no ObjectID, so that it has no place in an archive.
var ErrID = errors.New("its _id is no ObjectID")

// Decoded is a document as a record.
type Decoded struct {
	ID     record.ID // its _id
	Record record.Record
	Extra  []string // fields that no record has
}

// Decode reads a document. Fields are those of tyk-pump, which package mongoraw writes as well; what a document lacks, as those
// of older versions do, is empty. Numbers may be of any type that holds them exactly. Strings are copies.
func Decode(raw bson.Raw) (d Decoded, err error) {
	if err := raw.Validate(); err != nil {
		return d, fmt.Errorf("decode a document: %w", err)
	}
	oid, ok := raw.Lookup("_id").ObjectIDOK()
	if !ok {
		return d, ErrID
	}
	d.ID = record.ID(oid)
	r := &d.Record
	in := reading{what: oid.Hex()}
	in.each("", raw, func(key string, v bson.RawValue) {
		switch key {
		case "_id":
		case "geo":
			in.geo(&r.Geo, v)
		case "network":
			in.network(&r.Network, v)
		case "latency":
			in.latency(&r.Latency, v)
		case "tags":
			r.Tags = in.texts(key, v)
		default:
			if !in.plain(r, key, v) {
				d.Extra = append(d.Extra, key)
			}
		}
	})
	d.Extra = append(d.Extra, in.extra...)
	if in.err == nil && r.TimeStamp.IsZero() {
		in.fail("timestamp", "is missing")
	}
	return d, in.err
}

// textField is the field of a record that a document has under a name as a string; nil if there is none.
func textField(r *record.Record, key string) *string {
	switch key {
	case "method":
		return &r.Method
	case "host":
		return &r.Host
	case "path":
		return &r.Path
	case "rawpath":
		return &r.RawPath
	case "useragent":
		return &r.UserAgent
	case "apikey":
		return &r.APIKey
	case "apiversion":
		return &r.APIVersion
	case "apiname":
		return &r.APIName
	case "apiid":
		return &r.APIID
	case "orgid":
		return &r.OrgID
	case "oauthid":
		return &r.OauthID
	case "rawrequest":
		return &r.RawRequest
	case "rawresponse":
		return &r.RawResponse
	case "ipaddress":
		return &r.IPAddress
	case "alias":
		return &r.Alias
	case "originalpath":
		return &r.OriginalPath
	case "listenpath":
		return &r.ListenPath
	}
	return nil
}

// plain reads the fields that are one value.
func (in *reading) plain(r *record.Record, key string, v bson.RawValue) bool {
	if to := textField(r, key); to != nil {
		*to = in.text(key, v)
		return true
	}
	switch key {
	case "contentlength":
		r.ContentLength = in.number(key, v)
	case "requesttime":
		r.RequestTime = in.number(key, v)
	case "day":
		r.Day = in.small(key, v)
	case "month":
		r.Month = in.small(key, v)
	case "year":
		r.Year = in.small(key, v)
	case "hour":
		r.Hour = in.small(key, v)
	case "responsecode":
		r.ResponseCode = in.small(key, v)
	case "timestamp":
		r.TimeStamp = in.time(key, v)
	case "expireAt":
		r.ExpireAt = in.time(key, v)
	case "trackpath":
		r.TrackPath = in.flag(key, v)
	default:
		return false
	}
	return true
}

func (in *reading) geo(g *record.Geo, v bson.RawValue) {
	in.each("geo", in.document("geo", v), func(key string, v bson.RawValue) {
		switch key {
		case "country":
			in.each("geo.country", in.document("geo.country", v), func(key string, v bson.RawValue) {
				if key == "isocode" {
					g.Country.ISOCode = in.text(key, v)
					return
				}
				in.strange("geo.country." + key)
			})
		case "city":
			in.city(&g.City, v)
		case "location":
			in.each("geo.location", in.document("geo.location", v), func(key string, v bson.RawValue) {
				switch key {
				case "latitude":
					g.Location.Latitude = in.float(key, v)
				case "longitude":
					g.Location.Longitude = in.float(key, v)
				case "timezone":
					g.Location.TimeZone = in.text(key, v)
				default:
					in.strange("geo.location." + key)
				}
			})
		default:
			in.strange("geo." + key)
		}
	})
}

func (in *reading) city(c *record.City, v bson.RawValue) {
	in.each("geo.city", in.document("geo.city", v), func(key string, v bson.RawValue) {
		switch key {
		case "geonameid":
			n := in.number(key, v)
			if c.GeoNameID = uint32(n); int64(c.GeoNameID) != n {
				in.fail("geo.city.geonameid", "is out of range")
			}
		case "names":
			in.each("geo.city.names", in.document("geo.city.names", v), func(language string, v bson.RawValue) {
				if c.Names == nil {
					c.Names = map[string]string{}
				}
				c.Names[strings.Clone(language)] = in.text(language, v)
			})
		default:
			in.strange("geo.city." + key)
		}
	})
}

func (in *reading) network(n *record.Network, v bson.RawValue) {
	in.numbers("network", v, map[string]*int64{"openconnections": &n.OpenConnections, "closedconnection": &n.ClosedConnections,
		"bytesin": &n.BytesIn, "bytesout": &n.BytesOut})
}

func (in *reading) latency(l *record.Latency, v bson.RawValue) {
	in.numbers("latency", v, map[string]*int64{"total": &l.Total, "upstream": &l.Upstream, "gateway": &l.Gateway})
}

func (in *reading) numbers(what string, v bson.RawValue, to map[string]*int64) {
	in.each(what, in.document(what, v), func(key string, v bson.RawValue) {
		if n := to[key]; n != nil {
			*n = in.number(key, v)
			return
		}
		in.strange(what + "." + key)
	})
}

// reading is a document under way, and the first thing that was wrong with it.
type reading struct {
	what  string
	extra []string
	err   error
}

func (in *reading) fail(key, why string) {
	if in.err == nil {
		in.err = fmt.Errorf("decode document %s: %s %s", in.what, key, why)
	}
}

func (in *reading) strange(key string) { in.extra = append(in.extra, key) }

func (in *reading) each(what string, doc bson.Raw, do func(key string, v bson.RawValue)) {
	if doc == nil {
		return
	}
	elements, err := doc.Elements()
	if err != nil {
		in.fail(what, err.Error())
		return
	}
	for _, e := range elements {
		do(e.Key(), e.Value())
	}
}

func (in *reading) document(key string, v bson.RawValue) bson.Raw {
	if none(v) {
		return nil
	}
	doc, ok := v.DocumentOK()
	if !ok {
		in.fail(key, "is no document but of type "+v.Type.String())
	}
	return doc
}

func none(v bson.RawValue) bool { return v.Type == bson.TypeNull || v.Type == bson.TypeUndefined }

func (in *reading) text(key string, v bson.RawValue) string {
	if none(v) {
		return ""
	}
	s, ok := v.StringValueOK()
	if !ok {
		in.fail(key, "is no string but of type "+v.Type.String())
	}
	return strings.Clone(s)
}

func (in *reading) texts(key string, v bson.RawValue) (out []string) {
	if none(v) {
		return nil
	}
	list, ok := v.ArrayOK()
	if !ok {
		in.fail(key, "is no array but of type "+v.Type.String())
		return nil
	}
	in.each(key, list, func(_ string, v bson.RawValue) { out = append(out, in.text(key, v)) })
	return out
}

func (in *reading) flag(key string, v bson.RawValue) bool {
	if none(v) {
		return false
	}
	b, ok := v.BooleanOK()
	if !ok {
		in.fail(key, "is no boolean but of type "+v.Type.String())
	}
	return b
}

func (in *reading) float(key string, v bson.RawValue) float64 {
	if f, ok := v.DoubleOK(); ok {
		return f
	}
	return float64(in.number(key, v))
}

func (in *reading) number(key string, v bson.RawValue) int64 {
	switch v.Type {
	case bson.TypeInt32:
		return int64(v.Int32())
	case bson.TypeInt64:
		return v.Int64()
	case bson.TypeDouble:
		if f := v.Double(); f == math.Trunc(f) && math.Abs(f) <= 1<<53 {
			return int64(f)
		}
	case bson.TypeNull, bson.TypeUndefined:
		return 0
	}
	in.fail(key, "is no whole number but of type "+v.Type.String())
	return 0
}

func (in *reading) small(key string, v bson.RawValue) int32 {
	n := in.number(key, v)
	if int64(int32(n)) != n {
		in.fail(key, "is out of range")
	}
	return int32(n)
}

// time reads a time in milliseconds. The incumbent stores Go's zero time as the year 1.
func (in *reading) time(key string, v bson.RawValue) time.Time {
	if none(v) {
		return time.Time{}
	}
	ms, ok := v.DateTimeOK()
	if !ok {
		in.fail(key, "is no date but of type "+v.Type.String())
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
