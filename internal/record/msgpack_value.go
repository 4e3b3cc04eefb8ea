package record

import "math"

// maxDepth bounds how deep the values of a GraphQL error's path may nest. Real paths do not nest at all; MongoDB takes
// documents of 100 levels.
const maxDepth = 64

// value reads a value whose type is not known beforehand: nil, bool, int64 (uint64 where it is too large), float64,
// string, []any or map[string]any.
func (m *msgpackReader) value(depth int) any {
	at := m.off
	if depth > maxDepth {
		m.failAt(at, "nests deeper than 64 levels")
		return nil
	}
	if at >= len(m.buf) {
		m.failAt(at, wrongTruncated)
		return nil
	}
	switch c := m.buf[at]; {
	case c == mpNil:
		m.off++
		return nil
	case c == mpFalse, c == mpTrue:
		return m.bool()
	case c == mpFloat32, c == mpFloat64:
		return m.float64()
	case c == mpUint64:
		m.off++
		if n := m.uint(8); n > math.MaxInt64 {
			return n
		}
		m.off = at
		return m.int64()
	case c < mpFixMap, c >= mpNegFix, c >= mpUint8 && c <= mpInt64:
		return m.int64()
	case c&0xf0 == mpFixMap, c == mpMap16, c == mpMap32:
		return m.anyMap(depth)
	case c&0xf0 == mpFixArray, c == mpArray16, c == mpArray32:
		return m.values(depth)
	case c >= mpExt8 && c <= mpExt32, c >= mpFixExt1 && c <= mpFixExt16, c == mpUnused:
		m.failAt(at, "is of no type that JSON has")
		return nil
	}
	return m.str()
}

func (m *msgpackReader) anyMap(depth int) map[string]any {
	entries := make(map[string]any)
	m.entries(func(key string) { entries[key] = m.value(depth + 1) })
	return entries
}

// values reads an array of such values; nil stays nil.
func (m *msgpackReader) values(depth int) []any {
	n, some := m.arrayLen()
	if !some {
		return nil
	}
	list := make([]any, 0, n)
	for ; n > 0 && m.fail == nil; n-- {
		list = append(list, m.value(depth+1))
	}
	return list
}
