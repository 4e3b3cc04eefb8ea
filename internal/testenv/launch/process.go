// Package launch starts the real servers that tests and benchmarks run
// against, as child processes that cannot outlive the one that started them.
// It knows nothing of the testing package, so that the server manager and the
// tests share one way to start and to end a server.
package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// Command says what to start.
type Command struct {
	Path   string
	Args   []string
	Dir    string    // empty: the directory of the caller
	Env    []string  // empty: the environment of the caller
	Stdout io.Writer // nil: discarded
	Stderr io.Writer // nil: discarded
}

// Process is a child in a process group of its own. On Linux it is killed
// when this process dies, whatever this process dies of. Its methods may be
// called by several goroutines.
type Process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{}

	mu     sync.Mutex
	exited bool  // signals are held back from here on: the ID may belong to another
	err    error // of Wait, valid once done is closed
}

// Start starts c. The goroutine that waits for the child ends with it.
func Start(c Command) (*Process, error) {
	cmd := exec.Command(c.Path, c.Args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = c.Dir, c.Env, c.Stdout, c.Stderr
	cmd.SysProcAttr = ownGroup()
	// Somebody else's grandchild may hold the pipes open: do not wait for it.
	cmd.WaitDelay = 2 * time.Second

	p := &Process{name: filepath.Base(c.Path), cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	return p, nil
}

// run starts the child and waits for it, on one thread: the parent-death
// signal follows the thread that started the child, so that thread has to
// live as long as the child.
func (p *Process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := p.cmd.Start(); err != nil {
		started <- err
		return
	}
	started <- nil
	err := p.cmd.Wait()
	p.mu.Lock()
	p.exited, p.err = true, err
	p.mu.Unlock()
	close(p.done)
}

// PID returns the child's process ID.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the child has ended and its output is complete.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for the child and returns how it ended: nil for exit code 0, an
// *exec.ExitError otherwise.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("wait for %s (process %d): %w", p.name, p.PID(), context.Cause(ctx))
	}
}

// ExitCode returns the exit code, 128 plus the signal for a child ended by a
// signal, and -1 while it runs.
func (p *Process) ExitCode() int {
	select {
	case <-p.done:
	default:
		return -1
	}
	state := p.cmd.ProcessState
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return state.ExitCode()
}

// Signal sends sig to the child's process group. It is no error when the child
// has ended already.
func (p *Process) Signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.exited {
		return nil
	}
	err := syscall.Kill(-p.PID(), sig)
	if err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("send %v to %s (process %d): %w", sig, p.name, p.PID(), err)
	}
	return nil
}

// Kill ends the child with SIGKILL and waits until it is gone.
func (p *Process) Kill() error {
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return nil
}

// Pause stops the child with SIGSTOP: its connections stay open and silent.
func (p *Process) Pause() error { return p.Signal(syscall.SIGSTOP) }

// Continue lets a paused child run on.
func (p *Process) Continue() error { return p.Signal(syscall.SIGCONT) }

// Stop asks the child to end with SIGTERM, and kills it when it has not ended
// after grace. A paused child is continued, so that it can obey.
func (p *Process) Stop(grace time.Duration) error {
	if err := errors.Join(p.Signal(syscall.SIGTERM), p.Signal(syscall.SIGCONT)); err != nil {
		return errors.Join(err, p.Kill())
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
		return p.Kill()
	}
}

// environment returns the environment of this process with additions.
func environment(add ...string) []string {
	return append(os.Environ(), add...)
}
