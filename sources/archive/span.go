package archive

import (
	"context"
	"fmt"
	"slices"
	"time"

	format "sluice/internal/archive"
	"sluice/internal/pipeline"
)

// Reach is what a lineage's registry says of the archive and of a sink that is rebuilt from it.
type Reach struct {
	Archived pipeline.Position // everything below is in the archive
	Counted  pipeline.Position // everything below is counted by the sink
	Whole    bool              // the archive was owed every record there ever was
	// Elsewhere: the list has dead letters that were retried into one sink alone; the archive has them where they came first.
	Elsewhere bool
}

// Span is what an archive has of an hour, or a part of it, as listed at one moment. It implements what a sink needs to
// rebuild what it stores.
type Span struct {
	archive   Archive
	from, to  time.Time
	manifests []*format.Manifest
	ends      map[string]pipeline.Position // of the lineages that have rows: behind the last range
	begins    map[string]bool              // lineages whose first claim is here
	covered   map[string]pipeline.Position // by what lies in other hours
	reach     map[string]Reach
}

// Incomplete says that an object lacks something, so that nothing can be rebuilt from it.
type Incomplete struct {
	Object string
	Why    string
}

func (i *Incomplete) Error() string { return fmt.Sprintf("%s %s", i.Object, i.Why) }

// Beside is how far before and behind an hour other hours may tell whether it is complete.
const (
	besideBefore = 24 * time.Hour
	besideBehind = 48 * time.Hour
)

// Span lists what lies between from and to, which are of one hour. With look set, hours beside it are looked into for
// what they tell of its completeness. What reach says must be older than the call. An archive that lacks something is
// refused.
func (a Archive) Span(ctx context.Context, from, to time.Time, look bool, reach map[string]Reach) (*Span, error) {
	return a.span(ctx, from, to, look, reach, lacks)
}

// SpanAsIs is Span, but takes rows with masked fields or without bodies: for who compares with what went through the same.
func (a Archive) SpanAsIs(ctx context.Context, from, to time.Time, look bool, reach map[string]Reach) (*Span, error) {
	return a.span(ctx, from, to, look, reach, func(m *format.Manifest) string {
		if m.Filters != nil || m.Erased+m.Anonymised > 0 {
			return lacks(m)
		}
		return ""
	})
}

func (a Archive) span(ctx context.Context, from, to time.Time, look bool, reach map[string]Reach, lacks func(*format.Manifest) string) (*Span, error) {
	s := &Span{archive: a, from: from, to: to, reach: reach, ends: map[string]pipeline.Position{},
		begins: map[string]bool{}, covered: map[string]pipeline.Position{}}
	hour := from.Truncate(time.Hour)
	if look { // before the hour itself is listed: what they say holds for it then
		for h, err := range a.Hours(ctx, hour.Add(-besideBefore), hour.Add(besideBehind)) {
			if err != nil {
				return nil, err
			}
			s.learn(h.Time.Compare(hour), h.Manifests)
		}
	}
	for h, err := range a.Hours(ctx, hour, hour.Add(time.Hour)) {
		if err != nil {
			return nil, err
		}
		if len(h.Broken) > 0 {
			return nil, &Unreadable{Object: h.Broken[0].Key, Err: h.Broken[0].Err}
		}
		for _, m := range h.Manifests {
			if why := lacks(m); why != "" {
				return nil, &Incomplete{Object: m.Key, Why: why}
			}
			s.take(m)
		}
	}
	return s, nil
}

// Masked refuses objects that were archived before a field was masked: what is made from them would show it.
func (s *Span) Masked(masks []pipeline.Mask) error {
	for _, m := range s.manifests {
		for _, mask := range masks {
			if !slices.Contains(m.Masks, mask) {
				return &Incomplete{Object: m.Key, Why: "was written when " + mask.Field + " was not masked as it is now"}
			}
		}
	}
	return nil
}

// lacks says what an object lacks that was taken.
func lacks(m *format.Manifest) string {
	switch {
	case m.Complete():
		return ""
	case m.Imported != "":
		return "was imported from " + m.Imported + ", whose documents do not say which requests were GraphQL, and whose aggregates have counted them"
	case m.Filters != nil:
		return "has only what the filters of its sink let through"
	case len(m.Masks) > 0:
		return fmt.Sprintf("has masked fields (%s)", m.Masks[0].Field)
	}
	return "has no bodies"
}

