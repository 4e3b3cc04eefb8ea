package record_test

import (
	"testing"

	"sluice/internal/record"
)

// losslessForms are records that the gateway's protobuf has no place for.
func losslessForms() map[string]record.Record {
	all, zone, broken := everything(), everything(), everything()
	zone.TimeZone, zone.GraphQL.Errors = "\xffzone", nil
	broken.TimeZone = "Europe/Berlin"
	broken.Tags, broken.Geo.City.Names = []string{"a", "\xfe"}, map[string]string{"\xff": "\xfe", "en": "x"}
	broken.GraphQL.Types = map[string][]string{"\xff": {"\xfe"}, "T": {}}
	noPaths := everything()
	noPaths.GraphQL.Errors = []record.GraphQLError{{Message: "boom"}}
	return map[string]record.Record{
		"everything": all, "zone that is no text": zone, "bytes everywhere": broken, "no paths": noPaths, "nothing": {},
		"empty lists": {Tags: []string{}, Geo: record.Geo{City: record.City{Names: map[string]string{}}},
			GraphQL: record.GraphQLStats{RootFields: []string{}, Types: map[string][]string{}, Errors: []record.GraphQLError{}}},
		"an empty path":      {GraphQL: record.GraphQLStats{Errors: []record.GraphQLError{{Path: []any{}}}}},
		"a type of no field": {GraphQL: record.GraphQLStats{Types: map[string][]string{"T": nil}}},
	}
}

func TestLosslessProtobufKeepsEveryRecord(t *testing.T) {
	for name, r := range losslessForms() {
		t.Run(name, func(t *testing.T) { lossless(t, &r) })
	}
	for f := range captured {
		for _, payload := range payloads(t, f) {
			var r record.Record
			if err := record.Decode(f, payload, &r); err != nil {
				t.Fatal(err)
			}
			lossless(t, &r)
		}
	}
}

// A record whose parts all have a place costs no second copy.
func TestLosslessProtobufIsSmallWhereItCanBe(t *testing.T) {
	r := losslessForms()["no paths"]
	plain, lossless := len(record.AppendProtobuf(nil, &r)), len(record.AppendProtobufLossless(nil, &r))
	if lossless > plain+20 {
		t.Errorf("%d bytes without loss, %d as the gateway writes it", lossless, plain)
	}
}

func TestDamagedOriginalIsNoRecord(t *testing.T) {
	r := losslessForms()["bytes everywhere"]
	payload := record.AppendProtobufLossless(nil, &r)
	fails(t, record.Protobuf, "\x0a\x01h\xa2\x06\x01\xc1", record.DecodeError{Offset: 6, Key: "Original", What: "is not a map"})
	for n := range payload {
		sameAsReference(t, record.Protobuf, payload[:n:n])
	}
}
