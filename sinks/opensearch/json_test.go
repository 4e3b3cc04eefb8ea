package opensearch

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/record"
	"sluice/sinks/sinktest"
)

// FuzzString holds the encoder of strings against encoding/json: whatever the bytes, both read back alike.
func FuzzString(f *testing.F) {
	for _, s := range []string{"", "a\"b\\c", "\x00\x1f\x7f", "\xff\xfe", "ü\u2028\u2029", "\xed\xa0\x80", "a\r\n\tb", "\xf0\x9f\x98"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ours := appendString([]byte("x"), s)[1:]
		theirs, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var a, b string
		if err := json.Unmarshal(ours, &a); err != nil {
			t.Fatalf("%q: %v", ours, err)
		}
		if err := json.Unmarshal(theirs, &b); err != nil {
			t.Fatal(err)
		}
		if a != b || strings.ContainsAny(string(ours), "\r\n") {
			t.Fatalf("%q, encoding/json makes %q", ours, theirs)
		}
	})
}

// FuzzDocument: whatever a record holds, its document is one line of JSON.
func FuzzDocument(f *testing.F) {
	f.Add("/a\n", "\xff", int64(1), 48.1, 11.5, true)
	f.Fuzz(func(t *testing.T, path, tag string, n int64, lat, lon float64, extended bool) {
		r := &record.Record{Path: path, Tags: []string{tag, path}, RequestTime: n, TimeStamp: time.Unix(n%1e10, n), RawRequest: tag}
		r.Geo.Location.Latitude, r.Geo.Location.Longitude = lat, lon
		doc := appendDocument(nil, r, extended)
		var got map[string]any
		if err := json.Unmarshal(doc, &got); err != nil || strings.ContainsAny(string(doc), "\r\n") {
			t.Fatalf("%q: %v", doc, err)
		}
	})
}

// TestDocuments holds every captured record's document, both captures, against one that encoding/json makes.
func TestDocuments(t *testing.T) {
	kinds := map[string]int{}
	for _, format := range []record.Format{record.Msgpack, record.Protobuf} {
		for i, it := range sinktest.Captured(t, format) {
			for _, extended := range []bool{false, true} {
				var got map[string]any
				if err := json.Unmarshal(appendDocument(nil, it.Record, extended), &got); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(expected(t, it.Record, extended), got); diff != "" {
					t.Fatalf("%s, record %d:\n%s", format, i, diff)
				}
			}
			if it.Record.MCP.IsMCP {
				kinds["mcp"]++
			}
			if it.Record.GraphQL.IsGraphQL {
				kinds["graphql"]++
			}
		}
	}
	if kinds["mcp"] == 0 || kinds["graphql"] == 0 {
		t.Errorf("captured kinds: %v", kinds)
	}
}

// expected is the document by the contract's list of names, made the slow way.
func expected(t *testing.T, r *record.Record, extended bool) (doc map[string]any) {
	m := map[string]any{
		"@timestamp": r.TimeStamp, "http_method": r.Method, "request_uri": r.Path, "request_uri_full": r.RawPath,
		"response_code": r.ResponseCode, "ip_address": r.IPAddress, "api_key": r.APIKey, "api_version": r.APIVersion,
		"api_name": r.APIName, "api_id": r.APIID, "org_id": r.OrgID, "oauth_id": r.OauthID, "request_time_ms": r.RequestTime,
		"alias": r.Alias, "content_length": r.ContentLength, "tags": append([]string{}, r.Tags...), "host": r.Host,
		"listen_path": r.ListenPath, "latency_upstream_ms": r.Latency.Upstream, "latency_gateway_ms": r.Latency.Gateway,
	}
	if r.MCP.IsMCP {
		m["mcp_method"], m["mcp_primitive_type"], m["mcp_primitive_name"] = r.MCP.JSONRPCMethod, r.MCP.PrimitiveType, r.MCP.PrimitiveName
	}
	if extended {
		m["raw_request"], m["raw_response"], m["user_agent"] = r.RawRequest, r.RawResponse, r.UserAgent
	}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestGeo(t *testing.T) {
	for _, tt := range []struct {
		lat, lon float64
		want     string
	}{
		{48.1374, 11.5755, `,"geo":{"lat":48.1374,"lon":11.5755}`},
		{-90, 180, `,"geo":{"lat":-90,"lon":180}`},
		{0, 1e-9, `,"geo":{"lat":0,"lon":0.000000001}`},
		{0, 0, ""}, {91, 0, ""}, {0, -180.1, ""}, {math.NaN(), 1, ""}, {1, math.Inf(1), ""}, {1e300, 1, ""},
	} {
		g := record.Geo{Location: record.Location{Latitude: tt.lat, Longitude: tt.lon}}
		if got := string(appendGeo(nil, &g)); got != tt.want {
			t.Errorf("%v, %v: %s", tt.lat, tt.lon, got)
		}
	}
}

func BenchmarkAppendDocument(b *testing.B) {
	items := sinktest.Captured(b, record.Msgpack)
	var buf []byte
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		buf = appendDocument(buf[:0], items[i%len(items)].Record, true)
	}
}
