package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	sqlite3 "modernc.org/sqlite"

	"sluice/internal/pipeline"
)

// Sink writes to one SQLite file. It implements pipeline.Writer and pipeline.TrafficReader; its methods may be called
// concurrently, writes go one after another.
type Sink struct {
	name string
	conf Config
	log  *slog.Logger

	mu      sync.Mutex // held by whoever writes, opens or closes
	lock    *os.File
	db      *sql.DB // one connection, the writer's
	stmts   statements
	names   *nameLimit
	hour    int64        // bucket of the last claim time at which old minutes were deleted
	readers sync.RWMutex // guards reader against Close
	reader  *sql.DB
}

var (
	_ pipeline.Writer        = (*Sink)(nil)
	_ pipeline.TrafficReader = (*Sink)(nil)
)

// New returns a sink. It does no I/O.
func New(name string, c Config, log *slog.Logger) (*Sink, error) {
	if p := c.Validate(); len(p) > 0 {
		return nil, fmt.Errorf("%s %s: %s", p[0].Key, p[0].What, p[0].Cure)
	}
	return &Sink{name: name, conf: c, log: log, names: newNameLimit(c.Names)}, nil
}

// Local says that the store lies on this machine, so that another pump cannot serve a list that owes this sink.
func (s *Sink) Local() bool { return true }

// Takes analytics records; uptime checks are no API traffic.
func (s *Sink) Takes(k pipeline.Kind) bool { return k == pipeline.Analytics }

// shape is what of the configuration shapes effects.
type shape struct {
	Bodies bool `json:"bodies"`
}

// Shape implements pipeline.Sink.
func (s *Sink) Shape() json.RawMessage {
	b, err := json.Marshal(shape{Bodies: s.conf.Bodies})
	if err != nil {
		return nil // a struct of a bool always encodes
	}
	return b
}

// Open locks and opens the file and makes its tables. Fatal are: a file in use, of a newer schema, or of something
// else, and one that may not be written.
func (s *Sink) Open(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db != nil {
		return nil
	}
	if err := s.open(ctx); err != nil {
		s.closeAll()
		return classify(fmt.Errorf("open %s: %w", s.conf.Path, err))
	}
	return nil
}

func (s *Sink) open(ctx context.Context) (err error) {
	if err := os.MkdirAll(filepath.Dir(s.conf.Path), 0o755); err != nil {
		return err
	}
	if s.lock, err = lock(s.conf.Path + ".lock"); err != nil {
		return err
	}
	// FULL makes every commit durable before it returns, which the promise of exactly once rests on.
	if s.db, err = sql.Open("sqlite", dsn(s.conf.Path, "_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&"+
		"_pragma=synchronous(FULL)&_pragma=temp_store(MEMORY)&_pragma=cache_size(-8000)&_txlock=immediate")); err != nil {
		return err
	}
	s.db.SetMaxOpenConns(1)
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	err = migrate(ctx, conn)
	if cerr := conn.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if s.stmts, err = prepare(ctx, s.db); err != nil {
		return err
	}
	reader, err := sql.Open("sqlite", dsn(s.conf.Path, "mode=ro&_pragma=busy_timeout(2000)&_pragma=cache_size(-4000)"))
	if err != nil {
		return err
	}
	reader.SetMaxOpenConns(2)
	s.readers.Lock()
	s.reader = reader
	s.readers.Unlock()
	return nil
}

// dsn names the file as a URI, so that no character of its path is taken for a parameter.
func dsn(path, query string) string {
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + query
}

// classify: what only an operator can cure is fatal, everything else (a full disk, an I/O error) may pass.
func classify(err error) error {
	if errors.Is(err, errLocked) || errors.Is(err, fs.ErrPermission) || errors.Is(err, errSchema) {
		return pipeline.Fatal(err)
	}
	var e *sqlite3.Error
	if errors.As(err, &e) {
		return answers[e.Code()&0xff].action.Mark(err, 0) // the primary code; the rest is detail
	}
	return err
}

// Close checkpoints and closes the file and frees its lock.
func (s *Sink) Close(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closeAll()
}

// closeAll is called with mu held.
func (s *Sink) closeAll() error {
	var errs []error
	s.readers.Lock()
	if s.reader != nil {
		errs = append(errs, s.reader.Close())
		s.reader = nil
	}
	s.readers.Unlock()
	errs = append(errs, s.stmts.close())
	if s.db != nil {
		errs = append(errs, s.db.Close()) // the last connection: SQLite moves the WAL into the file
		s.db = nil
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
		s.lock = nil
	}
	return errors.Join(errs...)
}
