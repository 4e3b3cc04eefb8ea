package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sluice/internal/archive"
	"sluice/internal/archive/dirstore"
	"sluice/internal/archive/s3store"
	"sluice/internal/mongo"
	"sluice/internal/statedir"
	"sluice/retention/apply"
	"sluice/retention/archived"
	"sluice/retention/letters"
	"sluice/retention/local"
	"sluice/retention/mongodb"
	"sluice/retention/plan"
	"sluice/retention/search"
	"sluice/sinks/csv"
	"sluice/sinks/mongoagg"
	"sluice/sinks/mongoraw"
	"sluice/sinks/opensearch"
	"sluice/sinks/s3csv"
	"sluice/sinks/sqlite"
)

// retainStores are the stores that retention looks after.
type retainStores struct {
	r        *retainer
	rules    plan.Rules
	byName   map[string]apply.Store
	order    []string
	problems []string
	closers  []func()

	archive     *archived.Store // that others are verified in
	archiveName string          // of that sink; set without archive when it could not be opened
	lockable    archive.Store   // where the lease lies if there is no MongoDB
	lockPrefix  string
}

func (r *retainer) openStores(ctx context.Context) *retainStores {
	s := &retainStores{r: r, rules: retainRules(r.cfg.Retention), byName: map[string]apply.Store{}}
	for _, name := range sortedKeys(r.cfg.Sinks) {
		st, err := s.open(ctx, name)
		switch {
		case err != nil:
			s.problems = append(s.problems, fmt.Sprintf("sink %s cannot be looked into: %v", name, err))
		case st != nil:
			s.add(name, st)
		}
		s.openUptime(ctx, name)
	}
	if st, err := s.openLetters(ctx); err != nil {
		s.problems = append(s.problems, fmt.Sprintf("dead letters cannot be looked into: %v", err))
	} else if st != nil {
		s.add(letters.Name, st)
	}
	s.openSpools(ctx)
	return s
}

func (s *retainStores) add(name string, st apply.Store) {
	s.byName[name] = st
	s.order = append(s.order, name)
}

func (s *retainStores) close(ctx context.Context) {
	for _, st := range s.byName {
		st.Close(ctx)
	}
	for _, c := range s.closers {
		c()
	}
}

// open opens the store of a sink; nil where retention has nothing to do.
func (s *retainStores) open(ctx context.Context, name string) (apply.Store, error) {
	sink := s.r.cfg.Sinks[name]
	ctx, cancel := context.WithTimeout(ctx, sink.Timeout.D())
	defer cancel()
	partial := sink.Filters.Pipeline() != nil
	switch c := sink.Settings.(type) {
	case mongoraw.Config:
		return asStore(mongodb.NewRaw(ctx, name, c, s.r.o.rate, s.r.log.With("sink", name)))
	case mongoagg.Config:
		return asStore(mongodb.NewAggregates(ctx, name, c, s.r.o.rate, time.Now))
	case opensearch.Config:
		return asStore(search.New(ctx, search.Options{Name: name, Config: c, ISM: s.r.cfg.Retention.Search.ISM, Rules: s.rules,
			Log: s.r.log.With("sink", name), Rate: s.r.o.rate}))
	case sqlite.Config:
		return asStore(local.NewStore(name, c.Path, func() int64 { return letters.FreeOn(filepath.Dir(c.Path)) }))
	case s3csv.Config:
		store, err := s3store.New(ctx, c.Store())
		if err != nil {
			return nil, s.noArchive(name, err)
		}
		s.closers = append(s.closers, store.Close)
		a := s.addArchive(name, c.Prefix, store, partial, func() int64 { return -1 })
		a.Classes()
		return a, nil
	case csv.Config:
		if _, err := os.Stat(c.Dir); errors.Is(err, fs.ErrNotExist) && !s.r.o.apply {
			return nil, s.noArchive(name, fmt.Errorf("directory %s is not there", c.Dir))
		}
		store, err := dirstore.Open(c.Dir)
		if err != nil {
			return nil, s.noArchive(name, err)
		}
		return s.addArchive(name, "", store, partial, func() int64 { return letters.FreeOn(c.Dir) }), nil
	}
	return nil, nil
}

// openUptime opens the uptime checks of a sink that stores them.
func (s *retainStores) openUptime(ctx context.Context, name string) {
	c, ok := s.r.cfg.Sinks[name].Settings.(mongoraw.Config)
	if !ok || !c.Uptime {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.r.cfg.Sinks[name].Timeout.D())
	defer cancel()
	if st, err := mongodb.NewUptime(ctx, name+" uptime", c, s.r.o.rate, s.r.log.With("sink", name)); err == nil { // else the sink's own store has said it
		s.add(name+" uptime", st)
	}
}

// asStore keeps a nil pointer from becoming a store.
func asStore[S apply.Store](st S, err error) (apply.Store, error) {
	if err != nil {
		return nil, err
	}
	return st, nil
}

