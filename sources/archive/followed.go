package archive

import (
	"context"
	"time"

	format "sluice/internal/archive"
	"sluice/internal/pipeline"
)

// Reading opens what of the archive is followed, for who compares with it. The caller calls end.
func (s *Source) Reading(ctx context.Context) (p Part, end func(), err error) {
	stores, err := s.open(ctx)
	if err != nil {
		return p, nil, err
	}
	a := Archive{Store: format.NewIndexed(stores.archive, s.cfg.Prefix, false), Prefix: s.cfg.Prefix}
	return Part{Archive: a, Regions: s.cfg.Regions, Since: s.since}, stores.close, nil
}

// Followed is how far an archive was followed at one moment.
type Followed struct{ p *progress }

// Followed reads how far the archive was followed, without a lease.
func (s *Source) Followed(ctx context.Context) (Followed, error) {
	stores, err := s.open(ctx)
	if err != nil {
		return Followed{}, err
	}
	defer stores.close()
	_, p, err := (&notebook{store: stores.cursor, dir: stores.dir}).read(ctx)
	if err != nil {
		return Followed{}, err
	}
	p.from(s.since)
	return Followed{p}, nil
}

// Lineages are those of which anything was delivered.
func (f Followed) Lineages() (names []string) {
	for name := range f.p.Lineages {
		names = append(names, name)
	}
	return names
}

// At is up to where a lineage's rows of an hour were delivered to every sink that takes them.
func (f Followed) At(lineage string, hour time.Time) pipeline.Position {
	return f.p.at(lineage, hour)
}

// NotOwed is how many rows were delivered that a sink was not owed: it was configured later.
func (f Followed) NotOwed(sink string) (n uint64) {
	for _, b := range f.p.Regions {
		n += b.Taken - min(b.Taken, b.Sinks[sink].Taken)
	}
	return n
}
