package record_test

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/internal/record"
	"sluice/internal/record/reference"
)

// everything is a record with no field empty.
func everything() record.Record {
	return record.Record{
		Method: "PATCH", Host: "api.example.org", Path: "/a", RawPath: "/a%20", ContentLength: 1 << 40, UserAgent: "curl/8",
		Day: 1, Month: 2, Year: 2026, Hour: 23, ResponseCode: -1, APIKey: "key", TimeStamp: time.Unix(1700000000, 123456789).UTC(),
		APIVersion: "v1", APIName: "name", APIID: "id", OrgID: "org", OauthID: "oauth", RequestTime: 77, RawRequest: "UmVx",
		RawResponse: "UmVz", IPAddress: "203.0.113.77",
		Geo: record.Geo{Country: record.Country{ISOCode: "DE"},
			City:     record.City{GeoNameID: 2950159, Names: map[string]string{"en": "Berlin", "ru": "Берлин"}},
			Location: record.Location{Latitude: 52.5, Longitude: -13.4, TimeZone: "Europe/Berlin"}},
		Network: record.Network{OpenConnections: 1, ClosedConnections: 2, BytesIn: 300, BytesOut: 70000},
		Latency: record.Latency{Total: 77, Upstream: 70, Gateway: 7}, Tags: []string{"edge", "", "key-key"}, Alias: "jane",
		TrackPath: true, ExpireAt: time.Unix(5000000000, 1).UTC(), APISchema: "c2NoZW1h", OriginalPath: "/v1/a", ListenPath: "/v1/",
		GraphQL: record.GraphQLStats{IsGraphQL: true, HasErrors: true, OperationType: 3, Variables: "{}",
			RootFields: []string{"user"}, Types: map[string][]string{"User": {"id", "name"}, "Query": {"user"}},
			Errors: []record.GraphQLError{{Message: "boom", Path: []any{"user", int64(0), map[string]any{"k": 1.5}}}}},
		MCP:            record.MCPStats{IsMCP: true, JSONRPCMethod: "tools/call", PrimitiveType: "tool", PrimitiveName: "sum"},
		CollectionName: "collection",
	}
}

// sameAsReference decodes a payload, holds the outcome against the library's, and returns the record if there is one.
func sameAsReference(t rapid.TB, f record.Format, payload []byte) (r record.Record, ok bool) {
	t.Helper()
	before := bytes.Clone(payload)
	want, wantErr := reference.Decode(f, payload)
	err := record.Decode(f, payload, &r)
	if !bytes.Equal(before, payload) {
		t.Fatal("the payload was written to")
	}
	if errors.Is(wantErr, reference.ErrNoVerdict) {
		return r, false
	}
	sameVerdict(t, err, wantErr)
	if err == nil {
		if diff := equal(r, want); diff != "" {
			t.Fatalf("decoded another record than the library (-library +decoded):\n%s", diff)
		}
	}
	return r, err == nil
}

// sameVerdict lets the decoder refuse what the library accepts only for a bound that the library does not have.
func sameVerdict(t rapid.TB, err, wantErr error) {
	t.Helper()
	switch {
	case err == nil && wantErr != nil:
		t.Fatalf("accepted, but the library says: %v", wantErr)
	case err != nil && wantErr == nil && !strings.Contains(err.Error(), "deeper") && !strings.Contains(err.Error(), "beyond"):
		t.Fatalf("the library accepts it: %v", err)
	}
}

// again encodes a record, and holds what is decoded from that against the record and the library.
func again(t rapid.TB, f record.Format, r *record.Record) {
	t.Helper()
	encode := record.AppendMsgpack
	if f == record.Protobuf {
		encode = record.AppendProtobuf
	}
	payload := encode([]byte("before"), r)[len("before"):]
	back, ok := sameAsReference(t, f, payload)
	if !ok {
		t.Fatal("what was encoded is refused")
	}
	if diff := equal(back, *r); diff != "" {
		t.Fatalf("not the same after encoding (-before +after):\n%s", diff)
	}
}

