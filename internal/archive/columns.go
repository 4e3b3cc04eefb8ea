package archive

import (
	"time"

	"sluice/internal/record"
)

// column is a name and how its cell is written and read. The order of the table is the order in the file; new columns
// go to its end, and with them goes a new FormatVersion.
type column struct {
	name  string
	field fieldKind
}

var columns = [...]column{
	{"record_id", idField{}},
	{"timestamp", timeField{func(r *record.Record) *time.Time { return &r.TimeStamp }}},
	{"org_id", textField{func(r *Row) *string { return &r.Record.OrgID }}},
	{"api_id", textField{func(r *Row) *string { return &r.Record.APIID }}},
	{"api_name", textField{func(r *Row) *string { return &r.Record.APIName }}},
	{"api_version", textField{func(r *Row) *string { return &r.Record.APIVersion }}},
	{"method", textField{func(r *Row) *string { return &r.Record.Method }}},
	{"host", textField{func(r *Row) *string { return &r.Record.Host }}},
	{"path", textField{func(r *Row) *string { return &r.Record.Path }}},
	{"raw_path", textField{func(r *Row) *string { return &r.Record.RawPath }}},
	{"original_path", textField{func(r *Row) *string { return &r.Record.OriginalPath }}},
	{"listen_path", textField{func(r *Row) *string { return &r.Record.ListenPath }}},
	{"response_code", int32Field{func(r *record.Record) *int32 { return &r.ResponseCode }}},
	{"request_time_ms", int64Field{func(r *record.Record) *int64 { return &r.RequestTime }}},
	{"latency_total_ms", int64Field{func(r *record.Record) *int64 { return &r.Latency.Total }}},
	{"latency_upstream_ms", int64Field{func(r *record.Record) *int64 { return &r.Latency.Upstream }}},
	{"latency_gateway_ms", int64Field{func(r *record.Record) *int64 { return &r.Latency.Gateway }}},
	{"content_length", int64Field{func(r *record.Record) *int64 { return &r.ContentLength }}},
	{"user_agent", textField{func(r *Row) *string { return &r.Record.UserAgent }}},
	{"ip_address", textField{func(r *Row) *string { return &r.Record.IPAddress }}},
	{"api_key", textField{func(r *Row) *string { return &r.Record.APIKey }}},
	{"oauth_id", textField{func(r *Row) *string { return &r.Record.OauthID }}},
	{"alias", textField{func(r *Row) *string { return &r.Record.Alias }}},
	{"tags", tagsField{}},
	{"track_path", boolField{func(r *record.Record) *bool { return &r.TrackPath }}},
	{"expire_at", timeField{func(r *record.Record) *time.Time { return &r.ExpireAt }}},
	{"geo_country", textField{func(r *Row) *string { return &r.Record.Geo.Country.ISOCode }}},
	{"geo_city_id", cityField{}},
	{"geo_city_names", namesField{}},
	{"geo_latitude", floatField{func(r *record.Record) *float64 { return &r.Geo.Location.Latitude }}},
	{"geo_longitude", floatField{func(r *record.Record) *float64 { return &r.Geo.Location.Longitude }}},
	{"geo_time_zone", textField{func(r *Row) *string { return &r.Record.Geo.Location.TimeZone }}},
	{"open_connections", int64Field{func(r *record.Record) *int64 { return &r.Network.OpenConnections }}},
	{"closed_connections", int64Field{func(r *record.Record) *int64 { return &r.Network.ClosedConnections }}},
	{"bytes_in", int64Field{func(r *record.Record) *int64 { return &r.Network.BytesIn }}},
	{"bytes_out", int64Field{func(r *record.Record) *int64 { return &r.Network.BytesOut }}},
	{"api_schema", textField{func(r *Row) *string { return &r.Record.APISchema }}},
	{"raw_request", textField{func(r *Row) *string { return &r.Record.RawRequest }}},
	{"raw_response", textField{func(r *Row) *string { return &r.Record.RawResponse }}},
	{"graphql", graphQLField{}},
	{"mcp", mcpField{}},
	{"time_zone", textField{func(r *Row) *string { return &r.Record.TimeZone }}},
	{"day", int32Field{func(r *record.Record) *int32 { return &r.Day }}},
	{"month", int32Field{func(r *record.Record) *int32 { return &r.Month }}},
	{"year", int32Field{func(r *record.Record) *int32 { return &r.Year }}},
	{"hour", int32Field{func(r *record.Record) *int32 { return &r.Hour }}},
	{"collection_name", textField{func(r *Row) *string { return &r.Record.CollectionName }}},
	{"source", textField{func(r *Row) *string { return &r.Stream.Source }}},
	{"list", textField{func(r *Row) *string { return &r.Stream.List }}},
	{"lineage", textField{func(r *Row) *string { return &r.Stream.Lineage }}},
	{"position", positionField{}},
}
