package archive

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	format "sluice/internal/archive"
	"sluice/internal/archive/dirstore"
	"sluice/internal/archive/s3store"
	"sluice/internal/pipeline"
)

// Deps is what a following source needs of the process.
type Deps struct {
	Log   *slog.Logger
	Token string   // names the process; the same after a restart, so that it goes on at once
	Sinks []string // that take what is followed: by ID, or by position within an hour
	Sums  []string // those of them that keep sums of records, not records
	// Alarm, if not nil, is told what needs an operator. It must not block.
	Alarm func(text string)
}

// Source follows an archive. It implements pipeline.Source. Decision 0018 says how.
type Source struct {
	name    string
	cfg     Config
	deps    Deps
	since   time.Time
	log     *slog.Logger
	stopped atomic.Bool

	mu       sync.Mutex
	follower *follower // while the archive is ours
	other    string    // whose it is else
	alive    bool      // the other gave a sign since this one stands by
	err      error     // of the last look, or why there was none
	began    bool
	said     map[string]time.Time
	taken    map[string]uint64 // by region, in this process
	rate     map[string]*meter
}

// meter smooths a rate.
type meter struct {
	perSecond float64
	at        time.Time
}

// New makes a source. It connects to nothing.
func New(name string, cfg Config, deps Deps) (*Source, error) {
	if deps.Log == nil {
		return nil, errors.New("a source that follows an archive needs a log")
	}
	since, err := cfg.since()
	if err != nil {
		return nil, err
	}
	if cfg.Dir != "" {
		cfg.Prefix = ""
	}
	return &Source{name: name, cfg: cfg, deps: deps, since: since, log: deps.Log.With("source", name), said: map[string]time.Time{},
		taken: map[string]uint64{}, rate: map[string]*meter{}}, nil
}

// Name implements pipeline.Source.
func (s *Source) Name() string { return s.name }

// StopClaiming makes the source hand on nothing more, while what it handed over goes on.
func (s *Source) StopClaiming() { s.stopped.Store(true) }

const (
	followPauseMin = 200 * time.Millisecond
	followPauseMax = 5 * time.Second
)

// Run implements pipeline.Source. Like every source it returns an error only for what an operator must cure, and only before
// it ever worked.
func (s *Source) Run(ctx context.Context, drain pipeline.Drain) error {
	worked := false
	for wait := followPauseMin; ctx.Err() == nil; {
		ok, err := s.session(ctx, drain)
		s.setFollower(nil)
		if ctx.Err() != nil {
			return nil
		}
		if worked = worked || ok; ok {
			wait = followPauseMin
		}
		s.setError(err)
		if class, _ := pipeline.Classify(err); class == pipeline.FatalError && !worked {
			return err
		}
		s.say("session", "the archive is not followed, trying again", "err", err)
		if pause(ctx, wait/2+rand.N(wait)) != nil {
			return nil
		}
		wait = min(2*wait, followPauseMax)
	}
	return nil
}

// session is one time of following.
func (s *Source) session(ctx context.Context, drain pipeline.Drain) (ok bool, err error) {
	stores, err := s.open(ctx)
	if err != nil {
		return false, err
	}
	defer stores.close()
	book := &notebook{store: stores.cursor, dir: stores.dir, owner: s.deps.Token}
	p, err := book.take(ctx, s.cfg.Lease.D(), s.standBy)
	if err != nil {
		return false, err
	}
	p.from(s.since)
	s.log.Info("the archive is ours to follow", "archive", s.cfg.Where(), "follower", s.cfg.Follower, "lineages", len(p.Lineages))
	f := &follower{src: s, store: newKnownStore(format.NewIndexed(stores.archive, s.cfg.Prefix, false)), book: book, drain: drain, wake: make(chan struct{}, 1),
		progress: p, busy: map[string]*task{}, owes: map[string]pipeline.Owed{}, held: map[place]held{}, found: map[place]*task{},
		gone: map[place][]*format.Manifest{}, seen: map[place]uint64{}, high: map[string]pipeline.Position{}}
	s.setFollower(f)
	return true, f.run(ctx)
}

// stores are where the archive lies, and where its follower's progress does.
type stores struct {
	archive, cursor format.Store
	dir             string // of the progress
	close           func()
}

