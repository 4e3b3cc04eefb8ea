package aggregate

import (
	"cmp"
	"slices"
)

// MongoDB takes documents up to 16 MiB, and each counter lies in the document twice: in its map and in its list. The
// maps may take MapBudget; lists are cut to what is left, and what is left beyond them is for positions, for codes that
// appear later in counters that are there, and for what another pump adds meanwhile.
const (
	MapBudget = 7 << 20
	dimShare  = 256 << 10 // of each dimension, whatever the others take: a flood in one leaves room in the rest
)

// Sizes are the bytes that the maps of a stored document take, by dimension.
type Sizes [NumDims]int

// Total is their sum.
func (s Sizes) Total() (n int) {
	for _, b := range s {
		n += b
	}
	return n
}

// fits tells whether n more bytes may go into a dimension: together with what the others have, or are owed.
func (s *Sizes) fits(dim Dim, n int) bool {
	sum := 0
	for d, b := range s {
		if Dim(d) == dim {
			b += n
		}
		sum += max(b, dimShare)
	}
	return sum <= MapBudget
}

// SafeTotal is a total that leaves room in every dimension, however it is spread over them.
const SafeTotal = MapBudget - NumDims*dimShare

// StoredBytes is about what the delta adds to a document that has none of its counters.
func (d *Delta) StoredBytes() (s Sizes) {
	for dim, m := range d.Dims {
		for k, e := range m {
			s[dim] += e.StoredBytes(k)
		}
	}
	return s
}

// Fit makes newcomers that find no room count under Other, so that sums stay exact. known tells which counters the
// stored document has; sizes is what its maps take, and is counted on. Newcomers are let in by name, so that the same
// delta and document give the same outcome. It returns the counters that were let in and how many were not.
func (d *Delta) Fit(sizes *Sizes, known func(Dim, Key) bool) (let []Place, folded int) {
	for i := range d.Dims {
		dim := Dim(i)
		var fresh []Key
		for k := range d.Dims[dim] {
			if !known(dim, k) && k != otherKey(dim) {
				fresh = append(fresh, k)
			}
		}
		slices.SortFunc(fresh, func(a, b Key) int { return cmp.Or(cmp.Compare(a.Outer, b.Outer), cmp.Compare(a.Name, b.Name)) })
		for _, k := range fresh {
			e := d.Dims[dim][k]
			if n := e.StoredBytes(k); sizes.fits(dim, n) {
				sizes[dim] += n
				let = append(let, Place{dim, k})
				continue
			}
			delete(d.Dims[dim], k)
			e.Identifier, e.Human, e.HumanAt = Other, Other, 0
			d.put(dim, otherKey(dim), e)
			folded++
		}
	}
	return let, folded
}

// Place is where a counter lies in a document.
type Place struct {
	Dim Dim
	Key Key
}

func otherKey(dim Dim) Key {
	if dim.Nested() {
		return Key{Other, Other}
	}
	return Key{Name: Other}
}

// FoldCodes makes all codes of the maps' counters, but for those of the errors map, count under Other: the last resort
// against a document of many counters that all meet ever new codes.
func (d *Delta) FoldCodes() {
	for dim, m := range d.Dims {
		if Dim(dim) == Errors {
			continue
		}
		for _, e := range m {
			if e.Errors > 0 {
				e.Codes = []CodeCount{{OtherCode, e.Errors}}
			}
		}
	}
}
