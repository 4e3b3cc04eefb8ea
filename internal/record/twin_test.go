package record_test

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"os"
	"testing"
	"time"

	"sluice/internal/record"
)

// twin is a record as the incumbent's decoder understood it, in its own JSON.
type twin struct {
	Method        string      `json:"method"`
	Host          string      `json:"host"`
	Path          string      `json:"path"`
	RawPath       string      `json:"raw_path"`
	ContentLength int64       `json:"content_length"`
	UserAgent     string      `json:"user_agent"`
	Day           int32       `json:"day"`
	Month         int32       `json:"month"`
	Year          int32       `json:"year"`
	Hour          int32       `json:"hour"`
	ResponseCode  int32       `json:"response_code"`
	APIKey        string      `json:"api_key"`
	TimeStamp     time.Time   `json:"timestamp"`
	APIVersion    string      `json:"api_version"`
	APIName       string      `json:"api_name"`
	APIID         string      `json:"api_id"`
	OrgID         string      `json:"org_id"`
	OauthID       string      `json:"oauth_id"`
	RequestTime   int64       `json:"request_time"`
	RawRequest    string      `json:"raw_request"`
	RawResponse   string      `json:"raw_response"`
	IPAddress     string      `json:"ip_address"`
	Geo           twinGeo     `json:"geo"`
	Network       twinNetwork `json:"network"`
	Latency       struct {
		Total    int64 `json:"total"`
		Upstream int64 `json:"upstream"`
		Gateway  int64 `json:"gateway"`
	} `json:"latency"`
	Tags         []string    `json:"tags"`
	Alias        string      `json:"alias"`
	TrackPath    bool        `json:"track_path"`
	ExpireAt     time.Time   `json:"expireAt"`
	APISchema    string      `json:"api_schema"`
	OriginalPath string      `json:"original_path"`
	ListenPath   string      `json:"listen_path"`
	GraphQL      twinGraphQL `json:"graphql_stats"`
	MCP          twinMCP     `json:"mcp_stats"`
}

type twinGeo struct {
	Country struct {
		ISOCode string `json:"iso_code"`
	} `json:"country"`
	City struct {
		GeoNameID uint32            `json:"geoname_id"`
		Names     map[string]string `json:"names"`
	} `json:"city"`
	Location struct {
		Latitude  float64 `json:"latitude"`
		Longitude float64 `json:"longitude"`
		TimeZone  string  `json:"time_zone"`
	} `json:"location"`
}

type twinNetwork struct {
	OpenConnections   int64 `json:"open_connections"`
	ClosedConnections int64 `json:"closed_connections"`
	BytesIn           int64 `json:"bytes_in"`
	BytesOut          int64 `json:"bytes_out"`
}

type twinGraphQL struct {
	Variables     string
	RootFields    []string
	Types         map[string][]string
	Errors        []twinError
	OperationType int32
	HasErrors     bool
	IsGraphQL     bool
}

type twinError struct {
	Message string `json:"message"`
	Path    []any  `json:"path"`
}

type twinMCP struct {
	IsMCP         bool   `json:"is_mcp"`
	JSONRPCMethod string `json:"jsonrpc_method"`
	PrimitiveType string `json:"primitive_type"`
	PrimitiveName string `json:"primitive_name"`
}

func twinOf(r *record.Record) *twin {
	t := &twin{
		Method: r.Method, Host: r.Host, Path: r.Path, RawPath: r.RawPath, ContentLength: r.ContentLength,
		UserAgent: r.UserAgent, Day: r.Day, Month: r.Month, Year: r.Year, Hour: r.Hour, ResponseCode: r.ResponseCode,
		APIKey: r.APIKey, TimeStamp: r.TimeStamp, APIVersion: r.APIVersion, APIName: r.APIName, APIID: r.APIID,
		OrgID: r.OrgID, OauthID: r.OauthID, RequestTime: r.RequestTime, RawRequest: r.RawRequest,
		RawResponse: r.RawResponse, IPAddress: r.IPAddress, Network: twinNetwork(r.Network), Tags: r.Tags, Alias: r.Alias,
		TrackPath: r.TrackPath, ExpireAt: r.ExpireAt, APISchema: r.APISchema, OriginalPath: r.OriginalPath,
		ListenPath: r.ListenPath, MCP: twinMCP(r.MCP),
	}
	t.Geo.Country.ISOCode = r.Geo.Country.ISOCode
	t.Geo.City.GeoNameID, t.Geo.City.Names = r.Geo.City.GeoNameID, r.Geo.City.Names
	t.Geo.Location.Latitude, t.Geo.Location.Longitude = r.Geo.Location.Latitude, r.Geo.Location.Longitude
	t.Geo.Location.TimeZone = r.Geo.Location.TimeZone
	t.Latency.Total, t.Latency.Upstream, t.Latency.Gateway = r.Latency.Total, r.Latency.Upstream, r.Latency.Gateway
	s := &r.GraphQL
	t.GraphQL = twinGraphQL{Variables: s.Variables, RootFields: s.RootFields, Types: s.Types,
		OperationType: s.OperationType, HasErrors: s.HasErrors, IsGraphQL: s.IsGraphQL}
	if s.Errors != nil {
		t.GraphQL.Errors = []twinError{}
	}
	for _, e := range s.Errors {
		t.GraphQL.Errors = append(t.GraphQL.Errors, twinError(e))
	}
	return t
}

// generic is v as JSON shows it: strings have U+FFFD for bytes that are not UTF-8.
func generic(t *testing.T, v any) (fields map[string]any) {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &fields); err != nil {
		t.Fatal(err)
	}
	return fields
}

func TestCapturedRecordsEqualTheirTwins(t *testing.T) {
	for f, want := range captured {
		t.Run(f.String(), func(t *testing.T) {
			all := payloads(t, f)
			var d record.Decoder
			n := 0
			eachTwin(t, f, func(line []byte) {
				var twin map[string]any
				if err := json.Unmarshal(line, &twin); err != nil {
					t.Fatal(err)
				}
				var r record.Record
				if err := d.Decode(f, all[n], &r); err != nil {
					t.Fatalf("record %d: %v", n, err)
				}
				if diff := equal(forget(f, generic(t, twinOf(&r))), forget(f, twin)); diff != "" {
					t.Fatalf("record %d (-twin +decoded):\n%s", n, diff)
				}
				n++
			})
			if n != want {
				t.Fatalf("%d twins, want %d", n, want)
			}
		})
	}
}

func eachTwin(t *testing.T, f record.Format, see func(line []byte)) {
	t.Helper()
	file, err := os.Open(vector("gateway-" + f.String() + ".jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	plain, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(plain)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		see(lines.Bytes())
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
}

// forget takes out the one difference that protobuf cannot carry: the incumbent makes an empty list of no GraphQL
// errors, where the message has none.
func forget(f record.Format, fields map[string]any) map[string]any {
	if f == record.Protobuf {
		stats := fields["graphql_stats"].(map[string]any)
		if list, ok := stats["Errors"].([]any); ok && len(list) == 0 {
			stats["Errors"] = nil
		}
	}
	return fields
}
