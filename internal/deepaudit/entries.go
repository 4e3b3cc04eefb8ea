package deepaudit

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"sluice/internal/archive"
	"sluice/internal/pipeline"
	"sluice/internal/record"
)

// maxEntries is how many records are held at a time; more are those of a single second.
const maxEntries = 500_000

// position is a position with its lineage's list.
type position = pipeline.Position

// entry is a record as a reference has it.
type entry struct {
	id     record.ID
	at     position
	stream *pipeline.StreamID // nil: the reference is a store, which knows no positions
	org    string
	takes  uint64 // bit n: Keyed n is to have it
	may    uint64 // bit n: it may have lost it since
}

var errTooMany = errors.New("too many records for one slice")

// loading gathers entries.
type loading struct {
	entries []entry
	limit   int
	streams map[pipeline.StreamID]*pipeline.StreamID
	orgs    map[string]string
}

func (a *audit) newLoading(from, to time.Time) *loading {
	l := &loading{limit: a.limit, streams: map[pipeline.StreamID]*pipeline.StreamID{}, orgs: map[string]string{}}
	if _, ok := half(from, to); !ok {
		l.limit = 1 << 62
	}
	return l
}

// half is the second in the middle of a span, false for a span of a second.
func half(from, to time.Time) (time.Time, bool) {
	m := from.Add(to.Sub(from) / 2).Truncate(time.Second)
	return m, m.After(from)
}

func (l *loading) add(e entry) error {
	if len(l.entries) >= l.limit {
		return errTooMany
	}
	l.entries = append(l.entries, e)
	return nil
}

// row makes an entry of a row, for the sinks that are to have it.
func (a *audit) row(l *loading, r *archive.Row) entry {
	s := l.streams[r.Stream]
	if s == nil {
		c := r.Stream
		s = &c
		l.streams[c] = s
	}
	org, ok := l.orgs[r.Record.OrgID]
	if !ok {
		org = r.Record.OrgID
		l.orgs[org] = org
	}
	e := entry{id: r.ID, at: r.Position, stream: s, org: org}
	for n, k := range a.o.Keyed {
		if !k.Takes(r.Record) || a.letters.dead(s.Lineage, r.Position, k.Name) {
			continue
		}
		e.takes |= 1 << n
		if k.Gone(r.Record) {
			e.may |= 1 << n
		}
	}
	return e
}

func (l *loading) sort() {
	slices.SortFunc(l.entries, func(x, y entry) int {
		if c := bytes.Compare(x.id[:], y.id[:]); c != 0 {
			return c
		}
		return x.at.Compare(y.at)
	})
}

// find is the first entry of an ID.
func (l *loading) find(id record.ID) (int, bool) {
	return slices.BinarySearchFunc(l.entries, id, func(e entry, id record.ID) int { return bytes.Compare(e.id[:], id[:]) })
}

// groups visits the entries of each ID.
func (l *loading) groups(do func(at int, same []entry)) {
	for i := 0; i < len(l.entries); {
		n := i + 1
		for n < len(l.entries) && l.entries[n].id == l.entries[i].id {
			n++
		}
		do(i, l.entries[i:n])
		i = n
	}
}

// slice recounts a part of an hour: as a whole, or in halves when it has too many records.
func (a *audit) slice(ctx context.Context, hour time.Time, objects []*archive.Manifest, from, to time.Time) error {
	before, err := a.o.Ledger.Read(ctx) // what it says is delivered must be there
	if err != nil {
		return err
	}
	l, faults, err := a.load(ctx, hour, objects, from, to)
	if errors.Is(err, errTooMany) {
		m, _ := half(from, to)
		if err := a.slice(ctx, hour, objects, from, m); err != nil {
			return err
		}
		return a.slice(ctx, hour, objects, m, to)
	}
	if err != nil {
		return err
	}
	r := a.report.Stores[a.o.ArchiveName]
	for _, f := range faults {
		r.Add(f)
	}
	a.report.Records += int64(len(l.entries))
	r.Compared += int64(len(l.entries))
	a.tally(l)
	l.sort()
	a.repeats(l, hour)
	for n, k := range a.o.Keyed {
		if err := a.keyed(ctx, n, k, l, before, hour, from, to); err != nil {
			return err
		}
	}
	return nil
}

// load reads the rows of a part of an hour. What is wrong with objects is returned, since the part may be read anew.
func (a *audit) load(ctx context.Context, hour time.Time, objects []*archive.Manifest, from, to time.Time) (*loading, []Finding, error) {
	l := a.newLoading(from, to)
	var faults []Finding
	for _, m := range objects {
		if !m.Touches(from, to) {
			continue
		}
		strays := int64(0)
		err := a.o.Archive.Rows(ctx, m, func(r *archive.Row) error {
			t := r.Record.TimeStamp
			if t.Before(hour) || !t.Before(hour.Add(time.Hour)) {
				strays++
				return nil
			}
			if t.Before(from) || !t.Before(to) {
				return nil
			}
			if err := a.read(ctx, 1, hour); err != nil {
				return err
			}
			return l.add(a.row(l, r))
		})
		switch {
		case errors.Is(err, errTooMany) || ctx.Err() != nil:
			return nil, nil, err
		case err != nil:
			a.damaged = true
			faults = append(faults, Finding{Kind: Damaged, Hour: hour, Where: m.Key, Reason: err.Error()})
		}
		if strays > 0 {
			faults = append(faults, Finding{Kind: Strange, Hour: hour, Where: m.Key, Records: strays, Reason: "rows of another hour"})
		}
	}
	return l, faults, nil
}

// repeats looks for positions that are archived twice, and for records that are archived under several.
func (a *audit) repeats(l *loading, hour time.Time) {
	r := a.report.Stores[a.o.ArchiveName]
	var copies, equal int64
	l.groups(func(_ int, same []entry) {
		for i := 1; i < len(same); i++ {
			x, y := &same[i-1], &same[i]
			switch {
			case x.stream.Lineage == y.stream.Lineage && x.at == y.at:
				r.Add(Finding{Kind: Double, Hour: hour, Record: y.id.String(), List: y.stream.List, Position: y.at.String(),
					Reason: "the position is archived twice"})
			case x.stream.Lineage == y.stream.Lineage && x.at.Claim.Epoch == y.at.Claim.Epoch:
				equal++
			default:
				copies++
			}
		}
	})
	if copies > 0 {
		r.Note("in " + hour.Format(time.RFC3339) + " " + plural(copies, "record was", "records were") + " archived again under another epoch: " +
			"the history of Redis went back, the hour is suspect; a rebuild counts each once")
	}
	if equal > 0 {
		r.Note("in " + hour.Format(time.RFC3339) + " " + plural(equal, "row is", "rows are") + " equal to the byte to another one of its list")
	}
}
