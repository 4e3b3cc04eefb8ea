package record_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"sluice/internal/record"
)

func TestProtobufForms(t *testing.T) {
	for _, c := range protobufForms() {
		t.Run(c.name, func(t *testing.T) {
			var r record.Record
			if err := record.Decode(record.Protobuf, []byte(c.payload), &r); err != nil {
				t.Fatal(err)
			}
			if diff := equal(r, c.want); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func protobufForms() []form {
	at := time.Date(2023, 11, 14, 22, 13, 20, 5, time.UTC)
	return []form{
		{"any order", "\x12\x03GET\x0a\x01h", record.Record{Method: "GET", Host: "h"}},
		{"the last of equal fields", "\x0a\x01a\x0a\x01b\x38\x01\x38\x02", record.Record{Host: "b", Day: 2}},
		{"zero on the wire", "\x0a\x00", record.Record{}},
		{"unknown fields", "\x0a\x01h\xa0\x06\x05\xaa\x06\x02xx\xa5\x06\x01\x02\x03\x04\xa1\x06\x01\x02\x03\x04\x05\x06\x07\x08" +
			"\xa3\x06\xab\x06\x08\x01\xac\x06\xa4\x06", record.Record{Host: "h"}}, // number 100: all wire types, groups nested
		{"another wire type than the field's", "\x0a\x01h\x08\x07\x3a\x01x", record.Record{Host: "h"}},
		{"nested messages merge", "\x9a\x01\x02\x08\x05\x9a\x01\x02\x10\x01", record.Record{Latency: record.Latency{Total: 5, Upstream: 1}}},
		{"times merge", "\x6a\x06\x08\x80\xe2\xcf\xaa\x06\x6a\x02\x10\x05", record.Record{TimeStamp: at}},
		{"time of the epoch", "\x6a\x00", record.Record{TimeStamp: time.Unix(0, 0).UTC()}},
		{"expiry of Go's zero time", "\xe2\x01\x0b\x08\x80\x92\xb8\xc3\x98\xfe\xff\xff\xff\x01", record.Record{}},
		{"zone is kept", "\xf2\x01\x0dEurope/Berlin\x6a\x06\x08\x80\xe2\xcf\xaa\x06",
			record.Record{TimeZone: "Europe/Berlin", TimeStamp: at.Truncate(time.Second)}},
		{"response code of TCP", "\x58\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", record.Record{ResponseCode: -1}},
		{"number beyond 32 bits", "\x38\x81\x80\x80\x80\x10", record.Record{Day: 1}},
		{"tags", "\xca\x01\x01a\x0a\x01h\xca\x01\x00", record.Record{Host: "h", Tags: []string{"a", ""}}},
		{"not UTF-8", "\x1a\x02/\xff", record.Record{Path: "/\xff"}},
		{"names", "\xba\x01\x1a\x12\x18\x0a\x08\x0a\x02en\x12\x02xx\x0a\x00\x0a\x06\x0a\x02en\x12\x00\x10\x07\x0a\x00",
			record.Record{Geo: record.Geo{City: record.City{GeoNameID: 7, Names: map[string]string{"en": "", "": ""}}}}},
		{"name whose parts come again with another wire type", "\xba\x01\x0e\x12\x0c\x0a\x0a\x0a\x01k\x12\x01v\x08\x07\x10\x07",
			record.Record{Geo: record.Geo{City: record.City{Names: map[string]string{"k": "v"}}}}},
		{"location", "\xba\x01\x0b\x1a\x09\x09\x00\x00\x00\x00\x00\x00\xf8\x3f", record.Record{Geo: record.Geo{Location: record.Location{Latitude: 1.5}}}},
		{"GraphQL, a type's fields in two pieces", "\x82\x02\x1d\x08\x01\x12\x0d\x0a\x01U\x12\x03\x0a\x01a\x12\x03\x0a\x01b\x18\x02:\x01e0\x01*\x01f*\x00",
			record.Record{GraphQL: record.GraphQLStats{IsGraphQL: true, HasErrors: true, OperationType: 2,
				RootFields: []string{"f", ""}, Types: map[string][]string{"U": {"a", "b"}}, Errors: []record.GraphQLError{{Message: "e"}}}}},
	}
}

func TestProtobufFailures(t *testing.T) {
	cases := []struct {
		name, payload string
		want          record.DecodeError
	}{
		{"no bytes", "", record.DecodeError{What: "is empty"}},
		{"unknown fields only", "\xa0\x06\x05", record.DecodeError{What: "has no field of a record"}},
		{"known fields with another wire type only", "\x08\x07", record.DecodeError{What: "has no field of a record"}},
		{"field number 0", "\x0a\x01h\x02\x00", record.DecodeError{Offset: 3, What: "is not a field of protobuf"}},
		{"field number beyond 29 bits", "\x82\x80\x80\x80\x10\x00", record.DecodeError{What: "is not a field of protobuf"}},
		{"wire type 7", "\x0a\x01h\x0f", record.DecodeError{Offset: 3, What: "is not a field of protobuf"}},
		{"end of a group that did not begin", "\x0a\x01h\x0c", record.DecodeError{Offset: 3, What: "is not a field of protobuf"}},
		{"group ends as another", "\xa3\x06\xac\x06", record.DecodeError{What: "is not a field of protobuf"}},
		{"groups nest too deep", strings.Repeat("\xa3\x06", 10002), record.DecodeError{What: "is not a field of protobuf"}},
		{"cut in a tag", "\x0a\x01h\x9a", record.DecodeError{Offset: 3, What: "is not a number of protobuf"}},
		{"number of 11 bytes", "\x38\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
			record.DecodeError{Offset: 1, Key: "Day", What: "is not a number of protobuf"}},
		{"cut in a string", "\x0a\x05ab", record.DecodeError{Offset: 1, Key: "Host", What: "ends too early"}},
		{"string longer than memory", "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", record.DecodeError{Offset: 1, Key: "Host", What: "ends too early"}},
		{"string beyond its message", "\xba\x01\x04\x0a\x02\x0a\x05aaaaa", record.DecodeError{Offset: 6, Key: "Geo.Country.ISOCode", What: "ends too early"}},
		{"message beyond its message", "\xba\x01\x02\x12\x05\x10\x01\x10\x01\x10", record.DecodeError{Offset: 4, Key: "Geo.City", What: "ends too early"}},
		{"double cut by its message", "\xba\x01\x06\x1a\x04\x09\x00\x00\x00\x0a\x01h\x0a\x01h\x0a",
			record.DecodeError{Offset: 6, Key: "Geo.Location.Latitude", What: "ends too early"}},
		{"nanoseconds of more than a second", "\x6a\x06\x10\x80\x94\xeb\xdc\x03", record.DecodeError{Offset: 1, Key: "TimeStamp", What: "is no time between the years 1 and 9999"}},
		{"year 10000", "\x0a\x01h\xe2\x01\x07\x08\x80\x83\xd1\xff\xaf\x07", record.DecodeError{Offset: 5, Key: "ExpireAt", What: "is no time between the years 1 and 9999"}},
		{"more elements than a record may have", strings.Repeat("\xca\x01\x00", 1<<18+1),
			record.DecodeError{Offset: 3 << 18, Key: "Tags", What: "takes the record beyond 262144 list and map elements"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			fails(t, record.Protobuf, c.payload, c.want)
		})
	}
}

// A message that was cut may still be one; what it yields must then be what the library makes of it.
func TestTruncatedProtobuf(t *testing.T) {
	payload := payloads(t, record.Protobuf)[0]
	for n := range payload {
		sameAsReference(t, record.Protobuf, bytes.Clone(payload[:n]))
	}
}

func TestProtobufRoundTrip(t *testing.T) {
	r := everything()
	r.CollectionName, r.Latency.Gateway, r.GraphQL.Errors[0].Path = "", 0, nil // protobuf has no place for them
	var got record.Record
	if err := record.Decode(record.Protobuf, record.AppendProtobuf(nil, &r), &got); err != nil {
		t.Fatal(err)
	}
	if diff := equal(got, r); diff != "" {
		t.Error(diff)
	}
}
