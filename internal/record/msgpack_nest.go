package record

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
