package record

import "encoding/binary"

// Numbers of keys that a gateway writes.
const (
	recordKeys = 35
	uptimeKeys = 14
)

// AppendMsgpack appends r as a gateway writes it: the same keys in the same order, the same form of every value. What
// was decoded from a gateway's payload encodes to the same bytes, but for the order of a map's entries, which is
// sorted. TimeZone has no place in it and is left out.
func AppendMsgpack(dst []byte, r *Record) []byte {
	dst = binary.BigEndian.AppendUint16(append(dst, mpMap16), recordKeys)
	dst = appendStr(appendStr(dst, "Method"), r.Method)
	dst = appendStr(appendStr(dst, "Host"), r.Host)
	dst = appendStr(appendStr(dst, "Path"), r.Path)
	dst = appendStr(appendStr(dst, "RawPath"), r.RawPath)
	dst = appendInt(appendStr(dst, "ContentLength"), r.ContentLength)
	dst = appendStr(appendStr(dst, "UserAgent"), r.UserAgent)
	dst = appendInt(appendStr(dst, "Day"), int64(r.Day))
	dst = appendInt(appendStr(dst, "Month"), int64(r.Month))
	dst = appendInt(appendStr(dst, "Year"), int64(r.Year))
	dst = appendInt(appendStr(dst, "Hour"), int64(r.Hour))
	dst = appendInt(appendStr(dst, "ResponseCode"), int64(r.ResponseCode))
	dst = appendStr(appendStr(dst, "APIKey"), r.APIKey)
	dst = appendTime(appendStr(dst, "TimeStamp"), r.TimeStamp)
	dst = appendStr(appendStr(dst, "APIVersion"), r.APIVersion)
	dst = appendStr(appendStr(dst, "APIName"), r.APIName)
	dst = appendStr(appendStr(dst, "APIID"), r.APIID)
	dst = appendStr(appendStr(dst, "OrgID"), r.OrgID)
	dst = appendStr(appendStr(dst, "OauthID"), r.OauthID)
	dst = appendInt(appendStr(dst, "RequestTime"), r.RequestTime)
	dst = appendStr(appendStr(dst, "RawRequest"), r.RawRequest)
	dst = appendStr(appendStr(dst, "RawResponse"), r.RawResponse)
	dst = appendStr(appendStr(dst, "IPAddress"), r.IPAddress)
	dst = appendGeo(appendStr(dst, "Geo"), &r.Geo)
	dst = appendNetwork(appendStr(dst, "Network"), &r.Network)
	dst = appendLatency(appendStr(dst, "Latency"), &r.Latency)
	dst = appendStrs(appendStr(dst, "Tags"), r.Tags)
	dst = appendStr(appendStr(dst, "Alias"), r.Alias)
	dst = appendBool(appendStr(dst, "TrackPath"), r.TrackPath)
	dst = appendTime(appendStr(dst, "ExpireAt"), r.ExpireAt)
	dst = appendStr(appendStr(dst, "ApiSchema"), r.APISchema)
	dst = appendStr(appendStr(dst, "OriginalPath"), r.OriginalPath)
	dst = appendStr(appendStr(dst, "ListenPath"), r.ListenPath)
	dst = appendGraphQL(appendStr(dst, "GraphQLStats"), &r.GraphQL)
	dst = appendMCP(appendStr(dst, "MCPStats"), &r.MCP)
	return appendStr(appendStr(dst, "CollectionName"), r.CollectionName)
}

func appendGeo(dst []byte, g *Geo) []byte {
	dst = appendMapLen(dst, 3)
	dst = appendMapLen(appendStr(dst, "Country"), 1)
	dst = appendStr(appendStr(dst, "ISOCode"), g.Country.ISOCode)
	dst = appendMapLen(appendStr(dst, "City"), 2)
	dst = appendUint(appendStr(dst, "GeoNameID"), uint64(g.City.GeoNameID))
	dst = appendMap(appendStr(dst, "Names"), g.City.Names, appendStr)
	dst = appendMapLen(appendStr(dst, "Location"), 3)
	dst = appendFloat(appendStr(dst, "Latitude"), g.Location.Latitude)
	dst = appendFloat(appendStr(dst, "Longitude"), g.Location.Longitude)
	return appendStr(appendStr(dst, "TimeZone"), g.Location.TimeZone)
}

