package record

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
