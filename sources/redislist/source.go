package redislist

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"sluice/internal/pipeline"
)

const (
	defaultBatch      = 5000     // pipeline.batch.records
	defaultMaxElement = 32 << 20 // beyond what a gateway with sane body limits writes; one may be in memory for each reader

	backoffMin = 200 * time.Millisecond
	backoffMax = 5 * time.Second // well under the 60 s that a gateway's list lives
)

// Deps is what a source needs of the process.
type Deps struct {
	Token        string // who leases: 128 random bits in hex, kept in the state directory
	Home         string // the state directory's ID, without white space
	Log          *slog.Logger
	BatchRecords int      // a claim at least this long is followed by the next at once; 0: 5000
	Sinks        []string // names of the sinks, for the lists of their retried dead letters
	MaxElement   int64    // longer elements are cut; 0: 32 MiB
	// WentBack, if not nil, is told that a list's history went back: claims are gone or undone. It must not block.
	WentBack func(WentBack)
}

// Source drains the lists of one Redis. It implements pipeline.Source.
type Source struct {
	name     string
	cfg      Config
	deps     Deps
	log      *slog.Logger
	dialer   *dialer
	lists    []list
	replicas replicaCount
	stopped  atomic.Bool
	room     room

	mu      sync.Mutex
	session *session             // nil: not connected
	err     error                // why not
	given   map[string]time.Time // lists given back, and until when they are left alone
	said    map[string]time.Time // what was logged last when
	seen    map[string]sighting  // leases of others, for Idle
	memory  map[string]memory    // of lists that were ours, to see history go back
	epochs  map[string]pipeline.Epoch
	state   map[string]listState // for the console
	rate    rateMeter
}

// New makes a source. It connects to nothing.
func New(name string, cfg Config, deps Deps) (*Source, error) {
	if deps.Token == "" || deps.Home == "" || deps.Log == nil {
		return nil, errors.New("a Redis source needs a token, a state directory's ID and a log")
	}
	d, err := newDialer(cfg)
	if err != nil {
		return nil, err
	}
	if deps.BatchRecords <= 0 {
		deps.BatchRecords = defaultBatch
	}
	if deps.MaxElement <= 0 {
		deps.MaxElement = defaultMaxElement
	}
	return &Source{
		name: name, cfg: cfg, deps: deps, dialer: d, log: deps.Log.With("source", name),
		lists: lists(cfg.KeyPrefix, cfg.Uptime, deps.Sinks...),
		given: map[string]time.Time{}, said: map[string]time.Time{}, seen: map[string]sighting{},
		memory: map[string]memory{}, epochs: map[string]pipeline.Epoch{}, state: map[string]listState{},
	}, nil
}

// Name implements pipeline.Source.
func (s *Source) Name() string { return s.name }

// Lists names the lists that the source looks after.
func (s *Source) Lists() []string {
	names := make([]string, len(s.lists))
	for i, l := range s.lists {
		names[i] = l.name
	}
	return names
}

func (s *Source) owner() owner {
	return owner{token: s.deps.Token, home: s.deps.Home, lease: s.cfg.Claim.Lease.D(), embedded: s.cfg.Embedded}
}

// StopClaiming makes the source claim and lease nothing more, while the streams it handed over go on: the first step of
// a shutdown. It may be called often, and before Run.
func (s *Source) StopClaiming() { s.stopped.Store(true) }

// Run implements pipeline.Source: it leases and claims until ctx is done. Then, or when the connection breaks, all
// streams are closed; when ctx is done, their leases are given back as well. It returns an error only for what an
// operator must cure, and only before it ever worked; later that is said and tried again.
func (s *Source) Run(ctx context.Context, drain pipeline.Drain) error {
	pause, worked := backoffMin, false
	for {
		ok, err := s.runSession(ctx, drain)
		worked = worked || ok
		s.setSession(nil, err)
		if ctx.Err() != nil {
			return nil
		}
		if class, _ := pipeline.Classify(err); class == pipeline.FatalError && !worked {
			return err
		}
		if ok {
			pause = backoffMin
		}
		s.say("session", "Redis is not to be had, trying again", "err", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause/2 + rand.N(pause)):
		}
		pause = min(2*pause, backoffMax)
	}
}

// GiveBack ends the lease of a stream whose claims owe sinks that this process lacks. It is taken again after a lease,
// if nobody did meanwhile.
func (s *Source) GiveBack(ps pipeline.Stream) {
	st, ok := ps.(*stream)
	if !ok || st.failed() != nil {
		return
	}
	s.mu.Lock()
	s.given[st.list.name] = time.Now().Add(s.cfg.Claim.Lease.D())
	s.mu.Unlock()
	st.close(errors.New("given back"))
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	if err := giveBack(ctx, st.se.c, s.owner(), st.list); err != nil && !errors.Is(err, errLost) {
		s.log.Warn("a lease could not be given back, it will expire", "list", st.list.name, "err", err)
	}
}

func (s *Source) setSession(se *session, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.session, s.err = se, err
}

// say logs a warning, each topic at most every ten seconds.
func (s *Source) say(topic, msg string, args ...any) {
	const every = 10 * time.Second
	s.mu.Lock()
	last, ok := s.said[topic]
	quiet := ok && time.Since(last) < every
	if !quiet {
		s.said[topic] = time.Now()
	}
	s.mu.Unlock()
	if !quiet {
		s.log.Warn(msg, args...)
	}
}
