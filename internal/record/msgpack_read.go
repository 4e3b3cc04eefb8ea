package record

import (
	"encoding/binary"
	"math"
)

// msgpackReader reads one value after the other. The first failure sticks: what is read after it is empty, so that
// callers need to look only in their loops. nil reads as the empty value of any type.
type msgpackReader struct {
	buf      []byte
	text     string // buf again: what is read in place is cut from it
	off      int
	elements int // list and map elements seen so far
	fail     *DecodeError
	strings  *stringArena
}

func (m *msgpackReader) failAt(off int, what string) {
	if m.fail == nil {
		m.fail = &DecodeError{Offset: off, What: what}
	}
	m.off = len(m.buf)
}

// within names the field that was just read, should it have failed.
func (m *msgpackReader) within(key string) {
	if m.fail != nil {
		m.fail.within(key)
	}
}

// code reads the byte that says what follows; nil when there is none.
func (m *msgpackReader) code() byte {
	if m.off >= len(m.buf) {
		m.failAt(m.off, wrongTruncated)
		return mpNil
	}
	c := m.buf[m.off]
	m.off++
	return c
}

// take returns the next n bytes, or nil when there are fewer.
func (m *msgpackReader) take(n uint64) []byte {
	if n > uint64(len(m.buf)-m.off) {
		m.failAt(m.off, wrongTruncated)
		return nil
	}
	b := m.buf[m.off : m.off+int(n) : m.off+int(n)]
	m.off += int(n)
	return b
}

// uint reads size bytes as a big-endian number; size is 1, 2, 4 or 8.
func (m *msgpackReader) uint(size uint64) uint64 {
	b := m.take(size)
	switch len(b) {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.BigEndian.Uint16(b))
	case 4:
		return uint64(binary.BigEndian.Uint32(b))
	case 8:
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// str reads a string, str or bin, in place.
func (m *msgpackReader) str() string {
	if at := m.off; at < len(m.text) {
		if c := m.text[at]; c&0xe0 == mpFixStr {
			if end := at + 1 + int(c&0x1f); end <= len(m.text) {
				m.off = end
				return m.text[at+1 : end]
			}
		}
	}
	return m.longStr()
}

func (m *msgpackReader) longStr() string {
	at := m.off
	var n uint64
	switch c := m.code(); {
	case c == mpNil:
		return ""
	case c&0xe0 == mpFixStr:
		n = uint64(c & 0x1f)
	case c == mpStr8, c == mpBin8:
		n = m.uint(1)
	case c == mpStr16, c == mpBin16:
		n = m.uint(2)
	case c == mpStr32, c == mpBin32:
		n = m.uint(4)
	default:
		m.failAt(at, "is not a string")
		return ""
	}
	return alias(m.take(n))
}

// int64 reads an integer of any form.
func (m *msgpackReader) int64() int64 {
	at := m.off
	c := m.code()
	if c < mpFixMap || c >= mpNegFix {
		return int64(int8(c))
	}
	switch c {
	case mpNil:
		return 0
	case mpUint8:
		return int64(m.uint(1))
	case mpUint16:
		return int64(m.uint(2))
	case mpUint32:
		return int64(m.uint(4))
	case mpUint64:
		n := m.uint(8)
		if n > math.MaxInt64 {
			m.failAt(at, wrongInt)
			return 0
		}
		return int64(n)
	case mpInt8:
		return int64(int8(m.uint(1)))
	case mpInt16:
		return int64(int16(m.uint(2)))
	case mpInt32:
		return int64(int32(m.uint(4)))
	case mpInt64:
		return int64(m.uint(8))
	}
	m.failAt(at, "is not an integer")
	return 0
}

// intBetween reads an integer between lo and hi.
func (m *msgpackReader) intBetween(lo, hi int64) int64 {
	at := m.off
	n := m.int64()
	if n < lo || n > hi {
		m.failAt(at, wrongInt)
		return 0
	}
	return n
}

func (m *msgpackReader) int32() int32 { return int32(m.intBetween(math.MinInt32, math.MaxInt32)) }

func (m *msgpackReader) uint32() uint32 { return uint32(m.intBetween(0, math.MaxUint32)) }

// float64 reads a float of either size, or an integer.
func (m *msgpackReader) float64() float64 {
	if m.off < len(m.buf) {
		switch m.buf[m.off] {
		case mpFloat32:
			m.off++
			return float64(math.Float32frombits(uint32(m.uint(4))))
		case mpFloat64:
			m.off++
			return math.Float64frombits(m.uint(8))
		}
	}
	return float64(m.int64())
}

func (m *msgpackReader) bool() bool {
	at := m.off
	switch m.code() {
	case mpTrue:
		return true
	case mpFalse, mpNil:
		return false
	}
	m.failAt(at, "is not a boolean")
	return false
}
