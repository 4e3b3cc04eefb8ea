package deepaudit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"sluice/internal/archive"
	"sluice/internal/pipeline"
)

// chain is the ranges of positions that objects were gathered from, by lineage. Ranges of a list follow each other
// without a hole, since each is recorded before its first object is written; a range has one object in each hour of its
// records. Objects of one hour never overlap. Joined objects have joined ranges.
type chain struct {
	lists map[string]*links
	lacks bool // records were erased
}

type links struct {
	list   string
	rows   int64 // that were settled when the audit began
	ranges map[span]string
}

type span struct{ from, to pipeline.Position }

// link is a range and the key of one of its objects.
type link struct {
	span
	key string
}

func (c *chain) list(lineage string) *links {
	l := c.lists[lineage]
	if l == nil {
		l = &links{ranges: map[span]string{}}
		c.lists[lineage] = l
	}
	return l
}

// hour takes the objects of an hour and names those that overlap.
func (a *audit) links(at time.Time, ms []*archive.Manifest) {
	mine := map[string][]link{}
	for _, m := range ms {
		a.chain.lacks = a.chain.lacks || m.Erased > 0
		for _, r := range m.Positions {
			if archive.IsImport(r.Lineage) || m.Origin > 0 {
				continue // gaps between IDs mean nothing, and who writes a followed archive audits it
			}
			from, err1 := pipeline.ParsePosition(r.From)
			to, err2 := pipeline.ParsePosition(r.To)
			if err1 != nil || err2 != nil {
				continue // its reader has checked them
			}
			l := a.chain.list(r.Lineage)
			l.list = cmp.Or(l.list, m.List)
			l.ranges[span{from, to}] = m.Key
			mine[r.Lineage] = append(mine[r.Lineage], link{span{from, to}, m.Key})
		}
	}
	r := a.report.Stores[a.o.ArchiveName]
	for _, lineage := range sortedKeys(mine) {
		ranges := mine[lineage]
		slices.SortFunc(ranges, byFrom)
		for i := 1; i < len(ranges); i++ {
			if x, last := ranges[i], ranges[i-1]; x.from.Compare(last.to) < 0 {
				r.Add(Finding{Kind: Double, Hour: at, List: a.chain.list(lineage).list, Position: x.from.String(), Where: x.key,
					Reason: "its positions overlap with those of " + last.key})
			}
		}
	}
}

func byFrom(x, y link) int {
	return cmp.Or(x.from.Compare(y.from), x.to.Compare(y.to), strings.Compare(x.key, y.key))
}

// tally counts rows that were settled when the audit began, by list.
func (a *audit) tally(l *loading) {
	for i := range l.entries {
		e := &l.entries[i]
		if s := a.begin[e.stream.Lineage]; s != nil && e.at.Compare(s.Settled[a.o.ArchiveName]) < 0 {
			c := a.chain.list(e.stream.Lineage)
			c.rows++
			c.list = e.stream.List
		}
	}
}

// judgeChain looks for gaps among the objects, and holds their number of rows against the ledger.
func (a *audit) judgeChain() {
	r := a.report.Stores[a.o.ArchiveName]
	for _, lineage := range sortedKeys(a.chain.lists) {
		l := a.chain.lists[lineage]
		ranges := make([]link, 0, len(l.ranges))
		histories := map[pipeline.Epoch]bool{}
		for s, key := range l.ranges {
			if b := a.begin[lineage]; b != nil && b.Settled[a.o.ArchiveName].Compare(s.from) <= 0 {
				continue // it came while the archive was listed
			}
			ranges = append(ranges, link{s, key})
			histories[s.from.Claim.Epoch] = true
		}
		slices.SortFunc(ranges, byFrom)
		gaps := a.judgeLinks(r, lineage, l.list, ranges)
		a.judgeRows(r, lineage, l.list, l.rows, gaps, len(histories) > 1)
	}
	a.judgeAbsent(r)
}