// addArchive takes an archive in. Others are verified in the first one that leaves nothing out, else in the first.
func (s *retainStores) addArchive(name, prefix string, store archive.Store, partial bool, free func() int64) *archived.Store {
	a := archived.New(name, prefix, store, partial, free)
	if s.r.o.apply {
		a.Applies()
	}
	if s.rules.Parquet {
		a.Parquet()
	}
	a.Joining(filepath.Join(s.r.stateDir(), "merge"), s.rules.TargetObject)
	if s.archiveName == "" || s.archive != nil && s.archive.Partial() && !partial {
		s.archive, s.archiveName = a, name
	}
	if s.lockable == nil {
		s.lockable, s.lockPrefix = store, prefix
	}
	return a
}

// noArchive notes that there is an archive that cannot be read.
func (s *retainStores) noArchive(name string, err error) error {
	if s.archiveName == "" {
		s.archiveName = name
	}
	return err
}

func (s *retainStores) openLetters(ctx context.Context) (apply.Store, error) {
	if s.r.cfg.State.Durable {
		return letters.NewDir(statedir.Letters(s.r.cfg.State.Dir)), nil
	}
	rest, ok := strings.CutPrefix(s.r.cfg.State.Spool, "s3://")
	if !ok {
		return nil, nil
	}
	bucket, prefix, _ := strings.Cut(rest, "/")
	store, err := s3store.New(ctx, spoolStore(s.r.cfg, bucket))
	if err != nil {
		return nil, fmt.Errorf("state.spool: %w", err)
	}
	s.closers = append(s.closers, store.Close)
	return letters.NewBucket(store, prefix), nil
}

// plan looks into all stores and makes the plan.
func (s *retainStores) plan(ctx context.Context) *plan.Plan {
	in := plan.Input{Now: time.Now().UTC(), Rules: s.rules, Notes: retainNotes(s.r.cfg), Problems: s.problems}
	for _, name := range s.order {
		inv, err := s.byName[name].Inventory(ctx, in.Now)
		if err != nil {
			in.Problems = append(in.Problems, fmt.Sprintf("%s cannot be looked into: %v", name, err))
			continue
		}
		in.Inventories = append(in.Inventories, inv)
	}
	switch {
	case s.archive != nil:
		in.Archive = s.archive.Covered()
	case s.archiveName != "":
		in.Archive = &plan.Covered{Store: s.archiveName, Err: "it cannot be opened"}
	}
	in.Claims = s.claims(ctx, in.Now)
	return plan.Make(in)
}

// audit asks the sources for their registries.
func (s *retainStores) audit(ctx context.Context) (*audit, error) {
	sources, err := onlookingSources(s.r.cfg, s.r.log)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, auditTime, errors.New("no answer from Redis in time"))
	defer cancel()
	return readAudit(ctx, sources)
}

// claims asks the sources what is still to be written.
func (s *retainStores) claims(ctx context.Context, now time.Time) (c plan.Claims) {
	a, err := s.audit(ctx)
	if err != nil {
		return plan.Claims{Err: err.Error()}
	}
	older := func(t time.Time) {
		if c.Oldest.IsZero() || t.Before(c.Oldest) {
			c.Oldest = t
		}
	}
	for _, lists := range a.Sources {
		for _, l := range lists {
			if !l.Oldest.IsZero() { // a topic or an archive may hold what is days old
				older(l.Oldest)
			} else if l.Waiting > 0 { // a gateway's list has what came just now
				older(now)
			}
			for _, claim := range l.Claims {
				older(claim.Time)
			}
		}
	}
	return c
}

// verifier is the archive; a nil interface without one.
func (s *retainStores) verifier() apply.Archive {
	if s.archive == nil {
		return nil
	}
	return s.archive
}

// leases are what keeps jobs apart, wherever they run: a document in every MongoDB database of the sinks, else an object in
// the archive, else the lock of the state directory alone.
func (s *retainStores) leases(ctx context.Context, owner string) (out []apply.Lease, err error) {
	seen := map[string]bool{}
	for _, name := range sortedKeys(s.r.cfg.Sinks) {
		var uri, database string
		switch c := s.r.cfg.Sinks[name].Settings.(type) {
		case mongoraw.Config:
			uri, database = c.URI, c.Database
		case mongoagg.Config:
			uri, database = c.URI, c.Database
		}
		if target := mongo.Target(uri, database); uri != "" && !seen[target] {
			seen[target] = true
			l, err := mongodb.NewLease(ctx, uri, database, owner, apply.Span)
			if err != nil {
				return out, fmt.Errorf("take the lease: %w", err)
			}
			out = append(out, l)
		}
	}
	if len(out) == 0 && s.lockable != nil {
		out = append(out, archived.NewLease(s.lockable, s.lockPrefix, owner, apply.Span))
	}
	return out, nil
}
