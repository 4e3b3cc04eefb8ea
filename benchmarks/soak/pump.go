package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"sluice/internal/testenv/launch"
)

// pump is one sluice with a state directory of its own. Only the goroutine that plays the schedule uses it.
type pump struct {
	index   int
	role    string // empty: everything
	name    string
	binary  string
	config  string // its file
	dir     string // of configuration and log
	disk    string // of state and local sinks
	admin   string // address of its console
	log     *os.File
	proc    *launch.Process // nil: not running, on purpose
	before  int64           // how many programs had said in its log that they start, before this one
	frozen  bool
	refused int64        // starts that ended since Redis did not take the password
	pid     atomic.Int64 // 0: not running; read beside the schedule
	mounts  []string     // file systems of its own
}

// awake is what a program logs when it catches signals; before, SIGTERM just ends it.
const awake = `msg="sluice starts"`

// termTime is what SIGTERM may take: shutdown_timeout of the configuration and some air for a busy machine.
const termTime = 20 * time.Second

// onceTime is what a single run may take for what a schedule left.
const onceTime = 4 * time.Minute

// patience is a time that the program gets, which is longer with the race detector: everything takes several times as long then.
func (w *world) patience(d time.Duration) time.Duration {
	if w.opts.race {
		return 3 * d
	}
	return d
}

func newPump(w *world, i int) (*pump, error) {
	p := &pump{index: i, role: w.roleOf(i), name: fmt.Sprintf("pump %d", i+1), binary: w.opts.binary, dir: filepath.Join(w.opts.dir, fmt.Sprintf("pump%d", i+1))}
	p.config, p.disk = filepath.Join(p.dir, "sluice.yaml"), filepath.Join(p.dir, "disk")
	if err := os.MkdirAll(p.disk, 0o700); err != nil {
		return nil, err
	}
	port, err := launch.FreePort()
	if err != nil {
		return nil, err
	}
	p.admin = fmt.Sprintf("127.0.0.1:%d", port)
	if p.log, err = os.Create(filepath.Join(p.dir, "log")); err != nil {
		return nil, err
	}
	return p, p.configure(w.configuration(p))
}

// configure writes what the pump goes by from its next start on.
func (p *pump) configure(text string) error { return os.WriteFile(p.config, []byte(text), 0o600) }

func (p *pump) start() error {
	before, err := p.logged(awake)
	if err != nil {
		return err
	}
	proc, err := p.command("run")
	if err != nil {
		return err
	}
	p.proc, p.before, p.frozen = proc, before, false
	p.pid.Store(int64(proc.PID()))
	return nil
}

// command starts the program with the pump's configuration; both outputs go to the pump's log.
func (p *pump) command(args ...string) (*launch.Process, error) {
	return launch.Start(launch.Command{Path: p.binary, Args: p.arguments(args), Dir: p.dir, Stdout: p.log, Stderr: p.log})
}

// arguments are a command's, and what a pump adds.
func (p *pump) arguments(args []string) []string {
	if p.role != "" && (args[0] == "run" || args[0] == "audit") {
		args = append(args, "--role", p.role)
	}
	return append(args, "--config", p.config)
}

// output runs a command to its end and returns its exit code and standard output.
func (p *pump) output(ctx context.Context, args ...string) (int, []byte, error) {
	var out launch.Log
	proc, err := launch.Start(launch.Command{Path: p.binary, Args: p.arguments(args), Dir: p.dir, Stdout: &out, Stderr: p.log})
	if err != nil {
		return 0, nil, err
	}
	select {
	case <-proc.Done():
		return proc.ExitCode(), []byte(out.String()), nil
	case <-ctx.Done():
		return 0, nil, errors.Join(context.Cause(ctx), proc.Kill())
	}
}

func (p *pump) kill() error {
	if p.proc == nil {
		return nil
	}
	p.pid.Store(0)
	err := p.proc.Kill()
	p.proc = nil
	return err
}

func (p *pump) freeze() error {
	p.frozen = true
	return p.proc.Pause()
}

func (p *pump) thaw() {
	if p.proc != nil && p.frozen {
		p.frozen = false
		_ = p.proc.Continue() // one that has ended is noticed elsewhere
	}
}

// died tells that the pump ended though nobody asked it to.
func (p *pump) died() bool {
	if p.proc == nil {
		return false
	}
	select {
	case <-p.proc.Done():
		return true
	default:
		return false
	}
}

// terminate ends the pump in good order, and notes when it does not end so.
func (p *pump) terminate(w *world) {
	if p.proc == nil {
		return
	}
	proc := p.proc
	p.thaw()
	w.untilAwake(p)
	began := time.Now()
	if err := proc.Signal(syscall.SIGTERM); err != nil {
		w.violated("%s: %v", p.name, err)
	}
	timer := time.NewTimer(w.patience(termTime))
	defer timer.Stop()
	select {
	case <-proc.Done():
		if code := proc.ExitCode(); code != 0 {
			w.violated("%s: SIGTERM ends it with %d", p.name, code)
		}
	case <-timer.C:
		w.violated("%s: SIGTERM has not ended it after %s", p.name, time.Since(began).Round(time.Second))
	}
	if err := p.kill(); err != nil {
		w.violated("%s: %v", p.name, err)
	}
}

// untilAwake waits until a pump catches signals, or has ended.
func (w *world) untilAwake(p *pump) {
	for end := time.Now().Add(w.patience(giveUp)); !p.died() && time.Now().Before(end); time.Sleep(pushEvery) {
		if n, err := p.logged(awake); err != nil || n > p.before {
			return
		}
	}
}

// drainOnce drains with a single run what is left for this pump to drain, as an operator would.
func (w *world) drainOnce(ctx context.Context, p *pump) {
	began := time.Now()
	proc, err := p.command("run", "--once", "--timeout", w.patience(onceTime).String())
	if err != nil {
		w.violated("run --once: %v", err)
		return
	}
	if err := proc.Wait(ctx); proc.ExitCode() != 0 {
		w.violated("run --once ends with %d: %v", proc.ExitCode(), err)
	}
	if err := proc.Kill(); err != nil {
		w.violated("run --once: %v", err)
	}
	w.opts.log("%s drained by %s in %s", w.clock(), p.name, time.Since(began).Round(time.Millisecond))
}

// judgeLogs looks for what no fault may cause.
func (w *world) judgeLogs() error {
	for _, p := range w.pumps {
		b, err := os.ReadFile(p.log.Name())
		if err != nil {
			return err
		}
		for _, bad := range []string{"DATA RACE", "panic:", "fatal error:"} {
			if i := bytes.Index(b, []byte(bad)); i >= 0 {
				w.violated("%s: %s\n%s", p.name, bad, b[i:min(i+3000, len(b))])
			}
		}
	}
	return nil
}

// logged is how often the pump has written some words.
func (p *pump) logged(words string) (int64, error) {
	b, err := os.ReadFile(p.log.Name())
	return int64(bytes.Count(b, []byte(words))), err
}

// hurry asks the pump to end and kills it when it has not done so in time, as a supervisor does.
func (p *pump) hurry(within time.Duration) error {
	proc := p.proc
	if err := proc.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-proc.Done():
	case <-time.After(within):
	}
	return p.kill()
}
