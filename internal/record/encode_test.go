package record_test

import (
	"math"
	"strings"
	"testing"

	"sluice/internal/record"
)

// Where the encoding of a number or a length changes its form, on both sides of the border.
func TestEncodingBorders(t *testing.T) {
	for _, n := range []int64{0, 127, 128, 255, 256, 65535, 65536, 1<<32 - 1, 1 << 32, math.MaxInt64, -1, -32, -33, -128, -129,
		-32768, -32769, math.MinInt32, math.MinInt32 - 1, math.MinInt64} {
		r := record.Record{RequestTime: n, ResponseCode: int32(n)}
		again(t, record.Msgpack, &r)
		again(t, record.Protobuf, &r)
	}
	for _, n := range []int{0, 15, 16, 31, 32, 127, 128, 255, 256, 16383, 16384, 65535, 65536} {
		r := record.Record{Path: strings.Repeat("x", n), Alias: "a"}
		again(t, record.Msgpack, &r)
		again(t, record.Protobuf, &r)
		r = record.Record{Tags: make([]string, n+1), GraphQL: record.GraphQLStats{Variables: strings.Repeat("x", n)}}
		again(t, record.Msgpack, &r)
		again(t, record.Protobuf, &r)
	}
}

func TestEverythingSurvivesMsgpack(t *testing.T) {
	r := everything()
	r.TimeZone = "" // msgpack has no place for it
	again(t, record.Msgpack, &r)
}

// A value that no decoder makes does not spoil the record.
func TestEncodingOfForeignPathElements(t *testing.T) {
	r := record.Record{GraphQL: record.GraphQLStats{Errors: []record.GraphQLError{{Path: []any{7, struct{}{}, []any(nil), uint64(math.MaxUint64)}}}}}
	var got record.Record
	if err := record.Decode(record.Msgpack, record.AppendMsgpack(nil, &r), &got); err != nil {
		t.Fatal(err)
	}
	r.GraphQL.Errors[0].Path = []any{int64(7), nil, nil, uint64(math.MaxUint64)}
	if diff := equal(got, r); diff != "" {
		t.Error(diff)
	}
}

func TestAppendKeepsWhatIsThere(t *testing.T) {
	r, u := everything(), uptimes()[1]
	for name, got := range map[string][]byte{
		"msgpack":  record.AppendMsgpack([]byte("before"), &r),
		"protobuf": record.AppendProtobuf([]byte("before"), &r),
		"uptime":   record.AppendUptime([]byte("before"), &u),
	} {
		if !strings.HasPrefix(string(got), "before") || len(got) < 100 {
			t.Errorf("%s: %d bytes do not begin with what was there", name, len(got))
		}
	}
}
