package record

import (
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Wire types, as they lie in the lower three bits of a tag.
const (
	pbVarint  = uint64(protowire.VarintType)
	pbFixed64 = uint64(protowire.Fixed64Type)
	pbBytes   = uint64(protowire.BytesType)
)

// protobufReader reads one message after the other from a payload, nested ones in place. As with msgpackReader the
// first failure sticks. A field that comes with another wire type than its own counts as unknown, as everywhere in
// protobuf.
type protobufReader struct {
	buf      []byte
	off, end int    // of the message that is being read
	tag      uint64 // of the field that is next: number<<3 | wire type
	at       int    // where that tag begins
	elements int
	fail     *DecodeError
}

func (p *protobufReader) failAt(off int, what string) {
	if p.fail == nil {
		p.fail = &DecodeError{Offset: off, What: what}
	}
	p.off = p.end
}

func (p *protobufReader) failed(key string) {
	if p.fail != nil {
		p.fail.within(key)
	}
}

// next reads the tag of the message's next field, false at its end.
func (p *protobufReader) next() bool {
	if p.off >= p.end || p.fail != nil {
		return false
	}
	p.at = p.off
	p.tag = p.varint()
	if number := p.tag >> 3; number < 1 || number > uint64(protowire.MaxValidNumber) {
		p.failAt(p.at, "is not a field of protobuf")
	}
	return p.fail == nil
}

func (p *protobufReader) varint() uint64 {
	if p.off < p.end && p.buf[p.off] < 0x80 { // most numbers have one byte
		p.off++
		return uint64(p.buf[p.off-1])
	}
	v, n := protowire.ConsumeVarint(p.buf[p.off:p.end])
	if n < 0 {
		p.failAt(p.off, "is not a number of protobuf")
		return 0
	}
	p.off += n
	return v
}

func (p *protobufReader) bytes() []byte {
	at := p.off
	n := p.varint()
	if n > uint64(p.end-p.off) {
		p.failAt(at, wrongTruncated)
		return nil
	}
	b := p.buf[p.off : p.off+int(n)]
	p.off += int(n)
	return b
}

// skip passes the field that is next. Groups, which no gateway writes, nest 10,000 levels at most.
func (p *protobufReader) skip() {
	n := protowire.ConsumeFieldValue(protowire.Number(p.tag>>3), protowire.Type(p.tag&7), p.buf[p.off:p.end])
	if n < 0 {
		p.failAt(p.at, "is not a field of protobuf")
		return
	}
	p.off += n
}

// open enters the message that is next and returns the end of the one around it, which close wants back.
func (p *protobufReader) open() (outer int) {
	outer = p.end
	b := p.bytes()
	p.end, p.off = p.off, p.off-len(b)
	return outer
}

func (p *protobufReader) close(outer int, key string) {
	p.failed(key)
	p.end = outer
	if p.fail != nil {
		p.off = outer
	}
}

func (p *protobufReader) str(s *string, key string) {
	*s = alias(p.bytes())
	p.failed(key)
}

func (p *protobufReader) int64(n *int64, key string) {
	*n = int64(p.varint())
	p.failed(key)
}

// int32 keeps the lower 32 bits of a larger number, as protobuf has it.
func (p *protobufReader) int32(n *int32, key string) {
	*n = int32(p.varint())
	p.failed(key)
}

func (p *protobufReader) bool(b *bool, key string) {
	*b = protowire.DecodeBool(p.varint())
	p.failed(key)
}

func (p *protobufReader) double(f *float64, key string) {
	v, n := protowire.ConsumeFixed64(p.buf[p.off:p.end])
	if n < 0 {
		p.failAt(p.off, wrongTruncated)
		p.failed(key)
		return
	}
	*f = math.Float64frombits(v)
	p.off += n
}

// element takes one from the list and map elements that a record may have.
func (p *protobufReader) element() {
	if p.elements++; p.elements > maxElements {
		p.failAt(p.at, wrongTooMany)
	}
}

// timestamp is a google.protobuf.Timestamp, whose parts may come in several pieces.
type timestamp struct {
	set  bool
	at   int
	sec  int64
	nano int32
}

func (p *protobufReader) timestamp(t *timestamp, key string) {
	t.set, t.at = true, p.off
	outer := p.open()
	for p.next() {
		switch p.tag {
		case 1<<3 | pbVarint:
			t.sec = int64(p.varint())
		case 2<<3 | pbVarint:
			t.nano = int32(p.varint())
		default:
			p.skip()
		}
	}
	p.close(outer, key)
}

// moment is the time once all its pieces were read; zero when there was none.
func (p *protobufReader) moment(t timestamp, key string) time.Time {
	if !t.set || p.fail != nil {
		return time.Time{}
	}
	if m, ok := moment(t.sec, int64(t.nano)); ok && t.nano >= 0 && t.nano < 1e9 {
		return m
	}
	p.failAt(t.at, wrongTime)
	p.failed(key)
	return time.Time{}
}
