// Package record has the typed analytics record, its identity and its codecs. It does no I/O.
package record

import "time"

// Record is one API request as a Tyk gateway reported it. Field names and meanings are the gateway's.
//
// Strings and slices may alias the payload that the record was decoded from: a record lives no longer than its
// payload, and neither is written to after decoding, but for masks, which replace values and never write into them.
// Strings hold the gateway's bytes as they are, also where they are not valid UTF-8 or hold NUL. A zero time is one that
// the gateway did not give. nil and empty slices and maps mean the same; msgpack tells them apart, and so they are kept.
type Record struct {
	Method         string
	Host           string
	Path           string
	RawPath        string
	ContentLength  int64
	UserAgent      string
	Day            int32 // Day, Month, Year and Hour are the gateway's local time: never used for buckets
	Month          int32
	Year           int32
	Hour           int32
	ResponseCode   int32 // -1: a TCP report, which carries Network counters only
	APIKey         string
	TimeStamp      time.Time // UTC
	APIVersion     string
	APIName        string
	APIID          string
	OrgID          string
	OauthID        string
	RequestTime    int64  // milliseconds
	RawRequest     string // base64, as the gateway wrote it
	RawResponse    string // base64
	IPAddress      string
	Geo            Geo
	Network        Network
	Latency        Latency
	Tags           []string
	Alias          string
	TrackPath      bool
	ExpireAt       time.Time // UTC; zero where the gateway gave none
	APISchema      string
	OriginalPath   string
	ListenPath     string
	GraphQL        GraphQLStats
	MCP            MCPStats
	CollectionName string // msgpack only; gateways leave it empty
	TimeZone       string // protobuf only: Go's name of the zone TimeStamp was taken in, "Local" as a rule
}

// Geo is where a request came from, empty unless the gateway has a GeoIP database.
type Geo struct {
	Country  Country
	City     City
	Location Location
}

// Country of a request.
type Country struct{ ISOCode string }

// City of a request.
type City struct {
	GeoNameID uint32
	Names     map[string]string
}

// Location of a request.
type Location struct {
	Latitude  float64
	Longitude float64
	TimeZone  string
}

// Network counters, filled by TCP reports (ResponseCode -1) only.
type Network struct {
	OpenConnections   int64
	ClosedConnections int64 // on the msgpack wire and in Mongo: ClosedConnection, without s
	BytesIn           int64
	BytesOut          int64
}

// Latency in milliseconds. protobuf has no Gateway.
type Latency struct {
	Total    int64
	Upstream int64
	Gateway  int64
}

// GraphQLStats of a GraphQL request.
type GraphQLStats struct {
	IsGraphQL     bool
	HasErrors     bool
	OperationType int32
	Variables     string
	RootFields    []string
	Types         map[string][]string
	Errors        []GraphQLError
}

// GraphQLError is one error of a GraphQL response. protobuf has no Path. A path's elements are what the upstream's JSON
// had: nil, bool, int64, uint64 (beyond int64 only), float64, string, []any or map[string]any, 64 levels deep at most.
type GraphQLError struct {
	Message string
	Path    []any
}

// MCPStats of a Model Context Protocol request.
type MCPStats struct {
	IsMCP         bool
	JSONRPCMethod string
	PrimitiveType string
	PrimitiveName string
}

// Uptime is one result of the gateway's host checker.
type Uptime struct {
	URL          string
	RequestTime  int64 // milliseconds
	ResponseCode int32
	TCPError     bool
	ServerError  bool
	Day          int32
	Month        int32
	Year         int32
	Hour         int32
	Minute       int32
	TimeStamp    time.Time
	ExpireAt     time.Time
	APIID        string
	OrgID        string
}

// Format is how a payload is encoded.
type Format uint8

// The formats a gateway writes.
const (
	Msgpack Format = iota
	Protobuf
)

// String names the format as the configuration does.
func (f Format) String() string {
	if f == Protobuf {
		return "protobuf"
	}
	return "msgpack"
}
