package record

import (
	"encoding/binary"
	"encoding/hex"
	"time"

	"github.com/minio/highwayhash"
)

// ID identifies a record by its content: 12 bytes, usable as a MongoDB ObjectID. The first four are the record's own
// second (big endian), the other eight a HighwayHash-64 of the payload as it came.
type ID [12]byte

// String is the ID in lower-case hex, as an ObjectID prints.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Span is the number of consecutive indices of a claim within which equal payloads are told apart by their ordinal.
// Reads that compute IDs, and trims, start at multiples of it.
const Span = 1000

// idKey is public and frozen: another key would give every record another ID. TestIDIsFrozen holds it.
var idKey = []byte("sluice record id: frozen, v1.000")

// Ordinals gives records their IDs in the order of their indices. It must see every payload of a span from the span's
// first index on; Next resets it by itself when a span begins. It is not safe for concurrent use.
type Ordinals struct {
	seen map[uint64]uint32
}

// Next returns the content hash of the payload at index, distinct among equal payloads of the same span.
func (o *Ordinals) Next(index uint32, payload []byte) uint64 {
	if o.seen == nil || index%Span == 0 {
		o.seen = make(map[uint64]uint32, Span)
	}
	h := highwayhash.Sum64(payload, idKey)
	n := o.seen[h]
	o.seen[h] = n + 1
	if n == 0 {
		return h
	}
	var b [12]byte
	binary.BigEndian.PutUint64(b[:8], h)
	binary.BigEndian.PutUint32(b[8:], n)
	return highwayhash.Sum64(b[:], idKey)
}

// MakeID joins a record's own time and its content hash.
func MakeID(t time.Time, hash uint64) (id ID) {
	binary.BigEndian.PutUint32(id[:4], uint32(t.Unix()))
	binary.BigEndian.PutUint64(id[4:], hash)
	return id
}
