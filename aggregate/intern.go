package aggregate

import "strings"

// interner gives strings small numbers. It copies what it keeps, since a record's strings live as long as the record.
type interner struct {
	ids   map[string]uint32
	names []string // by number, as they came
	clean []uint32 // by number: the number of the string as BSON takes it, mostly its own
}

func newInterner() interner { return interner{ids: make(map[string]uint32)} }

// id is the number of a string as it came.
func (in *interner) id(s string) uint32 {
	if id, ok := in.ids[s]; ok {
		return id
	}
	return in.add(strings.Clone(s))
}

func (in *interner) add(s string) uint32 {
	id := uint32(len(in.names))
	in.ids[s] = id
	in.names = append(in.names, s)
	in.clean = append(in.clean, id)
	if c := Clean(s); c != s {
		in.clean[id] = in.id(c)
	}
	return id
}