func (s *Span) take(m *format.Manifest) {
	s.manifests = append(s.manifests, m)
	for _, r := range m.Positions {
		from, to := positions(r)
		raise(s.ends, r.Lineage, to)
		if from.Claim.Number <= 1 && from.Index == 0 {
			s.begins[r.Lineage] = true
		}
	}
}

// positions are a range's ends, which the manifest's reader has checked.
func positions(r format.Range) (from, to pipeline.Position) {
	from, _ = pipeline.ParsePosition(r.From)
	to, _ = pipeline.ParsePosition(r.To)
	return from, to
}

func raise(m map[string]pipeline.Position, lineage string, p pipeline.Position) {
	if at, ok := m[lineage]; !ok || at.Compare(p) < 0 {
		m[lineage] = p
	}
}

// learn takes from the objects of another hour how far this one is complete. A lineage's ranges are archived one after
// another, and a range's hours in order: what lies in a later hour comes after all of its range that lies here, and what
// lies in an earlier hour after all that is below the range.
func (s *Span) learn(side int, ms []*format.Manifest) {
	for _, m := range ms {
		for _, r := range m.Positions {
			from, to := positions(r)
			if side > 0 {
				raise(s.covered, r.Lineage, to)
			} else {
				raise(s.covered, r.Lineage, from)
			}
			if from.Claim.Number <= 1 && from.Index == 0 {
				s.begins[r.Lineage] = true
			}
		}
	}
}

// Rows passes on every row whose record lies in the span, from objects that are known to be good, and tells of which there
// may be copies. Where there may be some, the span is read in slices of time.
func (s *Span) Rows(ctx context.Context, do func(*format.Row, format.Copies) error) error {
	suspects, err := s.suspects(ctx)
	if err != nil {
		return err
	}
	regions := map[string]int{}
	for n, slice := range cutUp(s.manifests, s.from, s.to, len(suspects) > 0) {
		in := Selection{From: slice[0], To: slice[1]}
		for _, m := range s.manifests {
			if !m.Touches(in.From, in.To) {
				continue
			}
			if regions[m.Region] == 0 {
				regions[m.Region] = len(regions) + 1
			}
			err := s.archive.WholeRows(ctx, m, func(r *format.Row) error {
				if !in.Takes(r.Record) {
					return nil
				}
				c := format.Copies{Slice: n}
				if suspects[r.Stream.Lineage] {
					c.Region = regions[m.Region]
				}
				return do(r, c)
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// Records is the number of rows of the objects that touch the span.
func (s *Span) Records() (n int64) {
	for _, m := range s.manifests {
		if m.Touches(s.from, s.to) {
			n += m.Records
		}
	}
	return n
}

// End is behind the last row of a lineage, and tells whether there are any.
func (s *Span) End(lineage string) (pipeline.Position, bool) {
	p, ok := s.ends[lineage]
	return p, ok
}

// Covers tells whether there can be no row of a lineage below a position beside those that Rows passes on.
func (s *Span) Covers(lineage string, upTo pipeline.Position) bool {
	for _, m := range []map[string]pipeline.Position{s.ends, s.covered} {
		if p, ok := m[lineage]; ok && upTo.Compare(p) <= 0 {
			return true
		}
	}
	r, ok := s.reach[lineage]
	return ok && upTo.Compare(r.Archived) <= 0
}

// Counted is up to where the sink has counted a lineage, false when its registry cannot be read.
func (s *Span) Counted(lineage string) (pipeline.Position, bool) {
	r, ok := s.reach[lineage]
	return r.Counted, ok
}

// Whole tells whether the archive is known to have a lineage from its beginning.
func (s *Span) Whole(lineage string) bool { return s.begins[lineage] || s.reach[lineage].Whole }

// Elsewhere tells whether the archive has a lineage's records under other positions: retried dead letters of one sink.
func (s *Span) Elsewhere(lineage string) bool { return s.reach[lineage].Elsewhere }
