package record

import (
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// AppendProtobuf appends r as an AnalyticsRecord, schemas/proto/analytics.proto, as a gateway writes it: fields in the
// order of their numbers, nested messages also where they are empty, but for those of GraphQL and MCP. What was decoded
// from a gateway's payload encodes to the same bytes, but for the order of a map's entries, which is sorted. It has no
// place for Latency.Gateway, CollectionName and the paths of GraphQL errors. Strings are written as they are: where one
// is not valid UTF-8, most other readers of protobuf refuse the record.
func AppendProtobuf(dst []byte, r *Record) []byte {
	dst = pbStr(dst, 1, r.Host)
	dst = pbStr(dst, 2, r.Method)
	dst = pbStr(dst, 3, r.Path)
	dst = pbStr(dst, 4, r.RawPath)
	dst = pbInt(dst, 5, r.ContentLength)
	dst = pbStr(dst, 6, r.UserAgent)
	dst = pbInt(dst, 7, int64(r.Day))
	dst = pbInt(dst, 8, int64(r.Month))
	dst = pbInt(dst, 9, int64(r.Year))
	dst = pbInt(dst, 10, int64(r.Hour))
	dst = pbInt(dst, 11, int64(r.ResponseCode))
	dst = pbStr(dst, 12, r.APIKey)
	dst = pbTime(dst, 13, r.TimeStamp)
	dst = pbStr(dst, 14, r.APIVersion)
	dst = pbStr(dst, 15, r.APIName)
	dst = pbStr(dst, 16, r.APIID)
	dst = pbStr(dst, 17, r.OrgID)
	dst = pbInt(dst, 18, r.RequestTime)
	dst = pbMessage(dst, 19, func(b []byte) []byte {
		return pbInt(pbInt(b, 1, r.Latency.Total), 2, r.Latency.Upstream)
	})
	dst = pbStr(dst, 20, r.RawRequest)
	dst = pbStr(dst, 21, r.RawResponse)
	dst = pbStr(dst, 22, r.IPAddress)
	dst = pbMessage(dst, 23, func(b []byte) []byte { return pbGeo(b, &r.Geo) })
	dst = pbMessage(dst, 24, func(b []byte) []byte { return pbNetwork(b, &r.Network) })
	dst = pbStrs(dst, 25, r.Tags)
	dst = pbStr(dst, 26, r.Alias)
	dst = pbBool(dst, 27, r.TrackPath)
	dst = pbTime(dst, 28, r.ExpireAt)
	dst = pbStr(dst, 29, r.OauthID)
	dst = pbStr(dst, 30, r.TimeZone)
	dst = pbStr(dst, 31, r.APISchema)
	dst = pbSome(dst, 32, func(b []byte) []byte { return pbGraphQL(b, &r.GraphQL) })
	dst = pbSome(dst, 33, func(b []byte) []byte { return pbMCP(b, &r.MCP) })
	dst = pbStr(dst, 34, r.OriginalPath)
	return pbStr(dst, 35, r.ListenPath)
}

func pbGeo(dst []byte, g *Geo) []byte {
	dst = pbMessage(dst, 1, func(b []byte) []byte { return pbStr(b, 1, g.Country.ISOCode) })
	dst = pbMessage(dst, 2, func(b []byte) []byte {
		for _, key := range sortedKeys(g.City.Names) {
			b = pbMessage(b, 1, func(b []byte) []byte { return pbStr(pbStr(b, 1, key), 2, g.City.Names[key]) })
		}
		return pbInt(b, 2, int64(g.City.GeoNameID))
	})
	return pbMessage(dst, 3, func(b []byte) []byte {
		b = pbDouble(pbDouble(b, 1, g.Location.Latitude), 2, g.Location.Longitude)
		return pbStr(b, 3, g.Location.TimeZone)
	})
}

func pbNetwork(dst []byte, w *Network) []byte {
	dst = pbInt(pbInt(dst, 1, w.OpenConnections), 2, w.ClosedConnections)
	return pbInt(pbInt(dst, 3, w.BytesIn), 4, w.BytesOut)
}

func pbGraphQL(dst []byte, s *GraphQLStats) []byte {
	dst = pbBool(dst, 1, s.IsGraphQL)
	for _, key := range sortedKeys(s.Types) {
		dst = pbMessage(dst, 2, func(b []byte) []byte {
			return pbMessage(pbStr(b, 1, key), 2, func(b []byte) []byte { return pbStrs(b, 1, s.Types[key]) })
		})
	}
	dst = pbInt(dst, 3, int64(s.OperationType))
	dst = pbStr(dst, 4, s.Variables)
	dst = pbStrs(dst, 5, s.RootFields)
	dst = pbBool(dst, 6, s.HasErrors)
	for _, e := range s.Errors {
		dst = protowire.AppendString(protowire.AppendTag(dst, 7, protowire.BytesType), e.Message)
	}
	return dst
}

func pbMCP(dst []byte, s *MCPStats) []byte {
	dst = pbStr(pbBool(dst, 1, s.IsMCP), 2, s.JSONRPCMethod)
	return pbStr(pbStr(dst, 3, s.PrimitiveType), 4, s.PrimitiveName)
}

// The functions below leave fields out that have their zero value, as proto3 does.

func pbStr(dst []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return dst
	}
	return protowire.AppendString(protowire.AppendTag(dst, field, protowire.BytesType), s)
}

// pbStrs writes empty strings too: a list's elements count.
func pbStrs(dst []byte, field protowire.Number, list []string) []byte {
	for _, s := range list {
		dst = protowire.AppendString(protowire.AppendTag(dst, field, protowire.BytesType), s)
	}
	return dst
}

func pbInt(dst []byte, field protowire.Number, n int64) []byte {
	if n == 0 {
		return dst
	}
	return protowire.AppendVarint(protowire.AppendTag(dst, field, protowire.VarintType), uint64(n))
}

func pbBool(dst []byte, field protowire.Number, b bool) []byte {
	return pbInt(dst, field, int64(protowire.EncodeBool(b)))
}

func pbDouble(dst []byte, field protowire.Number, f float64) []byte {
	bits := math.Float64bits(f) // negative zero is not the zero value
	if bits == 0 {
		return dst
	}
	return protowire.AppendFixed64(protowire.AppendTag(dst, field, protowire.Fixed64Type), bits)
}

func pbTime(dst []byte, field protowire.Number, t time.Time) []byte {
	if t.IsZero() {
		return dst
	}
	return pbMessage(dst, field, func(b []byte) []byte {
		return pbInt(pbInt(b, 1, t.Unix()), 2, int64(t.Nanosecond()))
	})
}

// pbMessage writes a nested message, then moves it to make room for its length, which is seldom more than one byte.
func pbMessage(dst []byte, field protowire.Number, body func([]byte) []byte) []byte {
	dst = protowire.AppendTag(dst, field, protowire.BytesType)
	start := len(dst)
	dst = body(dst)
	n := len(dst) - start
	dst = protowire.AppendVarint(dst, uint64(n)) // grows it by the length's own length
	copy(dst[start+protowire.SizeVarint(uint64(n)):], dst[start:start+n])
	protowire.AppendVarint(dst[:start], uint64(n))
	return dst
}

// pbSome writes a nested message unless it is empty.
func pbSome(dst []byte, field protowire.Number, body func([]byte) []byte) []byte {
	start := len(dst)
	dst = pbMessage(dst, field, body)
	if len(dst) == start+protowire.SizeTag(field)+1 { // the tag and a length of 0
		return dst[:start]
	}
	return dst
}
