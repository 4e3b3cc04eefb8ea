package install

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Installer gets the programs that are missing. Its methods may be called by
// several goroutines and several processes at the same time: one of them does
// the work, the others wait for it.
type Installer struct {
	// Progress is told, in one line, what is about to take long.
	Progress func(line string)
}

const (
	attempts     = 3               // downloads fail for a moment more often than for good
	firstBackoff = 2 * time.Second // doubled from attempt to attempt
	stepTimeout  = 15 * time.Minute
)

// cached returns the path of file in the cache directory component/version. If
// it is not there, fill makes it, in a new directory that becomes the cached
// one only when fill has succeeded: a half-filled cache does not exist.
func (in *Installer) cached(ctx context.Context, component, version, file string,
	fill func(ctx context.Context, dir string) error,
) (string, error) {
	base, err := Dir()
	if err != nil {
		return "", err
	}
	final := filepath.Join(base, component, version)
	path := filepath.Join(final, file)
	if exists(path) {
		return path, nil
	}
	if err := os.MkdirAll(filepath.Dir(final), 0o755); err != nil {
		return "", fmt.Errorf("make the cache directory: %w", err)
	}
	unlock, err := Lock(ctx, filepath.Join(base, component, version+".lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if exists(path) { // somebody else was faster
		return path, nil
	}
	return path, replace(final, func(dir string) error { return fill(ctx, dir) })
}

// replace fills a new directory beside final and puts it in final's place.
func replace(final string, fill func(dir string) error) error {
	dir, err := os.MkdirTemp(filepath.Dir(final), ".new-")
	if err != nil {
		return fmt.Errorf("make a directory in the cache: %w", err)
	}
	if err := fill(dir); err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	if err := os.RemoveAll(final); err != nil {
		return fmt.Errorf("remove a broken installation: %w", err)
	}
	if err := errors.Join(os.Chmod(dir, 0o755), os.Rename(dir, final)); err != nil {
		return fmt.Errorf("put an installation in place: %w", err)
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Lock takes the file lock at path, which the system gives back when this
// process ends in whatever way, and waits for whoever holds it.
func Lock(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the lock file: %w", err)
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
		}
		if err := sleep(ctx, 200*time.Millisecond); err != nil {
			return nil, errors.Join(fmt.Errorf("wait for another installation (%s): %w", path, err), f.Close())
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// retry runs a program until it succeeds, a few times at most. The error has
// the end of what it said.
func retry(ctx context.Context, env []string, name string, args ...string) error {
	backoff := firstBackoff
	for n := 1; ; n++ {
		err := run(ctx, env, name, args...)
		if err == nil || n == attempts || errors.Is(err, exec.ErrNotFound) {
			return err
		}
		if sleep(ctx, backoff) != nil {
			return err
		}
		backoff *= 2
	}
}

func run(ctx context.Context, env []string, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, tail(string(out), 15))
	}
	return nil
}

func tail(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
