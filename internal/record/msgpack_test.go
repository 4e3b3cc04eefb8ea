package record_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/record"
)

// Everything msgpack has, as the value of an unknown key: 15 values, some nested, some of extensions.
const anyMsgpack = "\xdc\x00\x0f" +
	"\xc0\xc2\xcb\x00\x00\x00\x00\x00\x00\x00\x00\xca\x00\x00\x00\x00" + // nil, false, floats
	"\xcd\x01\x02\xd3\xff\xff\xff\xff\xff\xff\xff\xff\xe0" + // integers
	"\xd9\x01a\xc5\x00\x02bb" + // str 8, bin 16
	"\xd4\x05x\xd8\x05xxxxxxxxxxxxxxxx\xc7\x03\x05xxx" + // fixext 1 and 16, ext 8
	"\xdf\x00\x00\x00\x01\xa1k\x92\x81\x01\x02\xa0" + // map 32 with nested ones
	"\xdd\x00\x00\x00\x01\xc4\x00" + // array 32
	"\xde\x00\x00" // map 16

// form is a payload that no gateway writes, and what it means.
type form struct {
	name, payload string
	want          record.Record
}

func TestMsgpackForms(t *testing.T) {
	for _, c := range msgpackForms() {
		t.Run(c.name, func(t *testing.T) {
			var r record.Record
			if err := record.Decode(record.Msgpack, []byte(c.payload), &r); err != nil {
				t.Fatal(err)
			}
			if diff := equal(r, c.want); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func msgpackForms() []form {
	at := time.Date(2023, 11, 14, 22, 13, 20, 5, time.UTC)
	deep := strings.Repeat("\x91", 100000) + "\xc0"
	return []form{
		{"any order", "\x82\xa4Host\xa1h\xa6Method\xa3GET", record.Record{Method: "GET", Host: "h"}},
		{"unknown keys", "\x83\xa1x" + anyMsgpack + "\xa6Method\xa3GET\xa6method\xa3PUT", record.Record{Method: "GET"}},
		{"unknown key, however deep", "\x82\xa1x" + deep + "\xa4Host\xa1h", record.Record{Host: "h"}},
		{"nil key", "\x82\xc0\x01\xa4Host\xa1h", record.Record{Host: "h"}},
		{"the last of equal keys", "\x83\xa4Host\xa1a\xa4Host\xa1b\xa4Host\xa1c", record.Record{Host: "c"}},
		{"the last of equal keys, nil", "\x82\xa4Tags\x91\xa1a\xa4Tags\xc0", record.Record{}},
		{"the last of equal maps, as a whole", "\x82\xa7Latency\x82\xa5Total\x05\xa8Upstream\x01\xa7Latency\x81\xa5Total\x06",
			record.Record{Latency: record.Latency{Total: 6}}},
		{"nil", "\xde\x00\x08\xa6Method\xc0\xadContentLength\xc0\xa3Day\xc0\xa9TimeStamp\xc0\xa3Geo\xc0\xa4Tags\xc0" +
			"\xa9TrackPath\xc0\xacGraphQLStats\x84\xa5Types\xc0\xa6Errors\xc0\xaaRootFields\xc0\xadOperationType\xc0", record.Record{}},
		{"nil in nested", "\x81\xa3Geo\x82\xa8Location\x81\xa8Latitude\xc0\xa4City\x82\xa5Names\xc0\xa9GeoNameID\xc0", record.Record{}},
		{"key and string as bin", "\x81\xc4\x04Path\xc4\x02/\xff", record.Record{Path: "/\xff"}},
		{"long strings", "\x83\xd9\x04Path\xc5\x00\x01a\xda\x00\x04Host\xdb\x00\x00\x00\x01b\xdb\x00\x00\x00\x06Method\xc6\x00\x00\x00\x01c",
			record.Record{Path: "a", Host: "b", Method: "c"}},
		{"integers", "\x88\xa3Day\xcc\xff\xa5Month\xd0\xff\xa4Year\xd1\xff\xfe\xa4Hour\xd2\xff\xff\xff\xfd\xacResponseCode\xff" +
			"\xabRequestTime\xcf\x7f\xff\xff\xff\xff\xff\xff\xff\xadContentLength\xd3\x80\x00\x00\x00\x00\x00\x00\x00\xa7Latency\x81\xa5Total\xcd\x01\x00",
			record.Record{Day: 255, Month: -1, Year: -2, Hour: -3, ResponseCode: -1, RequestTime: math.MaxInt64,
				ContentLength: math.MinInt64, Latency: record.Latency{Total: 256}}},
		{"floats", "\x81\xa3Geo\x81\xa8Location\x82\xa8Latitude\xca\x3f\x80\x00\x00\xa9Longitude\xfe",
			record.Record{Geo: record.Geo{Location: record.Location{Latitude: 1, Longitude: -2}}}},
		{"time as an array", "\x81\xa9TimeStamp\x92\xce\x65\x53\xf1\x00\x05", record.Record{TimeStamp: at}},
		{"time as a long array", "\x81\xa9TimeStamp\xdc\x00\x02\xcf\x00\x00\x00\x00\x65\x53\xf1\x00\xd3\x00\x00\x00\x00\x00\x00\x00\x05",
			record.Record{TimeStamp: at}},
		{"time as timestamp 32", "\x81\xa9TimeStamp\xd6\xff\x65\x53\xf1\x00", record.Record{TimeStamp: at.Truncate(time.Second)}},
		{"time as timestamp 64", "\x81\xa9TimeStamp\xd7\xff\x00\x00\x00\x14\x65\x53\xf1\x00", record.Record{TimeStamp: at}},
		{"time as timestamp 96", "\x81\xa9TimeStamp\xc7\x0c\xff\x00\x00\x00\x05\x00\x00\x00\x00\x65\x53\xf1\x00", record.Record{TimeStamp: at}},
		{"expiry beyond 32 bits", "\x81\xa8ExpireAt\x92\xcf\x00\x00\x00\x01\x26\xfc\xee\xb2\x00",
			record.Record{ExpireAt: time.Unix(0x126fceeb2, 0).UTC()}},
		{"expiry of Go's zero time", "\x81\xa8ExpireAt\x92\xd3\xff\xff\xff\xf1\x88\x6e\x09\x00\x00", record.Record{}},
		{"network key without s", "\x81\xa7Network\x82\xb0ClosedConnection\x07\xb1ClosedConnections\x09",
			record.Record{Network: record.Network{ClosedConnections: 7}}},
		{"path of a GraphQL error", "\x81\xacGraphQLStats\x81\xa6Errors\x92\x82\xa7Message\xa1m\xa4Path\x98\xa4user\x00\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00\xc3\xc0" +
			"\xcf\xff\xff\xff\xff\xff\xff\xff\xff\x91\xc4\x01b\x81\xa1k\xff\x80",
			record.Record{GraphQL: record.GraphQLStats{Errors: []record.GraphQLError{{Message: "m", Path: []any{"user", int64(0), 1.5,
				true, nil, uint64(math.MaxUint64), []any{"b"}, map[string]any{"k": int64(-1)}}}, {}}}}},
	}
}

func TestMsgpackFailures(t *testing.T) {
	cases := []struct {
		name, payload string
		want          record.DecodeError
	}{
		{"no bytes", "", record.DecodeError{What: "is empty"}},
		{"nil", "\xc0", record.DecodeError{What: "has no field of a record"}},
		{"empty map", "\x80", record.DecodeError{What: "has no field of a record"}},
		{"array", "\x91\xa6Method", record.DecodeError{What: "is not a map"}},
		{"extension before a map", "\xd4\x01\x00\x80", record.DecodeError{What: "is not a map"}},
		{"lower-case keys", "\x82\xa6method\xa3GET\xa4host\xa0", record.DecodeError{What: "has no field of a record"}},
		{"known keys nested only", "\x81\xa1x\x81\xa6Method\xa3GET", record.DecodeError{What: "has no field of a record"}},
		{"trailing bytes", "\x81\xa6Method\xa3GET\x00", record.DecodeError{Offset: 12, What: "goes on behind the record"}},
		{"fewer entries than said", "\x82\xa6Method\xa3GET", record.DecodeError{Offset: 12, What: "ends too early"}},
		{"cut in a key", "\x81\xa6Meth", record.DecodeError{Offset: 2, What: "ends too early"}},
		{"cut in a string", "\x81\xa6Method\xd9\x05GE", record.DecodeError{Offset: 10, Key: "Method", What: "ends too early"}},
		{"cut in a time", "\x81\xa9TimeStamp\x92\xce\x65", record.DecodeError{Offset: 13, Key: "TimeStamp", What: "ends too early"}},
		{"cut in what is unknown", "\x82\xa6Method\xa0\xa1x\x9f\x00", record.DecodeError{Offset: 13, What: "ends too early"}},
		{"key is a number", "\x82\xa6Method\xa0\x01\x02", record.DecodeError{Offset: 9, What: "is not a string"}},
		{"string is a number", "\x81\xa6Method\x01", record.DecodeError{Offset: 8, Key: "Method", What: "is not a string"}},
		{"number is a string", "\x81\xa3Day\xa11", record.DecodeError{Offset: 5, Key: "Day", What: "is not an integer"}},
		{"integer is a float", "\x81\xa3Day\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00", record.DecodeError{Offset: 5, Key: "Day", What: "is not an integer"}},
		{"boolean is a number", "\x81\xa9TrackPath\x01", record.DecodeError{Offset: 11, Key: "TrackPath", What: "is not a boolean"}},
		{"integer beyond 32 bits", "\x81\xa3Day\xce\x80\x00\x00\x00", record.DecodeError{Offset: 5, Key: "Day", What: "does not fit into the field's integer"}},
		{"integer beyond 64 bits", "\x81\xabRequestTime\xcf\x80\x00\x00\x00\x00\x00\x00\x00",
			record.DecodeError{Offset: 13, Key: "RequestTime", What: "does not fit into the field's integer"}},
		{"negative where none can be", "\x81\xa3Geo\x81\xa4City\x81\xa9GeoNameID\xff",
			record.DecodeError{Offset: 22, Key: "Geo.City.GeoNameID", What: "does not fit into the field's integer"}},
		{"nested struct is an array", "\x81\xa7Latency\x93\x01\x02\x03", record.DecodeError{Offset: 9, Key: "Latency", What: "is not a map"}},
		{"list is a string", "\x81\xa4Tags\xa1a", record.DecodeError{Offset: 6, Key: "Tags", What: "is not an array"}},
		{"list longer than the payload", "\x81\xa4Tags\xdd\xff\xff\xff\xff\xa1a", record.DecodeError{Offset: 6, Key: "Tags", What: "ends too early"}},
		{"map longer than the payload", "\x81\xa3Geo\x81\xa4City\x81\xa5Names\xdf\x00\x01\x00\x00\xa1a\xa1b",
			record.DecodeError{Offset: 27, Key: "Geo.City.Names", What: "ends too early"}},
		{"more elements than a record may have", "\x81\xa4Tags\xdd\x00\x04\x00\x01" + strings.Repeat("\xc0", 1<<18+1),
			record.DecodeError{Offset: 6, Key: "Tags", What: "takes the record beyond 262144 list and map elements"}},
		{"time of three", "\x81\xa9TimeStamp\x93\x01\x02\x03", record.DecodeError{Offset: 11, Key: "TimeStamp", What: "is not a pair of seconds and nanoseconds"}},
		{"time is a string", "\x81\xa9TimeStamp\xb42023-11-14T22:13:20Z", record.DecodeError{Offset: 11, Key: "TimeStamp", What: "is not a time"}},
		{"time of another extension", "\x81\xa9TimeStamp\xd6\x0d\x65\x53\xf1\x00", record.DecodeError{Offset: 11, Key: "TimeStamp", What: "is not a time"}},
		{"timestamp of another size", "\x81\xa9TimeStamp\xd5\xff\x00\x00", record.DecodeError{Offset: 11, Key: "TimeStamp", What: "is not a time"}},
		{"seconds beyond 64 bits", "\x81\xa8ExpireAt\x92\xcf\xff\xff\xff\xff\xff\xff\xff\xff\x00",
			record.DecodeError{Offset: 11, Key: "ExpireAt", What: "does not fit into the field's integer"}},
		{"year 10000", "\x81\xa8ExpireAt\x92\xcf\x00\x00\x00\x3a\xff\xf4\x41\x80\x00",
			record.DecodeError{Offset: 10, Key: "ExpireAt", What: "is no time between the years 1 and 9999"}},
		{"year 0", "\x81\xa8ExpireAt\x92\xd3\xff\xff\xff\xf1\x88\x6e\x08\xff\x00",
			record.DecodeError{Offset: 10, Key: "ExpireAt", What: "is no time between the years 1 and 9999"}},
		{"path nests too deep", "\x81\xacGraphQLStats\x81\xa6Errors\x91\x81\xa4Path" + strings.Repeat("\x91", 100) + "\xc0",
			record.DecodeError{Offset: 94, Key: "GraphQLStats.Errors.Path", What: "nests deeper than 64 levels"}},
		{"extension in a path", "\x81\xacGraphQLStats\x81\xa6Errors\x91\x81\xa4Path\x91\xd6\xff\x65\x53\xf1\x00",
			record.DecodeError{Offset: 30, Key: "GraphQLStats.Errors.Path", What: "is of no type that JSON has"}},
		{"code that msgpack does not use", "\x82\xa6Method\xa0\xa1x\xc1", record.DecodeError{Offset: 11, What: "is no msgpack"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			fails(t, record.Msgpack, c.payload, c.want)
		})
	}
}

func fails(t *testing.T, f record.Format, payload string, want record.DecodeError) {
	t.Helper()
	r := record.Record{Host: "left over"}
	err := record.Decode(f, []byte(payload), &r)
	var got *record.DecodeError
	if !errors.As(err, &got) {
		t.Fatalf("error %v, want a DecodeError", err)
	}
	if diff := cmp.Diff(want, *got); diff != "" {
		t.Error(diff)
	}
	if diff := equal(r, record.Record{}); diff != "" {
		t.Errorf("something is left in the record:\n%s", diff)
	}
}

func TestDecodeErrorText(t *testing.T) {
	for want, err := range map[string]record.DecodeError{
		"payload at byte 0 is empty":             {What: "is empty"},
		"Geo.City.Names at byte 27 is not a map": {Offset: 27, Key: "Geo.City.Names", What: "is not a map"},
	} {
		if got := err.Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A cut anywhere in a record is noticed.
func TestTruncatedMsgpack(t *testing.T) {
	payload := payloads(t, record.Msgpack)[0]
	var d record.Decoder
	for n := range payload {
		var r record.Record
		if err := d.Decode(record.Msgpack, payload[:n], &r); err == nil {
			t.Fatalf("the first %d bytes of %d pass for a record", n, len(payload))
		}
	}
}
