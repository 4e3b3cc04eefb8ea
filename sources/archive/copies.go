package archive

import (
	"context"
	"time"

	format "sluice/internal/archive"
)

// sliceRows is about how many rows a slice of an hour with copies has, at most: those of one second are never parted.
const sliceRows = 500_000

// family names rows that may be copies of each other: those of a list of a region.
type family struct{ region, source, list string }

// suspects are the lineages of which the span may have a record more than once: their list has rows of more than one
// history. By region, since a lineage lies in one.
func (s *Span) suspects(ctx context.Context) (map[string]bool, error) {
	lists := map[string]family{}
	histories := map[format.History]bool{}
	var mixed []*format.Manifest // joined of several lists: only the rows tell of which
	for _, m := range s.manifests {
		for _, h := range m.Histories() {
			histories[h] = true
			if m.List != "" {
				lists[h.Lineage] = family{m.Region, m.Source, m.List}
			}
		}
		if m.List == "" {
			mixed = append(mixed, m)
		}
	}
	if len(histories) < 2 {
		return nil, nil
	}
	for _, m := range mixed {
		err := s.archive.Rows(ctx, m, func(r *format.Row) error {
			if _, known := lists[r.Stream.Lineage]; !known {
				lists[r.Stream.Lineage] = family{m.Region, r.Stream.Source, r.Stream.List}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return several(histories, lists), nil
}

// several are the lineages of families with more than one history.
func several(histories map[format.History]bool, lists map[string]family) map[string]bool {
	n := map[family]int{}
	for h := range histories {
		n[lists[h.Lineage]]++
	}
	out := map[string]bool{}
	for h := range histories {
		if n[lists[h.Lineage]] > 1 {
			out[h.Lineage] = true
		}
	}
	return out
}

// cutUp cuts a span of time so that what must be remembered of one slice is bounded. Without copies it is whole.
func cutUp(ms []*format.Manifest, from, to time.Time, copies bool) [][2]time.Time {
	n := int64(0)
	for _, m := range ms {
		if m.Touches(from, to) {
			n += min(m.Records, shareOf(m, from, to))
		}
	}
	half := from.Add(to.Sub(from) / 2).Truncate(time.Second)
	if !copies || n <= sliceRows || !half.After(from) {
		return [][2]time.Time{{from, to}}
	}
	return append(cutUp(ms, from, half, copies), cutUp(ms, half, to, copies)...)
}

// shareOf is about how many rows of an object lie in a span: objects that were joined have a whole hour's.
func shareOf(m *format.Manifest, from, to time.Time) int64 {
	all := m.Last.Sub(m.First) + 1
	if m.First.After(from) {
		from = m.First
	}
	if m.Last.Before(to) {
		to = m.Last.Add(1)
	}
	return int64(float64(m.Records)*float64(to.Sub(from))/float64(all)) + 1
}
