package record_test

import (
	"encoding/binary"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"

	"sluice/internal/record"
)

// Fuzzing mutates bytes; the tests here make payloads that are well-formed and wrong in their types only.

var wildKeys = []string{"Method", "ContentLength", "Day", "TimeStamp", "ExpireAt", "Geo", "City", "Country", "Location", "Names",
	"GeoNameID", "Latitude", "Network", "ClosedConnection", "Latency", "Total", "Tags", "TrackPath", "GraphQLStats", "Types",
	"RootFields", "Errors", "Message", "Path", "OperationType", "MCPStats", "IsMCP", "unknown", ""}

// wildValue appends a msgpack value of any type in any form.
func wildValue(t *rapid.T, dst []byte, depth int) []byte {
	kinds := 6
	if depth == 0 {
		kinds = 4
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return append(dst, rapid.SampledFrom([]byte{0xc0, 0xc0, 0xc2, 0xc3, 0xc1, 0x00, 0x05, 0x7f, 0xe0, 0xff}).Draw(t, "code"))
	case 1:
		return wildNumber(t, dst)
	case 2:
		return wildString(t, dst)
	case 3:
		return wildTime(t, dst)
	case 4:
		return wildList(t, dst, depth)
	}
	return wildMap(t, dst, depth)
}

func wildNumber(t *rapid.T, dst []byte) []byte {
	code := rapid.ByteRange(0xca, 0xd3).Draw(t, "number")
	size := map[byte]int{0xca: 4, 0xcb: 8, 0xcc: 1, 0xcd: 2, 0xce: 4, 0xcf: 8, 0xd0: 1, 0xd1: 2, 0xd2: 4, 0xd3: 8}[code]
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], rapid.Uint64().Draw(t, "value"))
	return append(append(dst, code), b[8-size:]...)
}

func wildString(t *rapid.T, dst []byte) []byte {
	s := rapid.SampledFrom([]string{"", "a", "\xff\x00", "key-key"}).Draw(t, "string")
	n := byte(len(s))
	head := rapid.SampledFrom([]string{string([]byte{0xa0 | n}), string([]byte{0xd9, n}), string([]byte{0xda, 0, n}),
		string([]byte{0xdb, 0, 0, 0, n}), string([]byte{0xc4, n}), string([]byte{0xc5, 0, n}), string([]byte{0xc6, 0, 0, 0, n})}).Draw(t, "head")
	return append(append(dst, head...), s...)
}

// wildTime appends pairs of numbers and extensions of all sizes, among them times.
func wildTime(t *rapid.T, dst []byte) []byte {
	id := rapid.SampledFrom([]byte{0xff, 0xff, 0x0d, 0x00}).Draw(t, "extension")
	switch rapid.IntRange(0, 3).Draw(t, "time") {
	case 0:
		head := rapid.SampledFrom([]string{"\x92", "\xdc\x00\x02", "\xdd\x00\x00\x00\x02"}).Draw(t, "head")
		return wildNumber(t, wildNumber(t, append(dst, head...)))
	case 1:
		dst = append(dst, 0xd6, id)
		return binary.BigEndian.AppendUint32(dst, rapid.Uint32().Draw(t, "seconds"))
	case 2:
		dst = append(dst, 0xd7, id)
		return binary.BigEndian.AppendUint64(dst, rapid.Uint64().Draw(t, "both"))
	}
	size := rapid.SampledFrom([]byte{12, 12, 4, 3, 0}).Draw(t, "size")
	dst = append(dst, 0xc7, size, id)
	return append(dst, rapid.SliceOfN(rapid.SampledFrom([]byte{0, 0, 0, 1, 0xff}), int(size), int(size)).Draw(t, "bytes")...)
}

func wildList(t *rapid.T, dst []byte, depth int) []byte {
	n := rapid.IntRange(0, 4).Draw(t, "elements")
	dst = append(dst, rapid.SampledFrom([]string{string([]byte{0x90 | byte(n)}), string([]byte{0xdc, 0, byte(n)})}).Draw(t, "head")...)
	for range n {
		dst = wildValue(t, dst, depth-1)
	}
	return dst
}

