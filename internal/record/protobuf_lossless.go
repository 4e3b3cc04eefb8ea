package record

import (
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers that are not the gateway's.
const (
	pbOriginal       protowire.Number = 100 // the record as msgpack, where the fields below 100 cannot hold it
	pbLatencyGateway protowire.Number = 101
	pbCollectionName protowire.Number = 102
	pbEmpty          protowire.Number = 103
	pbZone           protowire.Number = 104 // TimeZone where it is not UTF-8, which msgpack has no place for
)

// Bits of pbEmpty: lists and maps that are there and empty.
const (
	emptyTags = 1 << iota
	emptyNames
	emptyRootFields
	emptyTypes
	emptyErrors
)

// AppendProtobufLossless appends r as an AnalyticsRecord that every reader of protobuf takes and that decodes to an equal
// record, whatever format r came in. What the gateway's message has no place for is in fields from 100 up; where a string
// is not UTF-8 its field has U+FFFD for the invalid bytes, and the record as it is lies in field 100.
func AppendProtobufLossless(dst []byte, r *Record) []byte {
	if !plain(r) {
		valid := sanitised(r)
		dst = AppendProtobuf(dst, &valid)
		dst = protowire.AppendBytes(protowire.AppendTag(dst, pbOriginal, protowire.BytesType), AppendMsgpack(nil, r))
		if !utf8.ValidString(r.TimeZone) {
			dst = pbStr(dst, pbZone, r.TimeZone)
		}
		return dst
	}
	dst = AppendProtobuf(dst, r)
	dst = pbInt(dst, pbLatencyGateway, r.Latency.Gateway)
	dst = pbStr(dst, pbCollectionName, r.CollectionName)
	return pbInt(dst, pbEmpty, emptiness(r))
}

func emptiness(r *Record) (bits int64) {
	for _, e := range []struct {
		bit   int64
		empty bool
	}{
		{emptyTags, r.Tags != nil && len(r.Tags) == 0}, {emptyNames, r.Geo.City.Names != nil && len(r.Geo.City.Names) == 0},
		{emptyRootFields, r.GraphQL.RootFields != nil && len(r.GraphQL.RootFields) == 0},
		{emptyTypes, r.GraphQL.Types != nil && len(r.GraphQL.Types) == 0},
		{emptyErrors, r.GraphQL.Errors != nil && len(r.GraphQL.Errors) == 0},
	} {
		if e.empty {
			bits |= e.bit
		}
	}
	return bits
}

// restoreEmpty is emptiness backwards.
func restoreEmpty(r *Record, bits int64) {
	if bits&emptyTags != 0 && r.Tags == nil {
		r.Tags = []string{}
	}
	if bits&emptyNames != 0 && r.Geo.City.Names == nil {
		r.Geo.City.Names = map[string]string{}
	}
	if bits&emptyRootFields != 0 && r.GraphQL.RootFields == nil {
		r.GraphQL.RootFields = []string{}
	}
	if bits&emptyTypes != 0 && r.GraphQL.Types == nil {
		r.GraphQL.Types = map[string][]string{}
	}
	if bits&emptyErrors != 0 && r.GraphQL.Errors == nil {
		r.GraphQL.Errors = []GraphQLError{}
	}
}

// plain tells whether the fields below 100, with those of the empty lists, hold the record.
func plain(r *Record) bool {
	for _, s := range r.texts() {
		if !utf8.ValidString(*s) {
			return false
		}
	}
	for key, value := range r.Geo.City.Names {
		if !utf8.ValidString(key) || !utf8.ValidString(value) {
			return false
		}
	}
	for key, fields := range r.GraphQL.Types {
		if !utf8.ValidString(key) || !allValid(fields) || fields != nil && len(fields) == 0 {
			return false
		}
	}
	for i := range r.GraphQL.Errors {
		if e := &r.GraphQL.Errors[i]; e.Path != nil || !utf8.ValidString(e.Message) {
			return false
		}
	}
	return allValid(r.Tags) && allValid(r.GraphQL.RootFields)
}

func allValid(list []string) bool {
	for _, s := range list {
		if !utf8.ValidString(s) {
			return false
		}
	}
	return true
}

// sanitised is the record with U+FFFD for what is not UTF-8. What it changes does not alias r.
func sanitised(r *Record) Record {
	v := *r
	for _, s := range v.texts() {
		*s = valid(*s)
	}
	v.Tags, v.GraphQL.RootFields = validAll(v.Tags), validAll(v.GraphQL.RootFields)
	v.Geo.City.Names = make(map[string]string, len(r.Geo.City.Names))
	for key, value := range r.Geo.City.Names {
		v.Geo.City.Names[valid(key)] = valid(value)
	}
	v.GraphQL.Types = make(map[string][]string, len(r.GraphQL.Types))
	for key, fields := range r.GraphQL.Types {
		v.GraphQL.Types[valid(key)] = validAll(fields)
	}
	v.GraphQL.Errors = make([]GraphQLError, len(r.GraphQL.Errors))
	for i := range r.GraphQL.Errors {
		v.GraphQL.Errors[i].Message = valid(r.GraphQL.Errors[i].Message)
	}
	return v
}

func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func validAll(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = valid(s)
	}
	return out
}

// texts are the record's single strings.
func (r *Record) texts() [26]*string {
	return [...]*string{&r.Method, &r.Host, &r.Path, &r.RawPath, &r.UserAgent, &r.APIKey, &r.APIVersion, &r.APIName, &r.APIID,
		&r.OrgID, &r.OauthID, &r.RawRequest, &r.RawResponse, &r.IPAddress, &r.Alias, &r.APISchema, &r.OriginalPath,
		&r.ListenPath, &r.CollectionName, &r.TimeZone, &r.Geo.Country.ISOCode, &r.Geo.Location.TimeZone,
		&r.GraphQL.Variables, &r.MCP.JSONRPCMethod, &r.MCP.PrimitiveType, &r.MCP.PrimitiveName}
}

// lossless reads the fields that are not the gateway's.
func (p *protobufRecord) lossless() bool {
	switch p.tag {
	case uint64(pbOriginal)<<3 | pbBytes:
		at := p.off
		p.original = p.bytes()
		p.originalAt = max(at, p.off-len(p.original))
		p.failed("Original")
	case uint64(pbLatencyGateway)<<3 | pbVarint:
		p.int64(&p.r.Latency.Gateway, "LatencyGateway")
	case uint64(pbCollectionName)<<3 | pbBytes:
		p.str(&p.r.CollectionName, "CollectionName")
	case uint64(pbEmpty)<<3 | pbVarint:
		p.int64(&p.empty, "Empty")
	case uint64(pbZone)<<3 | pbBytes:
		p.str(&p.zone, "TimeZoneBytes")
	default:
		return false
	}
	return true
}

// restore makes the record what it was before it was encoded.
func (d *Decoder) restore(p *protobufRecord) {
	if p.fail != nil {
		return
	}
	if p.original == nil {
		restoreEmpty(p.r, p.empty)
		return
	}
	zone := p.r.TimeZone
	if p.zone != "" {
		zone = p.zone
	}
	*p.r = Record{}
	if fail := d.decodeMsgpack(p.original, p.r); fail != nil {
		fail.Offset += p.originalAt
		p.fail = fail
		p.failed("Original")
		return
	}
	p.r.TimeZone = zone
}