// judgeLinks returns how many records lie in gaps, as far as that can be told.
func (a *audit) judgeLinks(r *StoreReport, lineage, list string, ranges []link) (gaps int64) {
	if len(ranges) == 0 {
		return 0
	}
	last := ranges[0].to
	for _, x := range ranges[1:] {
		if n, why := a.gap(lineage, last, x.from); x.from.Compare(last) > 0 && n > 0 {
			kind := Gap
			switch {
			case a.partial:
				kind, why = Untold, why+"; the archive's filters may have left them out"
			case a.spareOf(lineage) > 0:
				kind, why = Untold, why+"; the archive was not owed all of the list"
			case a.bounded():
				kind, why = Untold, why+"; they may lie in hours that were not looked at"
			default:
				gaps += n
			}
			r.Add(Finding{Kind: kind, List: list, Position: last.String(), Where: x.key, Records: n, Reason: why})
		}
		if x.to.Compare(last) > 0 {
			last = x.to
		}
	}
	return gaps
}

// gap is how many positions lie between the end of a range and the beginning of the next one, dead letters left out. Of
// claims that are missing as a whole the length is not known: each counts as one.
func (a *audit) gap(lineage string, to, from pipeline.Position) (n int64, why string) {
	dead := a.letters.between(lineage, to, from, a.o.ArchiveName)
	if to.Claim == from.Claim {
		n = int64(from.Index) - int64(to.Index) - dead
		return n, fmt.Sprintf("%d records from there up to %s lie in no object", n, from)
	}
	whole := int64(from.Claim.Number) - int64(to.Claim.Number) - 1 // less after the history went back
	n = max(whole, 0) + int64(from.Index) - dead
	if whole > 0 {
		return n, fmt.Sprintf("%d claims and %d records before %s lie in no object", whole, from.Index, from)
	}
	return n, fmt.Sprintf("%d records before %s lie in no object", n, from)
}

func (a *audit) spareOf(lineage string) uint64 {
	if l := a.begin[lineage]; l != nil {
		return l.Sinks[a.o.ArchiveName].NotOwed
	}
	return 0
}

// judgeRows holds the rows of a list against what the ledger says was archived.
func (a *audit) judgeRows(r *StoreReport, lineage, list string, rows, gaps int64, several bool) {
	l := a.begin[lineage]
	if l == nil {
		r.Note("list " + list + ": the registry of lineage " + lineage + " is in no Redis that is configured, its rows are held against no ledger")
		return
	}
	if a.bounded() {
		return // the ledger knows no times
	}
	want := int64(l.Sinks[a.o.ArchiveName].Effective)
	switch {
	case rows < want && a.chain.lacks:
		r.Note(fmt.Sprintf("list %s: the ledger has %d archived records, %d are there; records were erased", list, want, rows))
	case rows < want && a.expires():
		r.Note(fmt.Sprintf("list %s: the ledger has %d archived records, %d are there; a rule removes old days", list, want, rows))
	case rows < want-gaps:
		r.Add(Finding{Kind: Gap, List: list, Records: want - gaps - rows,
			Reason: fmt.Sprintf("the ledger has %d records as archived, the objects hold %d", want, rows)})
	case rows > want && several:
		r.Note(fmt.Sprintf("list %s: %d rows are archived and the ledger has %d: the history of Redis went back", list, rows, want))
	case rows > want:
		r.Add(Finding{Kind: Double, List: list, Records: rows - want,
			Reason: fmt.Sprintf("the ledger has %d records as archived, the objects hold %d", want, rows)})
	}
}

// expires tells whether days may have been removed by rule: then what is left begins about where the rule ends.
func (a *audit) expires() bool {
	return !a.o.Expired.IsZero() && a.first.Before(a.o.Expired.Add(48*time.Hour))
}

// judgeAbsent names lists of which the ledger has archived records and the archive has no object.
func (a *audit) judgeAbsent(r *StoreReport) {
	if a.bounded() || a.first.IsZero() && !a.o.Expired.IsZero() || a.expires() {
		return
	}
	for _, lineage := range sortedKeys(a.begin) {
		l := a.begin[lineage]
		if n := l.Sinks[a.o.ArchiveName].Effective; n > 0 && a.chain.lists[lineage] == nil {
			r.Add(Finding{Kind: Gap, List: l.Name, Records: int64(n), Reason: fmt.Sprintf("the ledger has %d records as archived, there is no object", n)})
		}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
