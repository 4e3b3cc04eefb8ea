package s3csv

import (
	"context"
	"fmt"
	"log/slog"

	"sluice/internal/archive"
	"sluice/internal/archive/s3store"
	"sluice/internal/pipeline"
)

// Sink is the archive in a bucket. What it gathers and how it stays exact is the archive.Gatherer's.
type Sink struct {
	*archive.Gatherer
	c     Config
	store *s3store.Store
}

// New makes the sink. dir is for its temporary files, a directory of its own; it is emptied by Open.
func New(name string, c Config, dir string, log *slog.Logger) (*Sink, error) {
	if dir == "" {
		return nil, fmt.Errorf("sink %s: no directory for temporary files", name)
	}
	return &Sink{c: c, Gatherer: archive.NewGatherer(archive.Options{
		Sink: name, Dir: dir, MaxBytes: int64(c.Object.MaxBytes), MaxAge: c.Object.MaxAge.D(), Log: log,
		Layout: archive.Layout{
			Prefix: c.Prefix, Compression: archive.Compression(c.Compression), Neutral: c.Formulas,
		},
	})}, nil
}

// Open looks into the bucket; it writes nothing there.
func (s *Sink) Open(ctx context.Context) error {
	if s.store == nil {
		store, err := s3store.New(ctx, s.c.Store())
		if err != nil {
			return err
		}
		s.store = store
	}
	if err := s.store.Check(ctx, s.c.Prefix); err != nil {
		return err
	}
	return s.OpenStore(s.store)
}

// Takes implements pipeline.Sink: everything but uptime records, whatever a record reports of.
func (s *Sink) Takes(k pipeline.Kind) bool { return k == pipeline.Analytics }

// Close implements pipeline.Sink.
func (s *Sink) Close(ctx context.Context) error {
	err := s.Gatherer.Close(ctx)
	if s.store != nil {
		s.store.Close()
	}
	return err
}

var _ pipeline.Gatherer = (*Sink)(nil)