func (s *Source) open(ctx context.Context) (out stores, err error) {
	out.dir = s.cfg.Prefix + followDir + s.cfg.Follower + "/"
	var ends []func()
	out.close = func() {
		for _, end := range ends {
			end()
		}
	}
	bucket := func(name, prefix string) (format.Store, error) {
		store, err := s3store.New(ctx, s.cfg.options(name))
		if err != nil {
			return nil, fmt.Errorf("archive %s: %w", s.cfg.Where(), err)
		}
		ends = append(ends, store.Close)
		return store, store.Check(ctx, prefix)
	}
	if s.cfg.Dir != "" {
		out.archive, err = dirstore.Open(s.cfg.Dir)
	} else {
		out.archive, err = bucket(s.cfg.Bucket, s.cfg.Prefix)
	}
	if err != nil {
		out.close()
		return out, fmt.Errorf("open the archive: %w", err)
	}
	name, prefix, other := s.cfg.cursorBucket()
	switch {
	case other:
		out.dir = prefix + s.cfg.Follower + "/"
		out.cursor, err = bucket(name, prefix)
	case s.cfg.Cursor != "":
		out.dir = s.cfg.Follower + "/"
		out.cursor, err = dirstore.Open(s.cfg.Cursor)
	default:
		out.cursor = out.archive
	}
	if err != nil {
		out.close()
		return out, fmt.Errorf("open the place of the cursor: %w", err)
	}
	return out, nil
}

func (s *Source) standBy(owner string, alive bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.other != owner {
		s.log.Info("another process follows the archive, this one stands by", "archive", s.cfg.Where())
	}
	s.other, s.alive, s.err, s.began = owner, alive, nil, true
}

func (s *Source) setFollower(f *follower) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.follower, s.other = f, ""
	s.began = s.began || f != nil
}

func (s *Source) setError(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
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

// alarm says that an hour cannot be followed.
func (s *Source) alarm(at place, err error) {
	s.log.Error("an hour of the archive is held", "hour", at.String(), "err", err,
		"cure", "sluice archive verify where it is written; an object that is moved away is passed over")
	if s.deps.Alarm != nil {
		s.deps.Alarm(fmt.Sprintf("source %s: %s is held: %v", s.name, at, err))
	}
}

// count books rows that were delivered.
func (s *Source) count(region string, n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken[region] += n
	m := s.rate[region]
	if m == nil {
		m = &meter{}
		s.rate[region] = m
	}
	now := time.Now()
	m.perSecond, m.at = m.smoothed(now)+float64(n)/meterWindow.Seconds(), now
}

// Progress reads how far the archive was followed, without a lease. In a process that follows it tells what it knows.
func (s *Source) Progress(ctx context.Context) ([]RegionProgress, error) {
	s.mu.Lock()
	f := s.follower
	s.mu.Unlock()
	if f != nil {
		f.mu.Lock()
		p := f.progress.clone()
		f.mu.Unlock()
		return p.regions(), nil
	}
	stores, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	defer stores.close()
	_, p, err := (&notebook{store: stores.cursor, dir: stores.dir}).read(ctx)
	if err != nil {
		return nil, err
	}
	return p.regions(), nil
}

// RegionProgress is the ledger of a region that is followed.
type RegionProgress struct {
	Region      string
	Taken, Lost uint64
	Sinks       map[string]SinkProgress
}

// SinkProgress is what a sink was given of a region, and what became of it.
type SinkProgress struct {
	Taken uint64
	pipeline.Counts
}

func (p *progress) regions() (out []RegionProgress) {
	for _, name := range slices.Sorted(maps.Keys(p.Regions)) {
		b := p.Regions[name]
		r := RegionProgress{Region: name, Taken: b.Taken, Lost: b.Lost, Sinks: map[string]SinkProgress{}}
		for sink, k := range b.Sinks {
			r.Sinks[sink] = SinkProgress(k)
		}
		out = append(out, r)
	}
	return out
}

// Idle tells whether nothing is left for this process to follow, and names what another follows.
func (s *Source) Idle(context.Context) (bool, []string, error) {
	s.mu.Lock()
	f, alive := s.follower, s.other != "" && s.alive
	s.mu.Unlock()
	if f != nil {
		return f.isClean(), nil, nil
	}
	if alive { // a dead one is relieved
		return true, []string{"archive " + s.cfg.Where() + ": another process follows it"}, nil
	}
	return false, nil, nil
}
