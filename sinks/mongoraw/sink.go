package mongoraw

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	driver "go.mongodb.org/mongo-driver/mongo"

	"sluice/internal/mongo"
	"sluice/internal/pipeline"
)

// Sink implements pipeline.Writer. Its methods may be called concurrently.
type Sink struct {
	name  string
	cfg   Config
	log   *slog.Logger
	ready collections

	mu sync.Mutex // guards db
	db *driver.Database

	builds *mongo.Builds
}

var _ pipeline.Writer = (*Sink)(nil)

// New makes a sink; all I/O is in Open. name is the sink's name in the configuration.
func New(name string, c Config, log *slog.Logger) (*Sink, error) {
	if p := c.Validate(); len(p) > 0 {
		return nil, fmt.Errorf("sink %s: %s %s: %s", name, p[0].Key, p[0].What, p[0].Cure)
	}
	return &Sink{name: name, cfg: c, log: log.With("sink", name), builds: mongo.NewBuilds()}, nil
}

// Open connects and makes the collections with fixed names and their indexes. A plain collection where a capped one is
// asked for, a server without capped collections, missing rights and indexes, a unique index that somebody made, and wrong
// credentials are fatal. Collections of organisations are
// made when their first record comes.
func (s *Sink) Open(ctx context.Context) error {
	db, err := s.connect(ctx)
	if err != nil {
		return err
	}
	if s.cfg.Layout == LayoutCapped {
		if err := s.atStart(ctx, db, capped()); err != nil {
			return err
		}
	}
	if s.cfg.Uptime {
		return s.atStart(ctx, db, uptime())
	}
	return nil
}

func (s *Sink) connect(ctx context.Context) (*driver.Database, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db != nil {
		return s.db, nil
	}
	client, err := mongo.Connect(ctx, s.cfg.URI, "sluice "+s.name)
	if err != nil {
		return nil, err
	}
	s.db = client.Database(s.cfg.Database)
	return s.db, nil
}

var errNotOpen = errors.New("the sink is not open")

func (s *Sink) database() (*driver.Database, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db == nil {
		return nil, errNotOpen
	}
	return s.db, nil
}

// Shape is the layout, and whether uptime records are stored. The size of the capped collection shapes no document.
func (s *Sink) Shape() json.RawMessage {
	b, err := json.Marshal(s.cfg.shape())
	if err != nil { // a struct of a string and a bool has no way to fail
		return nil
	}
	return b
}

// Takes analytics always, uptime records if configured.
func (s *Sink) Takes(k pipeline.Kind) bool {
	return k == pipeline.Analytics || k == pipeline.Uptime && s.cfg.Uptime
}

// Close ends index builds that still run and disconnects.
func (s *Sink) Close(ctx context.Context) error {
	s.builds.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db != nil {
		mongo.Disconnect(ctx, s.db.Client())
		s.db = nil
	}
	return nil
}
