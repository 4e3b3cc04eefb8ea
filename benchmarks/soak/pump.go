package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"sluice/internal/testenv/launch"
)

// pump is one sluice with a state directory of its own. Only the goroutine that plays the schedule uses it.
type pump struct {
	name   string
	binary string
	config string // its file
	dir    string
	log    *os.File
	proc   *launch.Process // nil: not running, on purpose
	since  time.Time       // when it was started
	frozen bool
}

// awake is when a started program surely catches signals, also on a busy machine; before, SIGTERM just ends it.
const awake = 3 * time.Second

// termTime is what SIGTERM may take: shutdown_timeout of the configuration and some air for a busy machine.
const termTime = 20 * time.Second

func newPump(w *world, i int) (*pump, error) {
	p := &pump{name: fmt.Sprintf("pump %d", i+1), binary: w.opts.binary, dir: filepath.Join(w.opts.dir, fmt.Sprintf("pump%d", i+1))}
	p.config = filepath.Join(p.dir, "sluice.yaml")
	if err := os.Mkdir(p.dir, 0o700); err != nil {
		return nil, err
	}
	var err error
	if p.log, err = os.Create(filepath.Join(p.dir, "log")); err != nil {
		return nil, err
	}
	return p, os.WriteFile(p.config, []byte(w.configuration(p.dir)), 0o600)
}

// configuration is that of production, with times that fit a soak.
func (w *world) configuration(dir string) string {
	s := w.stores
	mongo := func(sink string) string {
		return fmt.Sprintf("uri: \"mongodb://%s/?directConnection=true&serverSelectionTimeoutMS=2000\", database: %s",
			w.ways[sink].proxy.Addr(), s.mongo.Name())
	}
	const common = "timeout: 4s, retry: {min: 50ms, max: 1s}"
	return fmt.Sprintf(`region: soak
sources:
  main: {type: redis, addrs: ["%s"], claim: {interval: 100ms, lease: %s}}
pipeline: {shutdown_timeout: 10s, accept: {past: 36500d, future: 36500d}}
state: {dir: %s}
retention: {search: {keep: 36500d}}
admin: {listen: "127.0.0.1:0"}
sinks:
  dashboard: {type: mongo-aggregate, %s, %s, track_all_paths: true, flush: 300ms}
  raw: {type: mongo-raw, %s, %s, capped_size: 16GiB}
  search: {type: opensearch, %s, urls: ["http://%s"], index: "%s-{yyyy.MM.dd}"}
  archive: {type: s3-csv, %s, bucket: %s, prefix: %s, endpoint: "http://%s", path_style: true, region: %s, access_key: %q, secret_key: %q, object: {max_age: 2s}}
`, w.ways["redis"].proxy.Addr(), lease, filepath.Join(dir, "state"),
		common, mongo("dashboard"), common, mongo("raw"), common, w.ways["search"].proxy.Addr(), s.index,
		common, s.bucket, archivePrefix, w.ways["archive"].proxy.Addr(), s3Region, s.key, s.secret)
}

func (p *pump) start() error {
	proc, err := p.command("run")
	if err != nil {
		return err
	}
	p.proc, p.since, p.frozen = proc, time.Now(), false
	return nil
}

// command starts the program with the pump's configuration; both outputs go to the pump's log.
func (p *pump) command(args ...string) (*launch.Process, error) {
	return launch.Start(launch.Command{Path: p.binary, Args: append(args, "--config", p.config), Dir: p.dir,
		Stdout: p.log, Stderr: p.log})
}

// output runs a command to its end and returns its exit code and standard output.
func (p *pump) output(ctx context.Context, args ...string) (int, []byte, error) {
	var out launch.Log
	proc, err := launch.Start(launch.Command{Path: p.binary, Args: append(args, "--config", p.config), Dir: p.dir,
		Stdout: &out, Stderr: p.log})
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
	time.Sleep(time.Until(p.since.Add(awake)))
	began := time.Now()
	if err := proc.Signal(syscall.SIGTERM); err != nil {
		w.violated("%s: %v", p.name, err)
	}
	timer := time.NewTimer(termTime)
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

// drainOnce drains what is left with a single run, as an operator would.
func (w *world) drainOnce(ctx context.Context) {
	p := w.pumps[0]
	began := time.Now()
	proc, err := p.command("run", "--once", "--timeout", "4m")
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
	w.opts.log("%s drained in %s", w.clock(), time.Since(began).Round(time.Millisecond))
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
		if err := p.log.Close(); err != nil {
			return err
		}
	}
	return nil
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
