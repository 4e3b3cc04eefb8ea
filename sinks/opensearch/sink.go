package opensearch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"sluice/internal/pipeline"
)

// Sink implements pipeline.Writer. Its methods may be called concurrently.
type Sink struct {
	name    string
	cfg     Config
	pattern pattern
	log     *slog.Logger
	indices indices

	mu     sync.Mutex // guards client
	client *client
}

var _ pipeline.Writer = (*Sink)(nil)

// New makes a sink; all I/O is in Open. name is the sink's name in the configuration.
func New(name string, c Config, log *slog.Logger) (*Sink, error) {
	if p := c.Validate(); len(p) > 0 {
		return nil, fmt.Errorf("sink %s: %s %s: %s", name, p[0].Key, p[0].What, p[0].Cure)
	}
	p, err := parsePattern(c.Index)
	if err != nil {
		return nil, fmt.Errorf("sink %s: index %w", name, err)
	}
	return &Sink{name: name, cfg: c, pattern: p, log: log.With("sink", name)}, nil
}

// Open connects and installs the index template. Wrong credentials, missing rights, and another template that stands in
// the way are fatal.
func (s *Sink) Open(ctx context.Context) error {
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	if s.cfg.Template {
		return s.installTemplate(ctx, c)
	}
	return s.probe(ctx, c)
}

// probe sees that the cluster answers, by a request that every service has, OpenSearch Serverless too.
func (s *Sink) probe(ctx context.Context, c *client) error {
	res, err := c.doJSON(ctx, "GET", "/_cat/indices/"+s.pattern.wildcard()+"?format=json&h=index", nil)
	switch {
	case err != nil:
		return fmt.Errorf("reach OpenSearch: %w", err)
	case res.denied():
		return pipeline.Fatal(res.err("look for indices"))
	case res.status >= 500 || res.status == 429:
		return res.err("look for indices")
	}
	return nil
}

func (s *Sink) connect(ctx context.Context) (*client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil {
		return s.client, nil
	}
	c, err := newClient(ctx, s.cfg)
	if err != nil {
		return nil, err
	}
	s.client = c
	return c, nil
}

var errNotOpen = errors.New("the sink is not open")

func (s *Sink) opened() (*client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == nil {
		return nil, errNotOpen
	}
	return s.client, nil
}

// Shape is the index pattern, whether documents are extended, and from what age on records are left out.
func (s *Sink) Shape() json.RawMessage {
	b, err := json.Marshal(s.cfg.shape())
	if err != nil { // a struct of texts and a bool has no way to fail
		return nil
	}
	return b
}

// Takes analytics records of all kinds, no uptime records.
func (s *Sink) Takes(k pipeline.Kind) bool { return k == pipeline.Analytics }

// Close ends idle connections.
func (s *Sink) Close(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.client.close()
	s.client = nil
	return nil
}
