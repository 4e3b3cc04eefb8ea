package testenv

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"sluice/internal/testenv/launch"
)

// waitLimit bounds how long a test waits for a process it started: a hang is
// to fail the test that caused it, with that process's output, before go test
// ends them all. It is longer than the five minutes after which a single run
// gives up by itself, and says what it waited for.
const waitLimit = 6 * time.Minute

// Process is a program that belongs to one test, which may kill it. Its methods
// fail the test when they cannot do their work, and belong to the goroutine of
// the test.
type Process struct {
	t              testing.TB
	proc           *launch.Process
	stdout, stderr launch.Log
}

// Start starts bin with args, in an empty directory, with the variables of env
// (NAME=value) added to the environment. It is killed with the test, and its
// output is shown when the test failed.
func Start(t testing.TB, bin string, args, env []string) *Process {
	t.Helper()
	p := &Process{t: t}
	proc, err := launch.Start(launch.Command{
		Path: bin, Args: args, Dir: t.TempDir(), Env: append(os.Environ(), env...),
		Stdout: &p.stdout, Stderr: &p.stderr,
	})
	if err != nil {
		t.Fatal(err)
	}
	p.proc = proc
	t.Cleanup(func() {
		p.must(proc.Kill())
		if t.Failed() {
			const lines = 40
			t.Logf("%s ended with code %d; its last lines:\n%s\n%s", filepath.Base(bin),
				proc.ExitCode(), p.stdout.LastLines(lines), p.stderr.LastLines(lines))
		}
	})
	return p
}

// PID returns the process ID.
func (p *Process) PID() int { return p.proc.PID() }

// Done is closed when the process has ended and its output is complete.
func (p *Process) Done() <-chan struct{} { return p.proc.Done() }

// Stdout returns what the process has written to standard output so far.
func (p *Process) Stdout() string { return p.stdout.String() }

// Stderr returns what the process has written to standard error so far.
func (p *Process) Stderr() string { return p.stderr.String() }

// Kill ends the process with SIGKILL, as a crash does, and waits until it is
// gone. A process that has ended already is left as it is.
func (p *Process) Kill() { p.t.Helper(); p.must(p.proc.Kill()) }

// KillAfter kills the process after a random time between least and most, and
// returns that time. A process that ends earlier by itself is not killed; its
// ExitCode tells.
func (p *Process) KillAfter(least, most time.Duration) time.Duration {
	p.t.Helper()
	d := least
	if most > least {
		d += rand.N(most - least)
	}
	p.t.Logf("kill -9 after %v", d)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		p.Kill()
	case <-p.proc.Done():
	}
	return d
}

// Pause freezes the process with SIGSTOP, as a stalled machine does.
func (p *Process) Pause() { p.t.Helper(); p.must(p.proc.Pause()) }

// Continue lets a paused process run on.
func (p *Process) Continue() { p.t.Helper(); p.must(p.proc.Continue()) }

// Terminate asks the process to end with SIGTERM and does not wait for it.
func (p *Process) Terminate() { p.t.Helper(); p.must(p.proc.Signal(syscall.SIGTERM)) }

// Wait waits until the process has ended and returns its exit code: 128 plus
// the signal's number when a signal ended it.
func (p *Process) Wait() int {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), waitLimit)
	defer cancel()
	select {
	case <-p.proc.Done():
		return p.proc.ExitCode()
	case <-ctx.Done():
		p.t.Fatalf("process %d has not ended: %v", p.PID(), ctx.Err())
		return -1
	}
}

// ExitCode returns the exit code as Wait does, and -1 while the process runs.
func (p *Process) ExitCode() int { return p.proc.ExitCode() }

// WaitFor waits until text is in the output, and fails the test when the
// process ends without it.
func (p *Process) WaitFor(text string) {
	p.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(waitLimit)
	defer limit.Stop()
	for !p.said(text) {
		select {
		case <-tick.C:
		case <-p.proc.Done():
			if !p.said(text) {
				p.t.Fatalf("process %d ended with code %d and did not say %q", p.PID(), p.ExitCode(), text)
			}
		case <-limit.C:
			p.t.Fatalf("process %d did not say %q within %v", p.PID(), text, waitLimit)
		}
	}
}

func (p *Process) said(text string) bool { return p.stdout.Contains(text) || p.stderr.Contains(text) }

func (p *Process) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}
