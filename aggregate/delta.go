package aggregate

import "strconv"

// Key is where a counter lies in its dimension's map: escaped. Outer is empty unless the dimension is nested.
type Key struct{ Outer, Name string }

// Entry is a counter of a dimension, with its names as BSON takes them.
type Entry struct {
	Counter
	Identifier string
	Human      string
	HumanAt    int64 // Unix milliseconds: of two names the later one stays
}

// Delta is what records add to one document.
type Delta struct {
	Org      string
	Bucket   int64 // Unix seconds
	LastTime int64 // Unix milliseconds; means something when Total.Hits > 0
	ExpireAt int64 // Unix milliseconds
	Total    Counter
	Dims     [NumDims]map[Key]*Entry
}

// Delta writes out what was folded into the document so far; the document is not changed by what is done to the delta.
func (d *Document) Delta() *Delta {
	out := &Delta{Org: d.org, Bucket: d.bucket, LastTime: d.last, ExpireAt: d.expireAt}
	out.Total.Merge(&d.total)
	for dim, cells := range d.dims {
		for k, c := range cells {
			key, id, human := d.f.render(Dim(dim), k)
			e := &Entry{Counter: c.Counter, Identifier: id, Human: human}
			e.Codes = append([]CodeCount(nil), c.Codes...)
			if c.named {
				e.Human, e.HumanAt = Clean(d.f.in.names[c.human]), c.humanAt
			}
			out.put(Dim(dim), key, e)
		}
	}
	return out
}

// render makes a counter's key and names. Different numbers can have one key ("a:b" and "c", "a" and "b:c").
func (f *Fold) render(dim Dim, k key) (key Key, id, human string) {
	n := f.in.names
	switch dim {
	case Errors:
		s := strconv.Itoa(int(int32(k.a)))
		return Key{Name: s}, s, ""
	case Versions:
		v := Clean(n[k.b])
		return Key{Name: joined64(n[k.a], n[k.b])}, v, v
	case KeyEndpoints, OauthEndpoints:
		s := joined64(n[k.b], n[k.c])
		return Key{EscapeKey(n[k.a]), s}, s, s
	case APIEndpoints:
		s := joinedHex(n[k.a], n[k.b], n[k.c])
		return Key{Name: s}, s, Clean(n[k.c])
	case OauthIDs:
		return Key{Name: EscapeKey(n[k.a])}, n[k.a], ""
	}
	return Key{Name: EscapeKey(n[k.a])}, n[k.a], n[k.a]
}

func (d *Delta) put(dim Dim, k Key, e *Entry) {
	m := d.Dims[dim]
	if m == nil {
		m = make(map[Key]*Entry)
		d.Dims[dim] = m
	}
	have := m[k]
	if have == nil {
		m[k] = e
		return
	}
	if e.HumanAt > have.HumanAt || e.HumanAt == have.HumanAt && e.Human > have.Human {
		have.Human, have.HumanAt = e.Human, e.HumanAt
	}
	if e.Identifier > have.Identifier { // cannot differ but for colliding keys; any fixed choice does
		have.Identifier = e.Identifier
	}
	have.Merge(&e.Counter)
}

// Merge adds another delta of the same document. The other is not changed and not referred to afterwards.
func (d *Delta) Merge(o *Delta) {
	if o.Total.Hits > 0 && (d.Total.Hits == 0 || o.LastTime > d.LastTime) {
		d.LastTime = o.LastTime
	}
	d.ExpireAt = max(d.ExpireAt, o.ExpireAt)
	d.Total.Merge(&o.Total)
	for dim, m := range o.Dims {
		for k, e := range m {
			c := *e
			c.Codes = append([]CodeCount(nil), e.Codes...)
			d.put(Dim(dim), k, &c)
		}
	}
}
