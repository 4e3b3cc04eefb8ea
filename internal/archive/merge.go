package archive

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// mergedName begins the names of objects that stand for others. No lineage begins so; they sort behind all others, so
// that whoever goes through an hour by name and stops in between finds again what was joined meanwhile.
const mergedName = "merged-"

// Bounds of what is joined into one object.
const (
	// maxOpen is how many objects are read at once, whose rows lie between each other's: a decoder holds some 8 MiB.
	maxOpen = 6
	// maxReplaced bounds the names that a manifest replaces, of some 120 bytes each, well below MaxManifest.
	maxReplaced = 12_000
)

// place orders rows: by lineage, then by position.
type place struct{ lineage, position string }

func (p place) compare(q place) int {
	return cmp.Or(strings.Compare(p.lineage, q.lineage), strings.Compare(p.position, q.position))
}

// bounds are the first place that an object may have, and the one behind its last.
func (m *Manifest) bounds() (from, to place) {
	for i, r := range m.Positions {
		a, b := place{r.Lineage, r.From}, place{r.Lineage, r.To}
		if i == 0 || a.compare(from) < 0 {
			from = a
		}
		if i == 0 || b.compare(to) > 0 {
			to = b
		}
	}
	return from, to
}

// kin is all that objects must share to be joined: what was done to their rows before they were written.
func (m *Manifest) kin() string {
	b, err := json.Marshal([]any{m.Version, m.Columns, m.Filters, m.Masks, m.DropBodies, m.Accept, m.Compression, m.Region, m.Erased > 0, m.Anonymised > 0, m.Imported})
	if err != nil {
		return m.Key // like no other
	}
	return string(b)
}

// Merges tells which objects of an hour would be joined so that few are left, of up to target bytes of rows each. What is
// half that large stays as it is. It is pure, and after what it tells was done it tells nothing more.
func (h *Hour) Merges(target int64) [][]*Manifest {
	if len(h.Broken) > 0 { // what they describe, and what they replace, is not known
		return nil
	}
	families := map[string][]*Manifest{}
	for _, m := range h.Manifests {
		if m.Bytes < target/2 && len(m.Positions) > 0 {
			families[m.kin()] = append(families[m.kin()], m)
		}
	}
	var out [][]*Manifest
	for _, kin := range sortedKeys(families) {
		ms := families[kin]
		slices.SortFunc(ms, func(a, b *Manifest) int {
			x, _ := a.bounds()
			y, _ := b.bounds()
			return cmp.Or(x.compare(y), cmp.Compare(a.Object, b.Object))
		})
		out = append(out, bins(ms, target)...)
	}
	return out
}

// bins cuts objects, in the order of their rows, into groups; those of one are left out.
func bins(ms []*Manifest, target int64) (out [][]*Manifest) {
	var bin []*Manifest
	var bytes int64
	names := 0
	close := func() {
		if len(bin) > 1 {
			out = append(out, bin)
		}
		bin, bytes, names = nil, 0, 0
	}
	for _, m := range ms {
		if bytes+m.Bytes > target || names+1+len(m.Replaces) > maxReplaced || openAt(bin, m) >= maxOpen {
			close()
		}
		bin = append(bin, m)
		bytes += m.Bytes
		names += 1 + len(m.Replaces)
	}
	close()
	return out
}

// openAt is how many of a bin are still being read when the rows of m begin.
func openAt(bin []*Manifest, m *Manifest) (n int) {
	begin, _ := m.bounds()
	for _, o := range bin {
		if _, end := o.bounds(); end.compare(begin) > 0 {
			n++
		}
	}
	return n
}

// numbers are what an hour has of objects that stand for others.
type numbers struct {
	next    uint64   // the first that nobody used
	pending []string // without a manifest: left by a crash, or on its way
	void    []string // given up, see Rewriter.void
}

func (h *Hour) numbers() (out numbers) {
	note := func(name string) bool {
		n := mergedNumber(name)
		out.next = max(out.next, n)
		return n > 0
	}
	for _, list := range [][]*Manifest{h.Manifests, h.Replaced} {
		for _, m := range list {
			note(m.Name())
			if m.isVoid() {
				out.void = append(out.void, m.Name())
			}
			for _, r := range m.Replaces { // which may be deleted
				note(r)
			}
		}
	}
	for _, o := range h.Orphans {
		if name, _, _ := strings.Cut(path.Base(o.Key), "."); note(name) {
			out.pending = append(out.pending, path.Base(o.Key))
		}
	}
	out.next++
	return out
}

func (m *Manifest) isVoid() bool { return slices.Contains(m.Replaces, m.Name()) }

// mergedNumber is the number of an object that stands for others, 0 of any other.
func mergedNumber(name string) uint64 {
	digits, ok := strings.CutPrefix(name, mergedName)
	n, err := strconv.ParseUint(digits, 10, 64)
	if !ok || err != nil {
		return 0
	}
	return n
}

func numbered(n uint64) string { return fmt.Sprintf("%s%08d", mergedName, n) }

// joined describes the object that a group becomes, but for its rows.
func joined(group []*Manifest, name string, void []string) *Manifest {
	m := *group[0]
	m.Object, m.Replaces, m.Positions = name+m.Compression.Ext(), nil, nil
	m.Key = m.Key[:len(m.Key)-len(path.Base(m.Key))] + m.Object
	m.Erased, m.Anonymised = 0, 0
	replaces := slices.Clone(void)
	for _, o := range group {
		replaces = append(append(replaces, o.Name()), o.Replaces...)
		m.Positions = append(m.Positions, o.Positions...)
		if o.First.Before(m.First) {
			m.First = o.First
		}
		if o.Last.After(m.Last) {
			m.Last = o.Last
		}
		m.Erased += o.Erased
		m.Anonymised += o.Anonymised
		m.Source, m.List, m.Lineage = shared(m.Source, o.Source), shared(m.List, o.List), shared(m.Lineage, o.Lineage)
	}
	slices.Sort(replaces)
	m.Replaces = slices.Compact(replaces)
	m.Positions = adjoined(m.Positions)
	return &m
}

func shared(a, b string) string {
	if a == b {
		return a
	}
	return ""
}

// adjoined sorts ranges and joins those that follow each other without a hole.
func adjoined(ranges []Range) (out []Range) {
	slices.SortFunc(ranges, func(a, b Range) int {
		return place{a.Lineage, a.From}.compare(place{b.Lineage, b.From})
	})
	for _, r := range ranges {
		if n := len(out) - 1; n >= 0 && out[n].Lineage == r.Lineage && out[n].To == r.From {
			out[n].To = r.To
			continue
		}
		out = append(out, r)
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
