package record

import (
	"strconv"
	"strings"
	"time"
	"unsafe"
)

// Decoder decodes payloads in place: strings and slices of the records it fills alias the payload, or blocks that the
// Decoder allocates for many records at once and never uses again. So a payload must not be written to while a record
// decoded from it lives. The zero value is ready. It is not safe for concurrent use.
type Decoder struct {
	strings stringArena
	tags    []string // protobuf does not say how many come: they gather here first
}

// Decode resets r and fills it from one payload. What yields no record (no map, no known field, bytes that are left
// over, values that cannot be represented) is a *DecodeError, and r is then empty.
func (d *Decoder) Decode(f Format, payload []byte, r *Record) error {
	*r = Record{}
	var fail *DecodeError
	if f == Protobuf {
		fail = d.decodeProtobuf(payload, r)
	} else {
		fail = d.decodeMsgpack(payload, r)
	}
	if fail != nil {
		*r = Record{}
		return fail
	}
	return nil
}

// Decode decodes one payload as Decoder.Decode does. For more than a few records a Decoder is cheaper.
func Decode(f Format, payload []byte, r *Record) error {
	var d Decoder
	return d.Decode(f, payload, r)
}

// DecodeError says where a payload is no record. It never holds bytes of the payload.
type DecodeError struct {
	Offset int    // of the value that could not be read, in bytes from the payload's start
	Key    string // the field it belongs to, dotted ("Geo.City.Names"); empty at the root
	What   string // what is wrong with it
}

// Error names the key, the offset and what is wrong.
func (e *DecodeError) Error() string {
	key := e.Key
	if key == "" {
		key = "payload"
	}
	return key + " at byte " + strconv.Itoa(e.Offset) + " " + e.What
}

// within puts the name of the enclosing field before the key. name may alias the payload and is copied.
func (e *DecodeError) within(name string) {
	if e.Key == "" {
		e.Key = strings.Clone(name)
		return
	}
	e.Key = name + "." + e.Key
}

// What is wrong with a value, for both formats.
const (
	wrongEmpty     = "is empty"
	wrongNoField   = "has no field of a record"
	wrongTrailing  = "goes on behind the record"
	wrongTruncated = "ends too early"
	wrongInt       = "does not fit into the field's integer"
	wrongTime      = "is no time between the years 1 and 9999"
	wrongTooMany   = "takes the record beyond 262144 list and map elements"
)

// maxElements bounds the list and map elements of one record, which cost up to some 50 bytes of memory each but only
// one or two of payload. A gateway's largest lists, the fields of a GraphQL query, have hundreds.
const maxElements = 1 << 18

// Seconds of the first and last moment that RFC 3339, and so the archive, can write.
const (
	minUnix = -62135596800 // 0001-01-01T00:00:00Z, Go's zero time
	maxUnix = 253402300799 // 9999-12-31T23:59:59Z
)

// moment is the time of a pair of seconds and nanoseconds in UTC, and whether it can be represented.
func moment(sec, nsec int64) (time.Time, bool) {
	t := time.Unix(sec, nsec).UTC()
	s := t.Unix()
	return t, s >= minUnix && s <= maxUnix
}

// alias is a string over the bytes of b themselves.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// stringArena cuts slices of strings from blocks. A block is given out once, piece by piece, and is freed by the
// garbage collector when the last record that has a piece of it is.
type stringArena struct {
	free []string
	next int // size of the next block
}

// Blocks grow from a record's worth to 8 KiB, so that a Decoder for one record is not expensive.
const (
	firstBlock = 8
	lastBlock  = 512
)

// take returns a slice of n empty strings, without spare capacity, so that an append by its user copies it.
func (a *stringArena) take(n int) []string {
	if n > len(a.free) {
		a.next = min(max(2*a.next, firstBlock), lastBlock)
		if n > a.next {
			return make([]string, n)
		}
		a.free = make([]string, a.next)
	}
	s := a.free[:n:n]
	a.free = a.free[n:]
	return s
}
