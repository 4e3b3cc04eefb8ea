package pipeline

import (
	"errors"
	"fmt"
	"sync"
	"time"
	"unsafe"

	"sluice/internal/record"
	"sluice/internal/units"
)

// chunk is a run of a claim's elements, decoded once and shared by the lanes that are at the same place.
type chunk struct {
	claim    ClaimID
	from, to uint32
	items    []Item
	dead     []deadElement // ascending by index: poison and absurd times, dead for every sink
	repeats  []uint32      // indices, ascending: duplicates for every sink
	absent   []uint32      // indices, ascending: the stream has nothing there
	bytes    int64
	room     *room // what the items lie in, to be used again; nil: their own

	letters sync.Mutex // held while the dead letters are being stored
	stored  bool

	// guarded by the cache
	refs int
	used uint64
}

// deadElement is an element that no sink will ever get.
type deadElement struct {
	index  uint32
	id     record.ID
	reason string
	bytes  []byte
	length int64
}

// perRecord is what a decoded record weighs beside its payload.
const perRecord = int64(unsafe.Sizeof(record.Record{})+unsafe.Sizeof(Item{})) + 160 // some ten tags

// decoding turns elements into chunks.
type decoding struct {
	kind   Kind
	format record.Format
	claim  Claim
	shape  *shaped
	room   *room // nil: every chunk has memory of its own
}

// room is the memory of a chunk, used again by a later one when no lane holds the first.
type room struct {
	arena Arena
	recs  []record.Record
	items []Item
}

// roomy is the number of elements from which on a chunk's memory is worth to be kept. A chunk of fewer has its own, so
// that a trickle on many lists does not hold a large room for each of them.
const roomy = record.Span / 4

// empty makes the room free.
func (r *room) empty() {
	r.arena.Reset()
	clear(r.recs)
	clear(r.items)
	r.items = r.items[:0]
}

// space returns room for n records and their items.
func (r *room) space(n int) ([]record.Record, []Item) {
	if r == nil {
		return make([]record.Record, n), make([]Item, 0, n)
	}
	if cap(r.recs) < n {
		r.recs, r.items = make([]record.Record, n), make([]Item, 0, n)
	}
	r.recs = r.recs[:n]
	return r.recs, r.items[:0]
}

func (d *decoding) chunk(from uint32, elements []Element) *chunk {
	c := &chunk{claim: d.claim.ID, from: from, to: from + uint32(len(elements))}
	c.room = d.room
	if d.kind == Uptime {
		d.uptimes(c, elements)
	} else {
		d.records(c, elements)
	}
	for i := range elements {
		c.bytes += int64(len(elements[i].Payload))
	}
	if d.room != nil {
		c.bytes = max(c.bytes, d.room.arena.used)
		d.room.items = c.items
	}
	c.bytes += int64(len(elements)) * perRecord
	return c
}

func (d *decoding) records(c *chunk, elements []Element) {
	var dec record.Decoder
	recs, items := d.room.space(len(elements))
	c.items = items
	for i := range elements {
		el, index, r := &elements[i], c.from+uint32(i), &recs[i]
		switch {
		case el.Absent:
			c.absent = append(c.absent, index)
			continue
		case el.Repeat:
			c.repeats = append(c.repeats, index)
			continue
		}
		if err := decodable(el); err != nil {
			d.bury(c, index, el, d.claim.Time, err)
			continue
		}
		if err := dec.Decode(d.format, el.Payload, r); err != nil {
			d.bury(c, index, el, d.claim.Time, fmt.Errorf(saysUndecodable+": %w", err))
			continue
		}
		if err := d.acceptable(r.TimeStamp); err != nil {
			d.bury(c, index, d.shown(el, r), r.TimeStamp, err)
			continue
		}
		d.hide(r)
		c.items = append(c.items, Item{Index: index, ID: el.id(r.TimeStamp), Record: r, Raw: el.Payload})
	}
}

func (d *decoding) uptimes(c *chunk, elements []Element) {
	ups := make([]record.Uptime, len(elements))
	c.items = make([]Item, 0, len(elements))
	for i := range elements {
		el, index, u := &elements[i], c.from+uint32(i), &ups[i]
		err := decodable(el)
		if err == nil {
			if err = record.DecodeUptime(el.Payload, u); err != nil {
				err = fmt.Errorf(saysUndecodable+": %w", err)
			}
		}
		if err == nil {
			err = d.acceptable(u.TimeStamp)
		}
		if err != nil {
			d.bury(c, index, el, d.claim.Time, err)
			continue
		}
		c.items = append(c.items, Item{Index: index, ID: el.id(u.TimeStamp), Uptime: u, Raw: el.Payload})
	}
}

// decodable tells whether the element is there as a whole, and nothing is known against it.
func decodable(el *Element) error {
	if el.Dead != "" {
		return errors.New(el.Dead)
	}
	if el.Len > int64(len(el.Payload)) {
		return fmt.Errorf(saysOversize+": %d bytes are more than is taken of one element; only its first %s are kept", el.Len,
			units.Size(len(el.Payload)))
	}
	return nil
}

// acceptable holds a record's own time against the window around the claim's: never against now, so that a redelivery
// decides alike.
func (d *decoding) acceptable(t time.Time) error {
	a := d.shape.record.Accept
	first, last := d.claim.Time.Add(-a.Past), d.claim.Time.Add(a.Future)
	if t.Before(first) || t.After(last) {
		return fmt.Errorf(saysAbsurd+": %s lies outside the accepted %s to %s",
			t.UTC().Format(time.RFC3339), first.UTC().Format(time.RFC3339), last.UTC().Format(time.RFC3339))
	}
	return nil
}

func (d *decoding) bury(c *chunk, index uint32, el *Element, t time.Time, why error) {
	c.dead = append(c.dead, deadElement{
		index: index, id: el.id(t), reason: why.Error(), bytes: el.Payload, length: el.Len,
	})
}

// hide applies what is to be masked and dropped before any sink sees the record.
func (d *decoding) hide(r *record.Record) {
	if d.shape.record.DropBodies {
		record.DropBodies(r)
	}
	if d.shape.masker != nil {
		d.shape.masker.Apply(r)
	}
}

// shown is the element as it may be kept: what is masked everywhere is masked in a dead letter too.
func (d *decoding) shown(el *Element, r *record.Record) *Element {
	if !d.shape.masks() {
		return el
	}
	d.hide(r)
	payload := encode(d.format, r)
	return &Element{Payload: payload, Len: int64(len(payload)), Hash: el.Hash}
}

func encode(f record.Format, r *record.Record) []byte {
	if f == record.Protobuf {
		return record.AppendProtobufLossless(nil, r)
	}
	return record.AppendMsgpack(nil, r)
}
