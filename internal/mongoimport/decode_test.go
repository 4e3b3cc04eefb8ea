package mongoimport

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
	"go.uber.org/goleak"

	"sluice/internal/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	noon = time.Date(2026, 11, 23, 12, 0, 0, 7e6, time.UTC)
	oid  = primitive.ObjectID{0: 0x6a, 11: 9}
)

func marshal(t testing.TB, d any) bson.Raw {
	t.Helper()
	b, err := bson.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestDecode: every field, as one of the types that versions of pumps gave it.
func TestDecode(t *testing.T) {
	got, err := Decode(marshal(t, bson.D{
		{Key: "_id", Value: oid}, {Key: "method", Value: "GET"}, {Key: "host", Value: "h"}, {Key: "path", Value: "/p\x00\xff"}, {Key: "rawpath", Value: "/r"},
		{Key: "contentlength", Value: int64(1) << 40}, {Key: "useragent", Value: "ua"}, {Key: "day", Value: int64(23)}, {Key: "month", Value: 11.0},
		{Key: "year", Value: int32(2026)}, {Key: "hour", Value: 12}, {Key: "responsecode", Value: int32(-1)}, {Key: "apikey", Value: "k"},
		{Key: "timestamp", Value: noon}, {Key: "apiversion", Value: "v"}, {Key: "apiname", Value: "n"}, {Key: "apiid", Value: "a"}, {Key: "orgid", Value: "o"},
		{Key: "oauthid", Value: "oa"}, {Key: "requesttime", Value: int32(5)}, {Key: "rawrequest", Value: "cQ=="}, {Key: "rawresponse", Value: nil},
		{Key: "ipaddress", Value: "ip"}, {Key: "geo", Value: bson.D{{Key: "country", Value: bson.D{{Key: "isocode", Value: "CH"}, {Key: "new", Value: 1}}},
			{Key: "city", Value: bson.D{{Key: "geonameid", Value: int64(4e9)}, {Key: "names", Value: bson.D{{Key: "de", Value: "Genf"}}}}},
			{Key: "location", Value: bson.D{{Key: "latitude", Value: 1.5}, {Key: "longitude", Value: int32(2)}, {Key: "timezone", Value: "tz"}}}}},
		{Key: "network", Value: bson.D{{Key: "openconnections", Value: 1}, {Key: "closedconnection", Value: 2}, {Key: "bytesin", Value: 3}, {Key: "bytesout", Value: 4}}},
		{Key: "latency", Value: bson.D{{Key: "total", Value: 5}, {Key: "upstream", Value: 6}}}, {Key: "tags", Value: bson.A{"x", "y"}}, {Key: "alias", Value: "al"},
		{Key: "trackpath", Value: true}, {Key: "expireAt", Value: time.Time{}}, {Key: "originalpath", Value: "/o"}, {Key: "listenpath", Value: "/l"}, {Key: "truncated", Value: true},
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := record.Record{Method: "GET", Host: "h", Path: "/p\x00\xff", RawPath: "/r", ContentLength: 1 << 40, UserAgent: "ua", Day: 23, Month: 11, Year: 2026, Hour: 12,
		ResponseCode: -1, APIKey: "k", TimeStamp: noon, APIVersion: "v", APIName: "n", APIID: "a", OrgID: "o", OauthID: "oa", RequestTime: 5, RawRequest: "cQ==",
		IPAddress: "ip", Geo: record.Geo{Country: record.Country{ISOCode: "CH"}, City: record.City{GeoNameID: 4e9, Names: map[string]string{"de": "Genf"}},
			Location: record.Location{Latitude: 1.5, Longitude: 2, TimeZone: "tz"}},
		Network: record.Network{OpenConnections: 1, ClosedConnections: 2, BytesIn: 3, BytesOut: 4}, Latency: record.Latency{Total: 5, Upstream: 6},
		Tags: []string{"x", "y"}, Alias: "al", TrackPath: true, OriginalPath: "/o", ListenPath: "/l"}
	if diff := cmp.Diff(want, got.Record); diff != "" || got.ID != record.ID(oid) {
		t.Errorf("%s\n%s", got.ID, diff)
	}
	slices.Sort(got.Extra)
	if !slices.Equal(got.Extra, []string{"geo.country.new", "truncated"}) {
		t.Errorf("fields beyond: %q", got.Extra)
	}
	short, err := Decode(marshal(t, bson.D{{Key: "_id", Value: oid}, {Key: "timestamp", Value: noon}, {Key: "expireAt", Value: nil}, {Key: "tags", Value: nil}, {Key: "geo", Value: nil}}))
	if diff := cmp.Diff(record.Record{TimeStamp: noon}, short.Record); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for say, d := range map[string]bson.D{
		"no ObjectID":       {{Key: "_id", Value: "x"}, {Key: "timestamp", Value: noon}},
		"timestamp is miss": {{Key: "_id", Value: oid}},
		"no date":           {{Key: "_id", Value: oid}, {Key: "timestamp", Value: "now"}},
		"no string":         {{Key: "_id", Value: oid}, {Key: "timestamp", Value: noon}, {Key: "path", Value: 1}},
		"out of range":      {{Key: "_id", Value: oid}, {Key: "timestamp", Value: noon}, {Key: "responsecode", Value: int64(1) << 33}},
		"geonameid is out":  {{Key: "_id", Value: oid}, {Key: "timestamp", Value: noon}, {Key: "geo", Value: bson.D{{Key: "city", Value: bson.D{{Key: "geonameid", Value: -1}}}}}},
		"no whole number":   {{Key: "_id", Value: oid}, {Key: "timestamp", Value: noon}, {Key: "requesttime", Value: 1.5}},
		"no document":       {{Key: "_id", Value: oid}, {Key: "timestamp", Value: noon}, {Key: "latency", Value: 1}},
		"no array":          {{Key: "_id", Value: oid}, {Key: "timestamp", Value: noon}, {Key: "tags", Value: "x"}},
		"no boolean":        {{Key: "_id", Value: oid}, {Key: "timestamp", Value: noon}, {Key: "trackpath", Value: "x"}},
	} {
		if _, err := Decode(marshal(t, d)); err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("%s: %v", say, err)
		}
	}
	if _, err := Decode(bson.Raw{1, 2, 3}); err == nil || errors.Is(err, ErrID) {
		t.Errorf("rubbish: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(marshal(f, bson.D{{Key: "_id", Value: oid}, {Key: "timestamp", Value: noon}, {Key: "tags", Value: bson.A{"x"}},
		{Key: "geo", Value: bson.D{{Key: "city", Value: bson.D{{Key: "names", Value: bson.D{{Key: "en", Value: "x"}}}}}}}})))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := Decode(b)
		if err == nil && d.Record.TimeStamp.IsZero() {
			t.Error("a document without a time is a record")
		}
	})
}
