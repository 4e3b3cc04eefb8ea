package redislist

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
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
	Alone        bool     // takes every list that is free, and none of other pumps: for a process that ends when nothing is left
	// WentBack, if not nil, is told that a list's history went back: claims are gone or undone. It must not block.
	WentBack func(WentBack)
}

// Source drains the lists of one Redis. It implements pipeline.Source.
type Source struct {
	name    string
	cfg     Config
	deps    Deps
	log     *slog.Logger
	dialer  *dialer
	lists   []list
	stopped atomic.Bool
	worked  atomic.Bool // some session did

	mu       sync.Mutex
	drain    pipeline.Drain       // of Run; nil: it was not called
	sessions map[string]*session  // that work, by place
	errs     map[string]error     // why a place has none
	given    map[string]time.Time // lists given back, and until when they are left alone
	said     map[string]time.Time // what was logged last when
	seen     map[string]sighting  // leases of others, for Idle
	memory   map[string]memory    // of lists that were ours, to see history go back
	epochs   map[string]pipeline.Epoch
	state    map[string]listState // for the console
	rate     rateMeter
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
		lists:    lists(cfg.KeyPrefix, cfg.Uptime, deps.Sinks...),
		sessions: map[string]*session{}, errs: map[string]error{},
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

// StopClaiming makes the source claim and lease nothing more, while the streams it handed over go on: the first step of
// a shutdown. It may be called often, and before Run.
func (s *Source) StopClaiming() { s.stopped.Store(true) }

// Run implements pipeline.Source: it leases and claims until ctx is done. Then, or when the connection breaks, all
// streams are closed; when ctx is done, their leases are given back as well. It returns an error only for what an
// operator must cure, and only before it ever worked; later that is said and tried again.
func (s *Source) Run(ctx context.Context, drain pipeline.Drain) error {
	s.mu.Lock()
	s.drain = drain
	s.mu.Unlock()
	if s.cfg.Mode == ModeCluster {
		return s.runCluster(ctx, drain)
	}
	return s.keep(ctx, drain, place{lists: s.lists, shard: &shard{}}, func() {})
}

// keep works at a place until ctx is done, in one session after the other. ended is called after each.
func (s *Source) keep(ctx context.Context, drain pipeline.Drain, at place, ended func()) error {
	pause := backoffMin
	for {
		ok, err := s.runSession(ctx, drain, at)
		if ok {
			s.worked.Store(true)
		}
		if ctx.Err() != nil {
			s.setSession(at.addr, nil, err)
			return nil
		}
		s.setSession(at.addr, nil, err)
		ended()
		if class, _ := pipeline.Classify(err); class == pipeline.FatalError && !s.worked.Load() {
			return err
		}
		if ok {
			pause = backoffMin
		}
		s.say("session "+at.addr, "Redis is not to be had, trying again", "err", err)
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
	if err := giveBack(ctx, st.se.c, st.se.owner(), st.list); err != nil && !errors.Is(err, errLost) {
		s.log.Warn("a lease could not be given back, it will expire", "list", st.list.name, "err", err)
	}
}

// setSession books that a place has a session, or why it has none.
func (s *Source) setSession(at string, se *session, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, at)
	delete(s.errs, at)
	if se != nil {
		s.sessions[at] = se
	} else if err != nil {
		s.errs[at] = err
	}
}

// forget drops a place that is not worked at any more.
func (s *Source) forget(at string) { s.setSession(at, nil, nil) }

// connected tells whether every place has a session, and if not, why. The lock is held.
func (s *Source) connected() (bool, error) {
	for _, at := range slices.Sorted(maps.Keys(s.errs)) {
		return false, s.errs[at]
	}
	return len(s.sessions) > 0, nil
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
