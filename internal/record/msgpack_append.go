package record

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"
	"time"
)

// The append functions write values as the encoder of a gateway does: integers in their smallest form and unsigned
// where they are not negative, all strings as str, times as an array of seconds and nanoseconds.

func appendStr(dst []byte, s string) []byte {
	switch n := len(s); {
	case n < 32:
		dst = append(dst, mpFixStr|byte(n))
	case n <= math.MaxUint8:
		dst = append(dst, mpStr8, byte(n))
	case n <= math.MaxUint16:
		dst = binary.BigEndian.AppendUint16(append(dst, mpStr16), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint32(append(dst, mpStr32), uint32(n))
	}
	return append(dst, s...)
}

func appendInt(dst []byte, n int64) []byte {
	switch {
	case n >= 0:
		return appendUint(dst, uint64(n))
	case n >= -32:
		return append(dst, byte(n))
	case n >= math.MinInt8:
		return append(dst, mpInt8, byte(n))
	case n >= math.MinInt16:
		return binary.BigEndian.AppendUint16(append(dst, mpInt16), uint16(n))
	case n >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(dst, mpInt32), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, mpInt64), uint64(n))
}

func appendUint(dst []byte, n uint64) []byte {
	switch {
	case n < mpFixMap:
		return append(dst, byte(n))
	case n <= math.MaxUint8:
		return append(dst, mpUint8, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, mpUint16), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, mpUint32), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, mpUint64), n)
}

func appendFloat(dst []byte, f float64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, mpFloat64), math.Float64bits(f))
}

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, mpTrue)
	}
	return append(dst, mpFalse)
}

func appendTime(dst []byte, t time.Time) []byte {
	dst = appendInt(append(dst, mpFixArray|2), t.Unix())
	return appendInt(dst, int64(t.Nanosecond()))
}

func appendMapLen(dst []byte, n int) []byte { return appendLen(dst, n, mpFixMap, mpMap16, mpMap32) }

func appendArrayLen(dst []byte, n int) []byte {
	return appendLen(dst, n, mpFixArray, mpArray16, mpArray32)
}

func appendLen(dst []byte, n int, fix, short, long byte) []byte {
	switch {
	case n < 16:
		return append(dst, fix|byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, short), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, long), uint32(n))
}

func appendStrs(dst []byte, list []string) []byte {
	if list == nil {
		return append(dst, mpNil)
	}
	dst = appendArrayLen(dst, len(list))
	for _, s := range list {
		dst = appendStr(dst, s)
	}
	return dst
}

// appendMap writes a map in the order of its keys, so that equal records have equal bytes.
func appendMap[V any](dst []byte, m map[string]V, value func([]byte, V) []byte) []byte {
	if m == nil {
		return append(dst, mpNil)
	}
	dst = appendMapLen(dst, len(m))
	for _, key := range sortedKeys(m) {
		dst = value(appendStr(dst, key), m[key])
	}
	return dst
}

func sortedKeys[V any](m map[string]V) []string {
	if len(m) == 0 {
		return nil // without the sorter's allocations: most records have no maps
	}
	return slices.Sorted(maps.Keys(m))
}

// appendAny writes the types that a decoded GraphQLError.Path has; any other type becomes nil.
func appendAny(dst []byte, v any) []byte {
	switch v := v.(type) {
	case bool:
		return appendBool(dst, v)
	case int:
		return appendInt(dst, int64(v))
	case int64:
		return appendInt(dst, v)
	case uint64:
		return appendUint(dst, v)
	case float64:
		return appendFloat(dst, v)
	case string:
		return appendStr(dst, v)
	case []any:
		return appendAnys(dst, v)
	case map[string]any:
		return appendMap(dst, v, appendAny)
	}
	return append(dst, mpNil)
}

func appendAnys(dst []byte, list []any) []byte {
	if list == nil {
		return append(dst, mpNil)
	}
	dst = appendArrayLen(dst, len(list))
	for _, v := range list {
		dst = appendAny(dst, v)
	}
	return dst
}
