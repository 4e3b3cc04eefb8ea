package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"sluice/internal/testenv/install"
	"sluice/internal/testenv/launch"
)

// fleet is the running servers and their addresses.
type fleet struct {
	dir    string // of all data
	report *reporter
	wg     sync.WaitGroup // watchers
	ending chan struct{}

	mu      sync.Mutex
	servers []*launch.Server
	values  map[string]string // by environment variable
	missing []string          // names of what could not be had
}

// open gets and starts the services of the given names, at the same time. With
// strict, a program that cannot be had is an error; a server that does not
// start always is one. After an error nothing is left running.
func open(ctx context.Context, only []string, strict bool, report *reporter) (*fleet, error) {
	dir, err := os.MkdirTemp("", "sluice-servers-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for data: %w", err)
	}
	f := &fleet{dir: dir, report: report, ending: make(chan struct{}), values: map[string]string{}}
	began := time.Now()
	if err := errors.Join(f.openAll(ctx, only), ctx.Err()); err != nil {
		return nil, errors.Join(err, f.close())
	}
	if strict && len(f.missing) > 0 {
		err := fmt.Errorf("CI=true and not everything could be had: %s", strings.Join(f.missing, ", "))
		return nil, errors.Join(err, f.close())
	}
	if len(f.missing) > 0 {
		report.say("all", "WITHOUT %s: the tests that need it will be SKIPPED", strings.Join(f.missing, ", "))
	}
	report.say("all", "ready after %s", since(began))
	return f, nil
}

func (f *fleet) openAll(ctx context.Context, only []string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	errs := make([]error, len(only))
	for i, name := range only {
		wg.Go(func() {
			s, _ := find(name) // names were checked with the flags
			if errs[i] = f.openOne(ctx, s); errs[i] != nil {
				cancel() // do not wait for the others
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (f *fleet) openOne(ctx context.Context, s service) error {
	given := ""
	if s.env != "" {
		given = os.Getenv(s.env)
	}
	if given != "" {
		f.report.say(s.name, "as given in %s", s.env)
		f.add(s.env, given, nil)
		if !s.private {
			return nil
		}
	}
	in := &install.Installer{Progress: func(line string) { f.report.say(s.name, "%s", line) }}
	p, err := s.get(ctx, in)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		f.miss(s.name, err)
		return nil
	}
	if given != "" || s.start == nil {
		f.report.say(s.name, "%s", p.path)
		return nil
	}
	return f.start(ctx, s, p)
}

func (f *fleet) start(ctx context.Context, s service, p program) error {
	dir := filepath.Join(f.dir, s.name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("make a directory for %s: %w", s.name, err)
	}
	began := time.Now()
	server, value, err := s.start(ctx, p, dir)
	if err != nil {
		return fmt.Errorf("start %s: %w", s.name, err)
	}
	f.add(s.env, value, server)
	f.watch(s.name, server)
	f.report.say(s.name, "at %s after %s (process %d)", server.Addr, since(began), server.Process().PID())
	return nil
}

func (f *fleet) add(env, value string, server *launch.Server) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.values[env] = value
	if server != nil {
		f.servers = append(f.servers, server)
	}
}

func (f *fleet) miss(name string, err error) {
	f.report.say(name, "NOT TO BE HAD: %v", err)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.missing = append(f.missing, name)
}

// watch says so when a server ends that nobody ended: the tests that fail then
// do not know why.
func (f *fleet) watch(name string, server *launch.Server) {
	done := server.Process().Done()
	f.wg.Go(func() {
		select {
		case <-f.ending:
		case <-done:
			f.report.say(name, "ENDED BY ITSELF with code %d:\n%s", server.Process().ExitCode(), server.Log.LastLines(30))
		}
	})
}

// close kills all servers, by their process IDs, and removes their data. It
// does not ask them to end in good order: nothing of theirs is kept.
func (f *fleet) close() error {
	close(f.ending)
	f.wg.Wait()
	var errs error
	for _, s := range f.servers {
		errs = errors.Join(errs, s.Kill())
	}
	if err := os.RemoveAll(f.dir); err != nil {
		errs = errors.Join(errs, fmt.Errorf("remove the servers' data: %w", err))
	}
	return errs
}

// environ returns the variables for a command. A test without its server may
// only skip when the server could not be had.
func (f *fleet) environ() []string {
	var out []string
	for env, value := range f.values {
		out = append(out, env+"="+value)
	}
	if len(f.missing) == 0 {
		out = append(out, launch.EnvRequire+"=1")
	}
	slices.Sort(out)
	return out
}

// exports returns the variables as lines for a shell.
func (f *fleet) exports() string {
	var b strings.Builder
	for _, pair := range f.environ() {
		name, value, _ := strings.Cut(pair, "=")
		fmt.Fprintf(&b, "export %s='%s'\n", name, strings.ReplaceAll(value, "'", `'\''`))
	}
	return b.String()
}

func since(t time.Time) time.Duration { return time.Since(t).Round(100 * time.Millisecond) }
