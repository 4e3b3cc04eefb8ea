package record

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"time"

	"github.com/minio/highwayhash"
)

// ID identifies a record by its content: 12 bytes, usable as a MongoDB ObjectID. The first four are the record's own
// second (big endian), the other eight a HighwayHash-64 of the payload as it came.
type ID [12]byte

// String is the ID in lower-case hex, as an ObjectID prints.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// ParseID reads what ID.String wrote.
func ParseID(s string) (id ID, err error) {
	if len(s) != hex.EncodedLen(len(id)) {
		return ID{}, fmt.Errorf("%q is not a record ID", s)
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return ID{}, fmt.Errorf("%q is not a record ID", s)
	}
	return id, nil
}

// Hash is the content hash that the ID was made with.
func (id ID) Hash() uint64 { return binary.BigEndian.Uint64(id[4:]) }

// MakeID joins a record's own time and its content hash. Of the time's seconds only the lower 32 bits count.
func MakeID(t time.Time, hash uint64) (id ID) {
	binary.BigEndian.PutUint32(id[:4], uint32(t.Unix()))
	binary.BigEndian.PutUint64(id[4:], hash)
	return id
}

// idKey is public and frozen: another key would give every record another ID. TestIDIsFrozen holds it.
var idKey = []byte("sluice record id: frozen, v1.000")

// HashPayload is the hash of a payload that its ID is made from, before equal payloads are told apart.
func HashPayload(payload []byte) uint64 { return highwayhash.Sum64(payload, idKey) }

// Hasher computes what HashPayload does for a payload that comes in pieces. It is not safe for concurrent use.
type Hasher struct {
	hash hash.Hash64
}

// NewHasher returns a Hasher that has seen nothing.
func NewHasher() *Hasher {
	h, _ := highwayhash.New64(idKey) // fails only for a key that is not 32 bytes long
	return &Hasher{hash: h}
}

// Write adds the next piece. It never fails and keeps nothing of p.
func (h *Hasher) Write(p []byte) (int, error) { return h.hash.Write(p) }

// Sum64 is the hash of the pieces so far.
func (h *Hasher) Sum64() uint64 { return h.hash.Sum64() }

// Reset begins another payload.
func (h *Hasher) Reset() { h.hash.Reset() }

// Span is the number of consecutive indices of a claim within which equal payloads are told apart by their ordinal.
// Reads that compute IDs, and trims, start at multiples of it.
const Span = 1000

// Ordinals tells equal payloads of a span apart, in the order of their indices. It must see every payload of a span
// from the span's first index on, and forgets the span before by itself when one begins. The zero value is ready. It is
// not safe for concurrent use.
type Ordinals struct {
	seen  []uint64          // the span's hashes, by open addressing; zero is a free place
	used  int               // places of seen that are taken
	again map[uint64]uint32 // how often a hash came after the first time; of zero, which has no place: at all
}

// ordinalPlaces leaves half of the places of a whole span free, and is a power of two.
const ordinalPlaces = 2048

// Next returns the content hash of the payload at index, distinct among equal payloads of the same span.
func (o *Ordinals) Next(index uint32, payload []byte) uint64 {
	return o.Distinguish(index, HashPayload(payload))
}

// Distinguish is Next for a payload whose HashPayload, or Hasher.Sum64, is h.
func (o *Ordinals) Distinguish(index uint32, h uint64) uint64 {
	if index%Span == 0 {
		clear(o.seen)
		clear(o.again)
		o.used = 0
	}
	n := o.before(h)
	if n == 0 {
		return h
	}
	var b [12]byte
	binary.BigEndian.PutUint64(b[:8], h)
	binary.BigEndian.PutUint32(b[8:], n)
	return highwayhash.Sum64(b[:], idKey)
}

// before is how often h came before, and counts this time.
func (o *Ordinals) before(h uint64) uint32 {
	if h != 0 && o.first(h) {
		return 0
	}
	if o.again == nil {
		o.again = make(map[uint64]uint32)
	}
	n := o.again[h]
	o.again[h] = n + 1
	if h == 0 {
		return n
	}
	return n + 1
}

// first tells whether h, which is not zero, has no place yet, and gives it one.
func (o *Ordinals) first(h uint64) bool {
	if 2*o.used >= len(o.seen) {
		o.grow()
	}
	at := o.place(h)
	if o.seen[at] == h {
		return false
	}
	o.seen[at] = h
	o.used++
	return true
}

// place is where h is, or would go.
func (o *Ordinals) place(h uint64) uint64 {
	mask := uint64(len(o.seen) - 1)
	at := h & mask
	for o.seen[at] != 0 && o.seen[at] != h {
		at = (at + 1) & mask
	}
	return at
}

func (o *Ordinals) grow() {
	old := o.seen
	o.seen = make([]uint64, max(ordinalPlaces, 2*len(old)))
	for _, h := range old {
		if h != 0 {
			o.seen[o.place(h)] = h
		}
	}
}
