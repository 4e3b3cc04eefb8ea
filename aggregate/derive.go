package aggregate

import (
	"cmp"
	"slices"
)

// Ranked orders the counters of a map for its list: most hits first, then by identifier, then by key. top cuts the list,
// 0 keeps all. room cuts it too, in bytes as weigh estimates them, so that the document stays storable; negative is no
// bound.
func Ranked(m map[Key]*Entry, top, room int, weigh func(Key, *Entry) int) []Key {
	keys := make([]Key, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b Key) int {
		x, y := m[a], m[b]
		return cmp.Or(cmp.Compare(y.Hits, x.Hits), cmp.Compare(x.Identifier, y.Identifier),
			cmp.Compare(a.Outer, b.Outer), cmp.Compare(a.Name, b.Name))
	})
	if top > 0 && len(keys) > top {
		keys = keys[:top]
	}
	if room < 0 {
		return keys
	}
	for i, k := range keys {
		if room -= weigh(k, m[k]); room < 0 {
			return keys[:i]
		}
	}
	return keys
}