func appendNetwork(dst []byte, w *Network) []byte {
	dst = appendMapLen(dst, 4)
	dst = appendInt(appendStr(dst, "OpenConnections"), w.OpenConnections)
	dst = appendInt(appendStr(dst, "ClosedConnection"), w.ClosedConnections)
	dst = appendInt(appendStr(dst, "BytesIn"), w.BytesIn)
	return appendInt(appendStr(dst, "BytesOut"), w.BytesOut)
}

func appendLatency(dst []byte, l *Latency) []byte {
	dst = appendMapLen(dst, 3)
	dst = appendInt(appendStr(dst, "Total"), l.Total)
	dst = appendInt(appendStr(dst, "Upstream"), l.Upstream)
	return appendInt(appendStr(dst, "Gateway"), l.Gateway)
}

func appendGraphQL(dst []byte, s *GraphQLStats) []byte {
	dst = appendMapLen(dst, 7)
	dst = appendStr(appendStr(dst, "Variables"), s.Variables)
	dst = appendStrs(appendStr(dst, "RootFields"), s.RootFields)
	dst = appendMap(appendStr(dst, "Types"), s.Types, appendStrs)
	dst = appendGraphQLErrors(appendStr(dst, "Errors"), s.Errors)
	dst = appendInt(appendStr(dst, "OperationType"), int64(s.OperationType))
	dst = appendBool(appendStr(dst, "HasErrors"), s.HasErrors)
	return appendBool(appendStr(dst, "IsGraphQL"), s.IsGraphQL)
}

func appendGraphQLErrors(dst []byte, list []GraphQLError) []byte {
	if list == nil {
		return append(dst, mpNil)
	}
	dst = appendArrayLen(dst, len(list))
	for _, e := range list {
		dst = appendMapLen(dst, 2)
		dst = appendStr(appendStr(dst, "Message"), e.Message)
		dst = appendAnys(appendStr(dst, "Path"), e.Path)
	}
	return dst
}

func appendMCP(dst []byte, s *MCPStats) []byte {
	dst = appendMapLen(dst, 4)
	dst = appendBool(appendStr(dst, "IsMCP"), s.IsMCP)
	dst = appendStr(appendStr(dst, "JSONRPCMethod"), s.JSONRPCMethod)
	dst = appendStr(appendStr(dst, "PrimitiveType"), s.PrimitiveType)
	return appendStr(appendStr(dst, "PrimitiveName"), s.PrimitiveName)
}

// AppendUptime appends u as the gateway's host checker writes it.
func AppendUptime(dst []byte, u *Uptime) []byte {
	dst = appendMapLen(dst, uptimeKeys)
	dst = appendStr(appendStr(dst, "URL"), u.URL)
	dst = appendInt(appendStr(dst, "RequestTime"), u.RequestTime)
	dst = appendInt(appendStr(dst, "ResponseCode"), int64(u.ResponseCode))
	dst = appendBool(appendStr(dst, "TCPError"), u.TCPError)
	dst = appendBool(appendStr(dst, "ServerError"), u.ServerError)
	dst = appendInt(appendStr(dst, "Day"), int64(u.Day))
	dst = appendInt(appendStr(dst, "Month"), int64(u.Month))
	dst = appendInt(appendStr(dst, "Year"), int64(u.Year))
	dst = appendInt(appendStr(dst, "Hour"), int64(u.Hour))
	dst = appendInt(appendStr(dst, "Minute"), int64(u.Minute))
	dst = appendTime(appendStr(dst, "TimeStamp"), u.TimeStamp)
	dst = appendTime(appendStr(dst, "ExpireAt"), u.ExpireAt)
	dst = appendStr(appendStr(dst, "APIID"), u.APIID)
	return appendStr(appendStr(dst, "OrgID"), u.OrgID)
}
