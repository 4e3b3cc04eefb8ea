package record

import "math"

// null reads a nil, if one is next.
func (m *msgpackReader) null() bool {
	if m.off >= len(m.buf) || m.buf[m.off] != mpNil {
		return false
	}
	m.off++
	return true
}

// mapLen reads how many entries follow; none for nil.
func (m *msgpackReader) mapLen() int {
	at := m.off
	switch c := m.code(); {
	case c == mpNil:
		return 0
	case c&0xf0 == mpFixMap:
		return int(c & 0x0f)
	case c == mpMap16:
		return int(m.uint(2))
	case c == mpMap32:
		return int(m.uint(4))
	}
	m.failAt(at, "is not a map")
	return 0
}

// tryArray reads the head of an array, if there is one.
func (m *msgpackReader) tryArray() (n int, ok bool) {
	if m.off >= len(m.buf) {
		return 0, false
	}
	switch c := m.buf[m.off]; {
	case c&0xf0 == mpFixArray:
		m.off++
		return int(c & 0x0f), true
	case c == mpArray16:
		m.off++
		return int(m.uint(2)), true
	case c == mpArray32:
		m.off++
		return int(m.uint(4)), true
	}
	return 0, false
}

// arrayLen reads how many elements follow, and whether it was an array and not nil. There are never more than bytes
// left, so that a slice of that length may be made.
func (m *msgpackReader) arrayLen() (n int, some bool) {
	if m.null() {
		return 0, false
	}
	at := m.off
	n, some = m.tryArray()
	switch {
	case !some && at >= len(m.buf):
		m.failAt(at, wrongTruncated)
	case !some:
		m.failAt(at, "is not an array")
	case n > len(m.buf)-m.off:
		m.failAt(at, wrongTruncated)
	default:
		m.count(at, n)
	}
	return n, some && m.fail == nil
}

// count takes n elements from what one record may have.
func (m *msgpackReader) count(at, n int) {
	if m.elements += n; m.elements > maxElements {
		m.failAt(at, wrongTooMany)
	}
}

// strs reads an array of strings; nil stays nil, and an empty array is not nil.
func (m *msgpackReader) strs() []string {
	n, some := m.arrayLen()
	if !some {
		return nil
	}
	if n == 0 {
		return []string{}
	}
	list := m.strings.take(n)
	for i := range list {
		list[i] = m.str()
	}
	return list
}

// entries calls entry for each key of a map whose keys are data.
func (m *msgpackReader) entries(entry func(key string)) {
	at := m.off
	n := m.mapLen()
	m.count(at, n)
	for ; n > 0 && m.fail == nil; n-- {
		entry(m.str())
	}
}

// extSize reads the number of bytes of an extension's data, its type not counted; not an extension: 0.
func (m *msgpackReader) extSize(c byte) uint64 {
	switch {
	case c >= mpFixExt1 && c <= mpFixExt16:
		return 1 << (c - mpFixExt1)
	case c == mpExt8:
		return m.uint(1)
	case c == mpExt16:
		return m.uint(2)
	case c == mpExt32:
		return m.uint(4)
	}
	return 0
}

// skip passes a value of any type. It counts what is still to pass instead of recursing, so that no nesting is too
// deep.
func (m *msgpackReader) skip() {
	for left := uint64(1); left > 0 && m.fail == nil; left-- {
		left += m.skipHead()
	}
}

// skipHead passes a value but for what is nested in it, and returns the number of nested values.
func (m *msgpackReader) skipHead() uint64 {
	at := m.off
	c := m.code()
	switch {
	case c < mpFixMap, c >= mpNegFix, c == mpNil, c == mpFalse, c == mpTrue:
		return 0
	case c < mpFixArray:
		return 2 * uint64(c&0x0f)
	case c < mpFixStr:
		return uint64(c & 0x0f)
	case c < mpNil:
		m.take(uint64(c & 0x1f))
		return 0
	case c >= mpFixExt1 && c <= mpFixExt16, c >= mpExt8 && c <= mpExt32:
		m.take(1 + m.extSize(c))
		return 0
	}
	return m.skipSized(at, c)
}

func (m *msgpackReader) skipSized(at int, c byte) uint64 {
	switch c {
	case mpBin8, mpStr8:
		m.take(m.uint(1))
	case mpBin16, mpStr16:
		m.take(m.uint(2))
	case mpBin32, mpStr32:
		m.take(m.uint(4))
	case mpUint8, mpInt8:
		m.take(1)
	case mpUint16, mpInt16:
		m.take(2)
	case mpUint32, mpInt32, mpFloat32:
		m.take(4)
	case mpUint64, mpInt64, mpFloat64:
		m.take(8)
	case mpArray16:
		return m.uint(2)
	case mpArray32:
		return m.uint(4)
	case mpMap16:
		return 2 * m.uint(2)
	case mpMap32:
		return 2 * m.uint(4)
	default: // mpUnused
		m.failAt(at, "is no msgpack")
	}
	return 0
}

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
