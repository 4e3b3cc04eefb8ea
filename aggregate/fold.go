package aggregate

import (
	"hash/maphash"
	"strings"
	"time"

	"sluice/internal/record"
)

// Counts tells whether a record counts in aggregates at all: it has an organisation, and is no GraphQL and no MCP
// request.
func Counts(r *record.Record) bool {
	return r.OrgID != "" && !r.GraphQL.IsGraphQL && !r.MCP.IsMCP
}

// TCPReport is the response code of a record that carries bytes and connections only.
const TCPReport = -1

// Fold folds records into documents. What repeats is kept once: strings have numbers, and counters are found by
// numbers, so that a record whose values were seen costs no allocation. It is not safe for concurrent use.
type Fold struct {
	shape  Shape
	expire int64 // ms
	ignore [NumDims]bool
	in     interner
	tags   map[string]uint32 // tag as it came -> number of the tag as it counts, noTag when it does not
	arena  []cell

	hash    maphash.Hash
	scratch plan // for combinations that are not kept
}

const noTag = ^uint32(0)

// cell is a counter of a dimension with the name people know it by: the one of the record with the latest time, and
// among equal times the greatest, so that the order of records does not matter.
type cell struct {
	Counter
	human   uint32
	humanAt int64
	named   bool
}

// key finds a counter: numbers of strings, unused ones zero.
type key struct{ a, b, c uint32 }

// NewFold begins a fold.
func NewFold(s Shape) *Fold {
	f := &Fold{shape: s, expire: s.ExpireAfter.D().Milliseconds(), in: newInterner(), tags: make(map[string]uint32)}
	f.hash.SetSeed(maphash.MakeSeed()) // at random: nobody can make tags that collide
	for _, n := range s.Ignore {
		if d, ok := DimOf(n); ok {
			f.ignore[d] = true
		}
	}
	return f
}

// Document is the part of a fold that belongs to one organisation and bucket.
type Document struct {
	f              *Fold
	org            string
	bucket         int64
	empty          bool
	last, expireAt int64
	lastSet        bool
	total          Counter
	dims           [NumDims]map[key]*cell
	plans          map[combination]*plan
	size, mem      int
}

// Document begins a document. The organisation is as BSON takes it; bucket in Unix seconds.
func (f *Fold) Document(org string, bucket int64) *Document {
	return &Document{f: f, org: strings.Clone(Clean(org)), bucket: bucket, empty: true}
}

// UpdateBytes is about how large an update of the stored document with this delta is.
func (d *Document) UpdateBytes() int { return d.size }

// Bytes is about what the document holds in memory.
func (d *Document) Bytes() int { return d.mem }

// Empty tells whether nothing was added yet.
func (d *Document) Empty() bool { return d.empty }

// Add folds a record in. The caller has made sure that it counts and belongs here.
func (d *Document) Add(r *record.Record) {
	d.empty = false
	ms := r.TimeStamp.UnixMilli()
	d.expireAt = max(d.expireAt, d.expiry(r.ExpireAt))
	if r.ResponseCode == TCPReport {
		d.addReport(r, ms)
		return
	}
	if !d.lastSet || ms > d.last {
		d.last, d.lastSet = ms, true
	}
	o := counterOf(r, ms)
	d.total.one(&o, r.ResponseCode)
	p := d.planOf(r)
	for _, c := range p.cells {
		c.one(&o, r.ResponseCode)
	}
	if o.Errors > 0 && !d.f.ignore[Errors] {
		d.at(Errors, key{a: uint32(r.ResponseCode)}).one(&o, r.ResponseCode)
	}
	if p.api != nil {
		d.name(p.api, r.APIName, ms)
	}
	if p.key != nil {
		d.name(p.key, r.Alias, ms)
	}
}

// expiry is a record's own, or the bucket's end of life where it gives none (the gateway's zero time lies before 1970).
func (d *Document) expiry(t time.Time) int64 {
	if ms := t.UnixMilli(); ms > 0 {
		return ms
	}
	return d.bucket*1000 + d.f.expire
}

func counterOf(r *record.Record, ms int64) Counter {
	o := Counter{Hits: 1, RequestTime: r.RequestTime, Latency: r.Latency.Total, Upstream: r.Latency.Upstream,
		MaxLatency: r.Latency.Total, MaxUpstream: r.Latency.Upstream,
		MinLatency: r.Latency.Total, MinUpstream: r.Latency.Upstream, LastTime: ms}
	switch {
	case r.ResponseCode >= 400:
		o.Errors = 1
	case r.ResponseCode >= 200 && r.ResponseCode < 300:
		o.Success = 1
	}
	return o
}

// addReport counts a TCP report: bytes and connections of the total and of its API, nothing else.
func (d *Document) addReport(r *record.Record, ms int64) {
	n := Counter{OpenConnections: r.Network.OpenConnections, ClosedConnections: r.Network.ClosedConnections,
		BytesIn: r.Network.BytesIn, BytesOut: r.Network.BytesOut}
	d.total.addNetwork(&n)
	if r.APIID != "" && !d.f.ignore[APIID] {
		c := d.at(APIID, key{a: d.f.clean(r.APIID)})
		c.addNetwork(&n)
		d.name(c, r.APIName, ms)
	}
}

func (f *Fold) clean(s string) uint32 { return f.in.clean[f.in.id(s)] }

func (f *Fold) tag(t string) uint32 {
	if id, ok := f.tags[t]; ok {
		return id
	}
	id := noTag
	if c := cleanTag(t, f.shape.IgnoreTagPrefixes); c != "" {
		id = f.in.id(c)
	}
	f.tags[strings.Clone(t)] = id
	return id
}

// name keeps the latest name of a counter.
func (d *Document) name(c *cell, s string, ms int64) {
	if c.named && ms < c.humanAt {
		return
	}
	if c.named && d.f.in.names[c.human] == s {
		c.humanAt = ms
		return
	}
	id := d.f.in.id(s)
	if c.named && ms == c.humanAt && d.f.in.names[id] <= d.f.in.names[c.human] {
		return
	}
	c.human, c.humanAt, c.named = id, ms, true
}

func (d *Document) at(dim Dim, k key) *cell {
	m := d.dims[dim]
	if c := m[k]; c != nil {
		return c
	}
	if m == nil {
		m = make(map[key]*cell)
		d.dims[dim] = m
	}
	f := d.f
	if len(f.arena) == 0 {
		f.arena = make([]cell, 64)
	}
	c := &f.arena[0]
	f.arena = f.arena[1:]
	m[k] = c
	n := f.pathBytes(dim, k)
	d.mem += cellBytes + n
	d.size += updateFields*(n+updateField) + 2*n // and its two names
	return c
}
