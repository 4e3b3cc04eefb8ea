package reference

import (
	"errors"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"sluice/internal/record"
)

var descriptor = sync.OnceValues(Descriptor)

// ErrNoVerdict says that the protobuf library itself failed.
var ErrNoVerdict = errors.New("the protobuf library panicked")

// Protobuf decodes an analytics record with the protobuf library and the schema.
func Protobuf(payload []byte) (r record.Record, err error) {
	desc, err := descriptor()
	if err != nil {
		return r, err
	}
	defer func() { // v1.36 does at a map's entry whose key or value comes again with another wire type
		if recover() != nil {
			r, err = record.Record{}, ErrNoVerdict
		}
	}()
	msg := dynamicpb.NewMessage(desc)
	if err := proto.Unmarshal(payload, msg); err != nil {
		return r, err
	}
	if len(msg.GetUnknown()) == len(payload) { // nothing was known
		return r, errPoison
	}
	m := message{msg}
	if r.TimeStamp, err = m.time("TimeStamp"); err != nil {
		return record.Record{}, err
	}
	if r.ExpireAt, err = m.time("ExpireAt"); err != nil {
		return record.Record{}, err
	}
	m.fill(&r)
	return m.lossless(r)
}

// lossless takes the fields that are not the gateway's into account.
func (m message) lossless(r record.Record) (record.Record, error) {
	if m.Has(m.Descriptor().Fields().ByName("Original")) {
		original, err := Msgpack(m.get("Original").Bytes())
		if err != nil {
			return record.Record{}, err
		}
		original.TimeZone = r.TimeZone
		if zone := m.get("TimeZoneBytes").Bytes(); len(zone) > 0 {
			original.TimeZone = string(zone)
		}
		return original, nil
	}
	r.Latency.Gateway, r.CollectionName = m.num("LatencyGateway"), m.str("CollectionName")
	empty := m.num("Empty")
	for bit, restore := range []func(){
		func() { r.Tags = append([]string{}, r.Tags...) },
		func() {
			if r.Geo.City.Names == nil {
				r.Geo.City.Names = map[string]string{}
			}
		},
		func() { r.GraphQL.RootFields = append([]string{}, r.GraphQL.RootFields...) },
		func() {
			if r.GraphQL.Types == nil {
				r.GraphQL.Types = map[string][]string{}
			}
		},
		func() { r.GraphQL.Errors = append([]record.GraphQLError{}, r.GraphQL.Errors...) },
	} {
		if empty>>bit&1 == 1 {
			restore()
		}
	}
	return r, nil
}

// message reads fields by name.
type message struct{ protoreflect.Message }

func (m message) get(name protoreflect.Name) protoreflect.Value {
	return m.Get(m.Descriptor().Fields().ByName(name))
}

func (m message) in(name protoreflect.Name) message { return message{m.get(name).Message()} }
func (m message) str(name protoreflect.Name) string { return m.get(name).String() }
func (m message) num(name protoreflect.Name) int64  { return m.get(name).Int() }
func (m message) bool(name protoreflect.Name) bool  { return m.get(name).Bool() }

func (m message) list(name protoreflect.Name) (list []string) {
	values := m.get(name).List()
	for i := range values.Len() {
		list = append(list, values.Get(i).String())
	}
	return list
}

func (m message) time(name protoreflect.Name) (time.Time, error) {
	if !m.Has(m.Descriptor().Fields().ByName(name)) {
		return time.Time{}, nil
	}
	t := m.in(name)
	ts := &timestamppb.Timestamp{Seconds: t.num("seconds"), Nanos: int32(t.num("nanos"))}
	if err := ts.CheckValid(); err != nil {
		return time.Time{}, err
	}
	return utc(ts.AsTime())
}

func (m message) fill(r *record.Record) {
	r.Host, r.Method, r.Path, r.RawPath = m.str("Host"), m.str("Method"), m.str("Path"), m.str("RawPath")
	r.ContentLength, r.UserAgent = m.num("ContentLength"), m.str("UserAgent")
	r.Day, r.Month, r.Year = int32(m.num("Day")), int32(m.num("Month")), int32(m.num("Year"))
	r.Hour, r.ResponseCode = int32(m.num("Hour")), int32(m.num("ResponseCode"))
	r.APIKey, r.APIVersion, r.APIName = m.str("APIKey"), m.str("APIVersion"), m.str("APIName")
	r.APIID, r.OrgID, r.RequestTime = m.str("APIID"), m.str("OrgID"), m.num("RequestTime")
	latency := m.in("Latency")
	r.Latency = record.Latency{Total: latency.num("Total"), Upstream: latency.num("Upstream")}
	r.RawRequest, r.RawResponse, r.IPAddress = m.str("RawRequest"), m.str("RawResponse"), m.str("IPAddress")
	r.Geo = m.in("Geo").geo()
	network := m.in("Network")
	r.Network = record.Network{OpenConnections: network.num("OpenConnections"),
		ClosedConnections: network.num("ClosedConnections"), BytesIn: network.num("BytesIn"), BytesOut: network.num("BytesOut")}
	r.Tags, r.Alias, r.TrackPath, r.OauthID = m.list("Tags"), m.str("Alias"), m.bool("TrackPath"), m.str("OauthID")
	r.TimeZone, r.APISchema, r.GraphQL = m.str("TimeZone"), m.str("ApiSchema"), m.in("GraphQLStats").graphQL()
	mcp := m.in("MCPStats")
	r.MCP = record.MCPStats{IsMCP: mcp.bool("IsMCP"), JSONRPCMethod: mcp.str("JSONRPCMethod"),
		PrimitiveType: mcp.str("PrimitiveType"), PrimitiveName: mcp.str("PrimitiveName")}
	r.OriginalPath, r.ListenPath = m.str("OriginalPath"), m.str("ListenPath")
}

func (m message) geo() (g record.Geo) {
	g.Country.ISOCode = m.in("Country").str("ISOCode")
	city, location := m.in("City"), m.in("Location")
	g.City.GeoNameID = uint32(city.get("GeoNameID").Uint())
	city.get("Names").Map().Range(func(key protoreflect.MapKey, value protoreflect.Value) bool {
		if g.City.Names == nil {
			g.City.Names = map[string]string{}
		}
		g.City.Names[key.String()] = value.String()
		return true
	})
	g.Location = record.Location{Latitude: location.get("Latitude").Float(),
		Longitude: location.get("Longitude").Float(), TimeZone: location.str("TimeZone")}
	return g
}

func (m message) graphQL() (s record.GraphQLStats) {
	s.IsGraphQL, s.HasErrors, s.Variables = m.bool("IsGraphQL"), m.bool("HasError"), m.str("Variables")
	s.OperationType, s.RootFields = int32(m.get("OperationType").Enum()), m.list("RootFields")
	m.get("Types").Map().Range(func(key protoreflect.MapKey, value protoreflect.Value) bool {
		if s.Types == nil {
			s.Types = map[string][]string{}
		}
		s.Types[key.String()] = message{value.Message()}.list("Fields")
		return true
	})
	for _, text := range m.list("GraphErrors") {
		s.Errors = append(s.Errors, record.GraphQLError{Message: text})
	}
	return s
}
