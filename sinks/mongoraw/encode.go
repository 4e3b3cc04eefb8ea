package mongoraw

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	types "go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/bsontype"
	bson "go.mongodb.org/mongo-driver/x/bsonx/bsoncore"

	"sluice/internal/record"
)

// Limits of a document. The incumbent cuts bodies where they and 1 KiB for the rest exceed 10 MiB; MongoDB takes 16 MiB.
const (
	maxBodies   = 10<<20 - 1<<10
	maxDocument = 16 << 20
)

// truncatedResponse stands in for the response of a record whose bodies were cut: base64 of what the incumbent writes.
// RawResponse is base64 wherever the Dashboard reads it.
const truncatedResponse = "RG9jdW1lbnQgdG9vIGxhcmdlLCBub3Qgd3JpdGluZyByYXcgcmVxdWVzdCBhbmQgcmF3IHJlc3BvbnNlIQ=="

// fieldTruncated marks a document whose bodies were cut.
const fieldTruncated = "truncated"

func tooLarge(r *record.Record) bool { return len(r.RawRequest)+len(r.RawResponse) > maxBodies }

// appendRecord appends a record as the document the Dashboard reads. Field names and order, types, and times cut to
// milliseconds are the incumbent's. Strings keep their bytes, also NUL and invalid UTF-8. cut leaves the bodies out and
// says so. With expires, the collection has a TTL index, for which a record without expiry must not look expired.
func appendRecord(dst []byte, id record.ID, r *record.Record, cut, expires bool) []byte {
	request, response := r.RawRequest, r.RawResponse
	if cut {
		request, response = "", truncatedResponse
	}
	start, dst := bson.AppendDocumentStart(dst)
	dst = bson.AppendObjectIDElement(dst, "_id", [12]byte(id))
	dst = bson.AppendStringElement(dst, "method", r.Method)
	dst = bson.AppendStringElement(dst, "host", r.Host)
	dst = bson.AppendStringElement(dst, "path", r.Path)
	dst = bson.AppendStringElement(dst, "rawpath", r.RawPath)
	dst = bson.AppendInt64Element(dst, "contentlength", r.ContentLength)
	dst = bson.AppendStringElement(dst, "useragent", r.UserAgent)
	dst = bson.AppendInt32Element(dst, "day", r.Day)
	dst = bson.AppendInt32Element(dst, "month", r.Month)
	dst = bson.AppendInt32Element(dst, "year", r.Year)
	dst = bson.AppendInt32Element(dst, "hour", r.Hour)
	dst = bson.AppendInt32Element(dst, "responsecode", r.ResponseCode)
	dst = bson.AppendStringElement(dst, "apikey", r.APIKey)
	dst = bson.AppendDateTimeElement(dst, "timestamp", r.TimeStamp.UnixMilli())
	dst = bson.AppendStringElement(dst, "apiversion", r.APIVersion)
	dst = bson.AppendStringElement(dst, "apiname", r.APIName)
	dst = bson.AppendStringElement(dst, "apiid", r.APIID)
	dst = bson.AppendStringElement(dst, "orgid", r.OrgID)
	dst = bson.AppendStringElement(dst, "oauthid", r.OauthID)
	dst = bson.AppendInt64Element(dst, "requesttime", r.RequestTime)
	dst = bson.AppendStringElement(dst, "rawrequest", request)
	dst = bson.AppendStringElement(dst, "rawresponse", response)
	dst = bson.AppendStringElement(dst, "ipaddress", r.IPAddress)
	dst = appendGeo(dst, &r.Geo)
	dst = appendNetwork(dst, &r.Network)
	dst = appendLatency(dst, &r.Latency)
	dst = appendTags(dst, r.Tags)
	dst = bson.AppendStringElement(dst, "alias", r.Alias)
	dst = bson.AppendBooleanElement(dst, "trackpath", r.TrackPath)
	dst = appendExpireAt(dst, r.ExpireAt, expires)
	dst = bson.AppendStringElement(dst, "originalpath", r.OriginalPath)
	dst = bson.AppendStringElement(dst, "listenpath", r.ListenPath)
	if cut {
		dst = bson.AppendBooleanElement(dst, fieldTruncated, true)
	}
	return closeDocument(dst, start)
}

// appendUptime appends an uptime check.
func appendUptime(dst []byte, id record.ID, u *record.Uptime) []byte {
	start, dst := bson.AppendDocumentStart(dst)
	dst = bson.AppendObjectIDElement(dst, "_id", [12]byte(id))
	dst = bson.AppendStringElement(dst, "url", u.URL)
	dst = bson.AppendInt64Element(dst, "requesttime", u.RequestTime)
	dst = bson.AppendInt32Element(dst, "responsecode", u.ResponseCode)
	dst = bson.AppendBooleanElement(dst, "tcperror", u.TCPError)
	dst = bson.AppendBooleanElement(dst, "servererror", u.ServerError)
	dst = bson.AppendInt32Element(dst, "day", u.Day)
	dst = bson.AppendInt32Element(dst, "month", u.Month)
	dst = bson.AppendInt32Element(dst, "year", u.Year)
	dst = bson.AppendInt32Element(dst, "hour", u.Hour)
	dst = bson.AppendInt32Element(dst, "minute", u.Minute)
	dst = bson.AppendDateTimeElement(dst, "timestamp", u.TimeStamp.UnixMilli())
	dst = appendExpireAt(dst, u.ExpireAt, true)
	dst = bson.AppendStringElement(dst, "apiid", u.APIID)
	dst = bson.AppendStringElement(dst, "orgid", u.OrgID)
	return closeDocument(dst, start)
}

