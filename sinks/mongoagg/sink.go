package mongoagg

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"log/slog"
	"time"

	driver "go.mongodb.org/mongo-driver/mongo"

	"sluice/internal/mongo"
	"sluice/internal/pipeline"
)

// Sink keeps aggregate documents. It is a pipeline.Gatherer; all calls but New, Shape and Takes come from one goroutine.
type Sink struct {
	name string
	cfg  Config
	log  *slog.Logger
	now  func() time.Time
	keys counterKeys
	send func(context.Context, *driver.Collection, []*operation) // tests lose what it says

	builds *mongo.Builds
	client *driver.Client
	db     *driver.Database

	shapes  map[string]*shape  // by the claims' shape keys
	streams map[string]*stream // by lineage
	docs    map[docID]*document
	waiting map[*document]bool // those with a queue
	ready   collections

	bytes   int       // about what the segments hold
	since   time.Time // when the first of what waits was added
	full    bool      // ErrFull was the last answer: the flush that follows is about room, not about an end
	touched bool      // something was added since the last flush, even if it counts nowhere
	flushes uint64
	derived time.Time // the last time derived fields were brought up to date
	swept   time.Time // the last time marks of others were looked for
	more    []string  // collections in which more marks were found than were taken on
	sweeps  int       // how many are, of a collection at a time
}

var _ pipeline.Gatherer = (*Sink)(nil)

// New makes a sink. It does no I/O.
func New(name string, c Config, log *slog.Logger) (*Sink, error) {
	if ps := c.Validate(); len(ps) > 0 {
		return nil, fmt.Errorf("%s %s: %s", ps[0].Key, ps[0].What, ps[0].Cure)
	}
	return &Sink{name: name, builds: mongo.NewBuilds(), cfg: c, log: log.With("sink", name), now: time.Now, send: send, keys: counterKeys{maphash.MakeSeed()},
		shapes: map[string]*shape{}, streams: map[string]*stream{}, docs: map[docID]*document{}, sweeps: maxSwept,
		waiting: map[*document]bool{}, ready: collections{at: map[string]time.Time{}}}, nil
}

// Open connects. It may be called again.
func (s *Sink) Open(ctx context.Context) error {
	if err := s.OpenToRead(ctx); err != nil {
		return err
	}
	if s.cfg.MixedCollection { // so that wrong rights show at the start
		return s.atStart(ctx, s.db, mixedName)
	}
	return nil
}

// OpenToRead connects and changes nothing in the store: for Compare.
func (s *Sink) OpenToRead(ctx context.Context) error {
	client, err := mongo.Connect(ctx, s.cfg.URI, "sluice "+s.name)
	if err != nil {
		return err
	}
	mongo.Disconnect(ctx, s.client) // of an earlier attempt: what it left running fails with that
	s.builds.Wait()
	s.client, s.db = client, client.Database(s.cfg.Database)
	return nil
}

// Close disconnects. What is not flushed comes again with the next process.
func (s *Sink) Close(ctx context.Context) error {
	s.builds.Close()
	mongo.Disconnect(ctx, s.client)
	s.client = nil
	return nil
}

// Shape is what of the configuration shapes the documents.
func (s *Sink) Shape() json.RawMessage {
	b, _ := json.Marshal(s.cfg.shape()) // strings, numbers and booleans: it cannot fail
	return b
}

// Takes is true for analytics records.
func (s *Sink) Takes(k pipeline.Kind) bool { return k == pipeline.Analytics }

// Due is when to flush: when counters have gathered for the configured time, and when derived fields are behind.
func (s *Sink) Due() time.Time {
	switch {
	case s.swept.IsZero() && s.db != nil:
		return s.now() // once, to look for what a dead process left behind
	case s.touched || len(s.waiting) > 0:
		return s.since.Add(s.cfg.Flush.D())
	case len(s.more) > 0 || s.anyDirty():
		return s.derived.Add(deriveEvery)
	}
	return time.Time{}
}

func (s *Sink) anyDirty() bool {
	for _, d := range s.docs {
		if d.dirty && d.bad == "" {
			return true
		}
	}
	return false
}

func (s *Sink) shapeOf(b *pipeline.Batch) (*shape, error) {
	if sh := s.shapes[b.Shape.Key]; sh != nil {
		return sh, nil
	}
	sh, err := parseShape(b.Shape.JSON, s.cfg.shape())
	if err != nil {
		return nil, err
	}
	if len(s.shapes) >= maxShapes { // one configuration at a time, a few while it changes
		clear(s.shapes)
	}
	s.shapes[b.Shape.Key] = &sh
	return &sh, nil
}

const maxShapes = 64
