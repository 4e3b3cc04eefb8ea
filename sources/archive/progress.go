package archive

import (
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"sluice/internal/pipeline"
)

// followVersion is the version of what a follower keeps.
const followVersion = 1

// progress is how far an archive was followed, with the ledger of what was: both change in one step, so that each that was
// ever kept is exact in itself.
type progress struct {
	Version  int               `json:"v"`
	Owner    string            `json:"owner,omitempty"` // who follows; empty: nobody does
	Written  time.Time         `json:"written"`         // by the owner's clock, for who looks
	Since    int64             `json:"since,omitempty"` // hours since 1970: of those before it no Base tells, since they were not followed
	Lineages map[string]passed `json:"lineages"`
	Regions  map[string]*books `json:"regions"`
}

// passed is up to where a lineage's rows were delivered: everything below Base, and in the hours named what lies below more.
type passed struct {
	Base  string           `json:"base,omitempty"`
	Hours map[int64]string `json:"hours,omitempty"` // by hours since 1970
}

// books are a region's ledger.
type books struct {
	Taken uint64               `json:"taken"`
	Lost  uint64               `json:"lost,omitempty"` // deleted before they were followed
	Sinks map[string]sinkBooks `json:"sinks"`
}

type sinkBooks struct {
	Taken uint64 `json:"taken"`
	pipeline.Counts
}

func newProgress() *progress {
	return &progress{Version: followVersion, Lineages: map[string]passed{}, Regions: map[string]*books{}}
}

// decodeProgress reads what a follower kept.
func decodeProgress(data []byte) (*progress, error) {
	var version struct {
		Version int `json:"v"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return nil, fmt.Errorf("read how far the archive was followed: %w", err)
	}
	if version.Version != followVersion {
		return nil, pipeline.Fatal(fmt.Errorf("how far the archive was followed is kept in version %d, this program knows %d: run the newer program, or follow anew under another name",
			version.Version, followVersion))
	}
	p := newProgress()
	if err := json.Unmarshal(data, p); err != nil {
		return nil, fmt.Errorf("read how far the archive was followed: %w", err)
	}
	return p, p.check()
}

func (p *progress) check() error {
	if p.Lineages == nil || p.Regions == nil {
		return fmt.Errorf("read how far the archive was followed: it lacks lineages or regions")
	}
	for name, l := range p.Lineages {
		for _, text := range append([]string{l.Base}, values(l.Hours)...) {
			if text == "" {
				continue
			}
			if _, err := pipeline.ParsePosition(text); err != nil {
				return fmt.Errorf("read how far lineage %s was followed: %w", name, err)
			}
		}
	}
	for name, b := range p.Regions {
		if b == nil {
			return fmt.Errorf("read the ledger of region %s: it is empty", name)
		}
		if b.Sinks == nil {
			b.Sinks = map[string]sinkBooks{}
		}
	}
	return nil
}

func values(m map[int64]string) (out []string) {
	for _, v := range m {
		out = append(out, v)
	}
	return out
}

func hourKey(t time.Time) int64 { return t.Unix() / 3600 }

// at is up to where a lineage's rows of an hour were delivered.
func (p *progress) at(lineage string, hour time.Time) pipeline.Position {
	l, key := p.Lineages[lineage], hourKey(hour)
	if key < p.Since {
		return parsed(l.Hours[key])
	}
	return latest(parsed(l.Base), parsed(l.Hours[key]))
}

// from takes note of the first hour that is followed from now on. If it is later than that of before, hours are left out, and
// nothing is known of them when they are followed again.
func (p *progress) from(since time.Time) { p.Since = max(p.Since, hourKey(since)) }

// widen notes that hours before those that were followed until now are, as far as the others.
func (p *progress) widen(since time.Time) (changed bool) {
	to := max(0, hourKey(since))
	if to >= p.Since {
		return false
	}
	p.Since = to
	for name, l := range p.Lineages {
		p.tidy(&l)
		p.Lineages[name] = l
	}
	return true
}

// tidy drops the positions of hours that say no more than the base.
func (p *progress) tidy(l *passed) {
	base := parsed(l.Base)
	maps.DeleteFunc(l.Hours, func(hour int64, at string) bool { return hour >= p.Since && parsed(at).Compare(base) <= 0 })
}

// parsed reads what check has looked at.
func parsed(text string) pipeline.Position {
	at, _ := pipeline.ParsePosition(text) // empty: the beginning
	return at
}

func latest(a, b pipeline.Position) pipeline.Position {
	if a.Compare(b) < 0 {
		return b
	}
	return a
}

// pass notes that everything below a position was delivered of a lineage's hour.
func (p *progress) pass(lineage string, hour time.Time, to pipeline.Position) {
	if p.at(lineage, hour).Compare(to) >= 0 {
		return
	}
	l := p.Lineages[lineage]
	if l.Hours == nil {
		l.Hours = map[int64]string{}
	}
	l.Hours[hourKey(hour)] = to.String()
	p.Lineages[lineage] = l
}

// raise notes that everything below a position was delivered of all hours of a lineage.
func (p *progress) raise(lineage string, to pipeline.Position) (changed bool) {
	l, ok := p.Lineages[lineage]
	if !ok || parsed(l.Base).Compare(to) >= 0 {
		return false
	}
	l.Base = to.String()
	p.tidy(&l)
	p.Lineages[lineage] = l
	return true
}

// region is a region's ledger.
func (p *progress) region(name string) *books {
	b := p.Regions[name]
	if b == nil {
		b = &books{Sinks: map[string]sinkBooks{}}
		p.Regions[name] = b
	}
	return b
}

// book adds what became of n rows that were delivered.
func (b *books) book(n uint64, counts map[string]pipeline.Counts) {
	b.Taken += n
	for name, c := range counts {
		s := b.Sinks[name]
		s.Taken += n
		s.Counts = s.Plus(c)
		b.Sinks[name] = s
	}
}

// clone is a copy that shares nothing that changes.
func (p *progress) clone() *progress {
	out := *p
	out.Lineages, out.Regions = make(map[string]passed, len(p.Lineages)), make(map[string]*books, len(p.Regions))
	for name, l := range p.Lineages {
		l.Hours = maps.Clone(l.Hours)
		out.Lineages[name] = l
	}
	for name, b := range p.Regions {
		c := *b
		c.Sinks = maps.Clone(b.Sinks)
		out.Regions[name] = &c
	}
	return &out
}