func appendGeo(dst []byte, g *record.Geo) []byte {
	geo, dst := bson.AppendDocumentElementStart(dst, "geo")
	country, dst := bson.AppendDocumentElementStart(dst, "country")
	dst = bson.AppendStringElement(dst, "isocode", g.Country.ISOCode)
	dst = closeDocument(dst, country)

	city, dst := bson.AppendDocumentElementStart(dst, "city")
	if g.City.GeoNameID <= math.MaxInt32 {
		dst = bson.AppendInt32Element(dst, "geonameid", int32(g.City.GeoNameID))
	} else {
		dst = bson.AppendInt64Element(dst, "geonameid", int64(g.City.GeoNameID))
	}
	names, dst := bson.AppendDocumentElementStart(dst, "names")
	dst = appendNames(dst, g.City.Names)
	dst = closeDocument(dst, names)
	dst = closeDocument(dst, city)

	location, dst := bson.AppendDocumentElementStart(dst, "location")
	dst = bson.AppendDoubleElement(dst, "latitude", g.Location.Latitude)
	dst = bson.AppendDoubleElement(dst, "longitude", g.Location.Longitude)
	dst = bson.AppendStringElement(dst, "timezone", g.Location.TimeZone)
	dst = closeDocument(dst, location)
	return closeDocument(dst, geo)
}

// appendNames appends city names by language, sorted so that a record always makes the same document.
func appendNames(dst []byte, names map[string]string) []byte {
	if len(names) == 0 {
		return dst
	}
	for _, language := range slices.Sorted(maps.Keys(names)) {
		dst = bson.AppendStringElement(dst, fieldName(language), names[language])
	}
	return dst
}

// fieldName makes a field name of any string, escaped as the keys of aggregates are: a NUL would end the name early and
// break the document, and the server refuses others.
func fieldName(s string) string {
	if s != "" && utf8.ValidString(s) && !strings.ContainsAny(s, "\x00.$\\") {
		return s
	}
	if s == "" {
		return `\u`
	}
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), `\u`, `\u5cu`)
	s = strings.ReplaceAll(s, ".", `\u2e`)
	s = strings.ReplaceAll(s, "\x00", `\u00`)
	if strings.HasPrefix(s, "$") {
		s = `\u24` + s[1:]
	}
	return s
}

func appendNetwork(dst []byte, n *record.Network) []byte {
	start, dst := bson.AppendDocumentElementStart(dst, "network")
	dst = bson.AppendInt64Element(dst, "openconnections", n.OpenConnections)
	dst = bson.AppendInt64Element(dst, "closedconnection", n.ClosedConnections)
	dst = bson.AppendInt64Element(dst, "bytesin", n.BytesIn)
	dst = bson.AppendInt64Element(dst, "bytesout", n.BytesOut)
	return closeDocument(dst, start)
}

func appendLatency(dst []byte, l *record.Latency) []byte {
	start, dst := bson.AppendDocumentElementStart(dst, "latency")
	dst = bson.AppendInt64Element(dst, "total", l.Total)
	dst = bson.AppendInt64Element(dst, "upstream", l.Upstream)
	dst = bson.AppendInt64Element(dst, "gateway", l.Gateway)
	return closeDocument(dst, start)
}

func appendTags(dst []byte, tags []string) []byte {
	start, dst := bson.AppendArrayElementStart(dst, "tags")
	for i, tag := range tags {
		dst = appendIndexHeader(dst, types.TypeString, i)
		dst = bson.AppendString(dst, tag)
	}
	return closeDocument(dst, start)
}

// appendIndexHeader begins an array element: BSON arrays are documents with the keys "0", "1", ...
func appendIndexHeader(dst []byte, t bsontype.Type, i int) []byte {
	dst = append(dst, byte(t))
	dst = strconv.AppendInt(dst, int64(i), 10)
	return append(dst, 0)
}

// appendExpireAt appends the expiry. A gateway that gave none wrote Go's zero time, which the incumbent stores as the
// year 1; under a TTL index that would delete the document within a minute, so there it is null, which never expires.
func appendExpireAt(dst []byte, t time.Time, expires bool) []byte {
	if expires && t.IsZero() {
		return bson.AppendNullElement(dst, "expireAt")
	}
	return bson.AppendDateTimeElement(dst, "expireAt", t.UnixMilli())
}

// closeDocument ends a document or array begun at start.
func closeDocument(dst []byte, start int32) []byte {
	dst = append(dst, 0)
	return bson.UpdateLength(dst, start, int32(len(dst))-start)
}
