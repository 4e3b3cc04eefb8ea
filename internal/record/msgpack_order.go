package record

import "strings"

// Gateways write the fields of a record in one order, and nearly always the same empty structures. Who expects the next
// key compares a few bytes in place of telling one key from thirty-four, and passes an empty structure at once. Whatever
// is not as expected is left to the general reader, which is also the only one that says what is wrong with a payload.

// What gateways write for structures that a request has no use for.
const (
	mpNoGeo = "\x83\xa7Country\x81\xa7ISOCode\xa0\xa4City\x82\xa9GeoNameID\x00\xa5Names\xc0" +
		"\xa8Location\x83\xa8Latitude\xcb\x00\x00\x00\x00\x00\x00\x00\x00\xa9Longitude\xcb\x00\x00\x00\x00\x00\x00\x00\x00" +
		"\xa8TimeZone\xa0"
	mpNoNetwork = "\x84\xafOpenConnections\x00\xb0ClosedConnection\x00\xa7BytesIn\x00\xa8BytesOut\x00"
	mpNoGraphQL = "\x87\xa9Variables\xa0\xaaRootFields\xc0\xa5Types\xc0\xa6Errors\xc0\xadOperationType\x00" +
		"\xa9HasErrors\xc2\xa9IsGraphQL\xc2"
	mpNoMCP = "\x84\xa5IsMCP\xc2\xadJSONRPCMethod\xa0\xadPrimitiveType\xa0\xadPrimitiveName\xa0"
)

// next passes these bytes if they come next.
func (m *msgpackReader) next(want string) bool {
	if !strings.HasPrefix(m.text[m.off:], want) {
		return false
	}
	m.off += len(want)
	return true
}

// inOrder reads the fields that come in the order of gateways, from the first on, and returns how many. One that is not
// where it belongs is passed over, and read by whoever reads the rest. It may read more than the map has.
func (m *msgpackReader) inOrder(r *Record) int {
	return m.orderedRequest(r) + m.orderedCaller(r) + m.orderedTraffic(r) + m.orderedRest(r)
}

func (m *msgpackReader) orderedRequest(r *Record) (n int) {
	if m.next("\xa6Method") {
		r.Method, n = m.str(), n+1
	}
	if m.next("\xa4Host") {
		r.Host, n = m.str(), n+1
	}
	if m.next("\xa4Path") {
		r.Path, n = m.str(), n+1
	}
	if m.next("\xa7RawPath") {
		r.RawPath, n = m.str(), n+1
	}
	if m.next("\xadContentLength") {
		r.ContentLength, n = m.int64(), n+1
	}
	if m.next("\xa9UserAgent") {
		r.UserAgent, n = m.str(), n+1
	}
	if m.next("\xa3Day") {
		r.Day, n = m.int32(), n+1
	}
	if m.next("\xa5Month") {
		r.Month, n = m.int32(), n+1
	}
	if m.next("\xa4Year") {
		r.Year, n = m.int32(), n+1
	}
	if m.next("\xa4Hour") {
		r.Hour, n = m.int32(), n+1
	}
	if m.next("\xacResponseCode") {
		r.ResponseCode, n = m.int32(), n+1
	}
	return n
}

func (m *msgpackReader) orderedCaller(r *Record) (n int) {
	if m.next("\xa6APIKey") {
		r.APIKey, n = m.str(), n+1
	}
	if m.next("\xa9TimeStamp") {
		r.TimeStamp, n = m.time(), n+1
	}
	if m.next("\xaaAPIVersion") {
		r.APIVersion, n = m.str(), n+1
	}
	if m.next("\xa7APIName") {
		r.APIName, n = m.str(), n+1
	}
	if m.next("\xa5APIID") {
		r.APIID, n = m.str(), n+1
	}
	if m.next("\xa5OrgID") {
		r.OrgID, n = m.str(), n+1
	}
	if m.next("\xa7OauthID") {
		r.OauthID, n = m.str(), n+1
	}
	if m.next("\xabRequestTime") {
		r.RequestTime, n = m.int64(), n+1
	}
	if m.next("\xaaRawRequest") {
		r.RawRequest, n = m.str(), n+1
	}
	if m.next("\xabRawResponse") {
		r.RawResponse, n = m.str(), n+1
	}
	if m.next("\xa9IPAddress") {
		r.IPAddress, n = m.str(), n+1
	}
	return n
}

func (m *msgpackReader) orderedTraffic(r *Record) (n int) {
	switch {
	case m.next("\xa3Geo" + mpNoGeo):
		n++ // nothing in it
	case m.next("\xa3Geo"):
		r.Geo, n = m.geo(), n+1
	}
	switch {
	case m.next("\xa7Network" + mpNoNetwork):
		n++ // nothing in it
	case m.next("\xa7Network"):
		r.Network, n = m.network(), n+1
	}
	if m.next("\xa7Latency") {
		r.Latency, n = m.latency(), n+1
	}
	if m.next("\xa4Tags") {
		r.Tags, n = m.strs(), n+1
	}
	if m.next("\xa5Alias") {
		r.Alias, n = m.str(), n+1
	}
	if m.next("\xa9TrackPath") {
		r.TrackPath, n = m.bool(), n+1
	}
	if m.next("\xa8ExpireAt") {
		r.ExpireAt, n = m.time(), n+1
	}
	return n
}

func (m *msgpackReader) orderedRest(r *Record) (n int) {
	if m.next("\xa9ApiSchema") {
		r.APISchema, n = m.str(), n+1
	}
	if m.next("\xacOriginalPath") {
		r.OriginalPath, n = m.str(), n+1
	}
	if m.next("\xaaListenPath") {
		r.ListenPath, n = m.str(), n+1
	}
	switch {
	case m.next("\xacGraphQLStats" + mpNoGraphQL):
		n++ // nothing in it
	case m.next("\xacGraphQLStats"):
		r.GraphQL, n = m.graphQL(), n+1
	}
	switch {
	case m.next("\xa8MCPStats" + mpNoMCP):
		n++ // nothing in it
	case m.next("\xa8MCPStats"):
		r.MCP, n = m.mcp(), n+1
	}
	if m.next("\xaeCollectionName") {
		r.CollectionName, n = m.str(), n+1
	}
	return n
}
