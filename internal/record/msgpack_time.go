package record

import (
	"encoding/binary"
	"time"
)

// time reads a time as gateways write it, an array of seconds and nanoseconds, or as msgpack's own extension -1. It is
// in UTC.
func (m *msgpackReader) time() time.Time {
	if m.null() {
		return time.Time{}
	}
	at := m.off
	var sec, nsec int64
	if n, ok := m.tryArray(); ok {
		if n != 2 {
			m.failAt(at, "is not a pair of seconds and nanoseconds")
		}
		sec, nsec = m.int64(), m.int64()
	} else {
		sec, nsec = m.timestamp()
	}
	if m.fail != nil {
		return time.Time{}
	}
	t, ok := moment(sec, nsec)
	if !ok {
		m.failAt(at, wrongTime)
		return time.Time{}
	}
	return t
}

// timestamp reads msgpack's timestamp extension in one of its three sizes.
func (m *msgpackReader) timestamp() (sec, nsec int64) {
	at := m.off
	var b []byte
	size := m.extSize(m.code())
	if size == 4 || size == 8 || size == 12 {
		b = m.take(1 + size)
	}
	if len(b) == 0 || int8(b[0]) != -1 {
		m.failAt(at, "is not a time")
		return 0, 0
	}
	switch b = b[1:]; len(b) {
	case 4:
		return int64(binary.BigEndian.Uint32(b)), 0
	case 8:
		v := binary.BigEndian.Uint64(b)
		return int64(v & (1<<34 - 1)), int64(v >> 34)
	}
	return int64(binary.BigEndian.Uint64(b[4:])), int64(binary.BigEndian.Uint32(b))
}