func wildMap(t *rapid.T, dst []byte, depth int) []byte {
	n := rapid.IntRange(0, 6).Draw(t, "entries")
	dst = append(dst, rapid.SampledFrom([]string{string([]byte{0x80 | byte(n)}), string([]byte{0xde, 0, byte(n)})}).Draw(t, "head")...)
	for range n {
		key := rapid.SampledFrom(wildKeys).Draw(t, "key")
		dst = append(append(dst, 0xa0|byte(len(key))), key...)
		dst = fittingValue(t, dst, key, depth-1)
	}
	return dst
}

// fittingValue is mostly of the key's own type, so that whole records come of it.
func fittingValue(t *rapid.T, dst []byte, key string, depth int) []byte {
	if depth <= 0 || rapid.IntRange(0, 9).Draw(t, "fits") == 0 {
		return wildValue(t, dst, max(depth, 0))
	}
	switch key {
	case "Method", "Message":
		return wildString(t, dst)
	case "ContentLength", "Day", "GeoNameID", "Latitude", "ClosedConnection", "Total", "OperationType":
		return wildNumber(t, dst)
	case "TimeStamp", "ExpireAt":
		return wildTime(t, dst)
	case "Tags", "RootFields", "Errors", "Path":
		return wildList(t, dst, depth)
	case "Geo", "City", "Country", "Location", "Names", "Network", "Latency", "GraphQLStats", "Types", "MCPStats":
		return wildMap(t, dst, depth)
	}
	return wildValue(t, dst, depth)
}

func TestWildMsgpackEqualsReference(t *testing.T) {
	records := 0
	rapid.Check(t, func(r *rapid.T) {
		payload := wildMap(r, nil, 5)
		if got, ok := sameAsReference(r, record.Msgpack, payload); ok {
			records++
			again(r, record.Msgpack, &got)
		}
	})
	if records == 0 {
		t.Error("none of the payloads was a record: nothing was compared")
	}
}

// wildMessage appends fields of all numbers and wire types, nested a few levels.
func wildMessage(t *rapid.T, dst []byte, depth int) []byte {
	for range rapid.IntRange(0, 6).Draw(t, "fields") {
		number := protowire.Number(rapid.IntRange(1, 37).Draw(t, "number"))
		if depth < 3 {
			number = protowire.Number(rapid.IntRange(1, 8).Draw(t, "nested number"))
		}
		dst = wildField(t, dst, number, depth)
	}
	return dst
}

func wildField(t *rapid.T, dst []byte, number protowire.Number, depth int) []byte {
	typ := rapid.SampledFrom([]protowire.Type{protowire.VarintType, protowire.Fixed64Type, protowire.BytesType,
		protowire.BytesType, protowire.BytesType, protowire.Fixed32Type}).Draw(t, "wire type")
	dst = protowire.AppendTag(dst, number, typ)
	value := rapid.Uint64().Draw(t, "value")
	switch typ {
	case protowire.VarintType:
		return protowire.AppendVarint(dst, value)
	case protowire.Fixed64Type:
		return protowire.AppendFixed64(dst, value)
	case protowire.Fixed32Type:
		return protowire.AppendFixed32(dst, uint32(value))
	}
	if depth == 0 || rapid.Bool().Draw(t, "text") {
		return protowire.AppendString(dst, rapid.SampledFrom([]string{"", "a", "\x00", "key-key"}).Draw(t, "string"))
	}
	return protowire.AppendBytes(dst, wildMessage(t, nil, depth-1))
}

func TestWildProtobufEqualsReference(t *testing.T) {
	records := 0
	rapid.Check(t, func(r *rapid.T) {
		payload := wildMessage(r, nil, 3)
		if got, ok := sameAsReference(r, record.Protobuf, payload); ok {
			records++
			again(r, record.Protobuf, &got)
		}
	})
	if records == 0 {
		t.Error("none of the payloads was a record: nothing was compared")
	}
}