// lossless encodes a record in the form for any reader of protobuf, and holds what is decoded from that against it.
func lossless(t rapid.TB, r *record.Record) {
	t.Helper()
	payload := record.AppendProtobufLossless([]byte("before"), r)[len("before"):]
	back, ok := sameAsReference(t, record.Protobuf, payload)
	if !ok {
		t.Fatal("what was encoded without loss is refused")
	}
	if diff := equal(back, *r); diff != "" {
		t.Fatalf("not the same after encoding without loss (-before +after):\n%s", diff)
	}
	if err := reference.Strict(payload); err != nil {
		t.Fatalf("another reader of protobuf refuses it: %v", err)
	}
}

func FuzzMsgpack(f *testing.F) {
	for _, payload := range seeds(f, record.Msgpack) {
		f.Add(payload)
	}
	zero, err := os.ReadFile(vector("zero-record.msgpack"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(zero)
	all := everything()
	f.Add(record.AppendMsgpack(nil, &all))
	for _, form := range msgpackForms() {
		f.Add([]byte(form.payload))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		if r, ok := sameAsReference(t, record.Msgpack, payload); ok {
			again(t, record.Msgpack, &r)
			lossless(t, &r)
		}
	})
}

func FuzzProtobuf(f *testing.F) {
	for _, payload := range seeds(f, record.Protobuf) {
		f.Add(payload)
	}
	all := everything()
	f.Add(record.AppendProtobuf(nil, &all))
	f.Add(record.AppendProtobufLossless(nil, &all))
	for _, r := range losslessForms() {
		f.Add(record.AppendProtobufLossless(nil, &r))
	}
	for _, form := range protobufForms() {
		f.Add([]byte(form.payload))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		if r, ok := sameAsReference(t, record.Protobuf, payload); ok {
			lossless(t, &r)
			// the gateway's own message has no place for these
			r.CollectionName, r.Latency.Gateway, r.Tags = "", 0, some(r.Tags)
			r.GraphQL.RootFields, r.GraphQL.Errors = some(r.GraphQL.RootFields), some(r.GraphQL.Errors)
			for i := range r.GraphQL.Errors {
				r.GraphQL.Errors[i].Path = nil
			}
			r.Geo.City.Names, r.GraphQL.Types = someOf(r.Geo.City.Names), someOf(r.GraphQL.Types)
			for key, fields := range r.GraphQL.Types {
				r.GraphQL.Types[key] = some(fields)
			}
			again(t, record.Protobuf, &r)
		}
	})
}

// seeds are some dozen captured payloads, of all sizes.
func seeds(f *testing.F, format record.Format) [][]byte {
	all := payloads(f, format)
	slices.SortFunc(all, func(a, b []byte) int { return len(a) - len(b) })
	var some [][]byte
	for i := 0; i < len(all); i += len(all) / 30 {
		some = append(some, all[i])
	}
	return some
}

func FuzzUptime(f *testing.F) {
	for _, u := range uptimes() {
		f.Add(record.AppendUptime(nil, &u))
	}
	f.Add(payloads(f, record.Msgpack)[0])
	f.Fuzz(func(t *testing.T, payload []byte) {
		var u record.Uptime
		want, wantErr := reference.Uptime(payload)
		err := record.DecodeUptime(payload, &u)
		sameVerdict(t, err, wantErr)
		if err != nil {
			return
		}
		if diff := equal(u, want); diff != "" {
			t.Fatalf("decoded another record than the library (-library +decoded):\n%s", diff)
		}
		var back record.Uptime
		if err := record.DecodeUptime(record.AppendUptime(nil, &u), &back); err != nil {
			t.Fatal(err)
		}
		if diff := equal(back, u); diff != "" {
			t.Fatalf("not the same after encoding (-before +after):\n%s", diff)
		}
	})
}

// some is the list, or nil for an empty one.
func some[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}

func someOf[V any](m map[string]V) map[string]V {
	if len(m) == 0 {
		return nil
	}
	return m
}
