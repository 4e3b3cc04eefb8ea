package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"sluice/benchmarks/sample"
)

func clockCases() []scenario {
	return []scenario{{name: "host clocks stepped by an hour, in both directions", long: true, pumps: 2, shape: shape{Spool: "s3", steps: true},
		means: "the program is built with a `time.Now` whose wall clock a signal steps, while its monotonic clock goes on, as on a machine " +
			"that is set; one pump is an hour ahead, one behind, to and fro, with pumps killed meanwhile",
		run: func(ctx context.Context, w *world) error { return w.load(ctx, w.stepClocks) }}}
}

// clockPatch is what the steppable build has beyond the program: nothing of the program itself is replaced.
var clockPatch = map[string]string{
	"time": `package time

import "sync/atomic"

var soakStep atomic.Int64

// SoakStep steps the wall clock by so many seconds.
func SoakStep(seconds int64) { soakStep.Add(seconds) }
`,
	"main": `package main

import (
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func init() {
	steps := make(chan os.Signal, 8)
	signal.Notify(steps, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		for s := range steps {
			if s == syscall.SIGUSR1 {
				time.SoakStep(3600)
			} else {
				time.SoakStep(-3600)
			}
		}
	}()
}
`,
}

// The line of time.Now that is changed, and what it becomes.
const (
	nowLine     = "\tsec, nsec, mono := runtimeNow()\n\tif mono == 0 {\n"
	steppedLine = "\tsec, nsec, mono := runtimeNow()\n\tsec += soakStep.Load()\n\tif mono == 0 {\n"
)

// buildSteppable builds the program with a wall clock that SIGUSR1 sets an hour ahead and SIGUSR2 an hour back. It takes
// minutes the first time, since everything depends on the package time.
func buildSteppable(ctx context.Context, dir string) (string, error) {
	root, err := sample.Root()
	if err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("find Go: %w", err)
	}
	std := filepath.Join(strings.TrimSpace(string(out)), "src", "time")
	text, err := os.ReadFile(filepath.Join(std, "time.go"))
	if err != nil {
		return "", err
	}
	if strings.Count(string(text), nowLine) != 1 {
		return "", fmt.Errorf("%s/time.go is not as the suite knows it: look at clockPatch", std)
	}
	replace := map[string]string{}
	for name, file := range map[string]struct{ at, text string }{
		"time.go":       {filepath.Join(std, "time.go"), strings.Replace(string(text), nowLine, steppedLine, 1)},
		"soak_clock.go": {filepath.Join(std, "soak_clock.go"), clockPatch["time"]},
		"main_clock.go": {filepath.Join(root, "cmd", "sluice", "soak_clock.go"), clockPatch["main"]},
	} {
		replace[file.at] = filepath.Join(dir, name)
		if err := os.WriteFile(replace[file.at], []byte(file.text), 0o600); err != nil {
			return "", err
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	name, bin := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "sluice-clock")
	if err := os.WriteFile(name, overlay, 0o600); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-overlay", name, "-o", bin, "./cmd/sluice")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build sluice with a steppable clock: %w\n%s", err, out)
	}
	return bin, nil
}

func (w *world) stepClocks(ctx context.Context) error {
	for i := range 8 {
		if err := w.pause(ctx, 2*time.Second); err != nil {
			return err
		}
		for j, p := range w.pumps {
			step, kind := syscall.SIGUSR1, "an hour ahead"
			if (i+j)%2 == 1 {
				step, kind = syscall.SIGUSR2, "an hour back"
			}
			if err := w.wait(ctx, p); err != nil {
				return err
			}
			before, err := p.clock(ctx)
			if err != nil {
				return err
			}
			if err := p.proc.Signal(step); err != nil {
				return err
			}
			moved := int64(0)
			err = w.await(ctx, "the clock has moved", func() (bool, error) {
				now, err := p.clock(ctx)
				if d := now.Sub(before); d > 50*time.Minute || d < -50*time.Minute {
					moved = 1
				}
				return moved == 1, err
			})
			w.count(kind, moved)
			if err != nil {
				return err
			}
		}
		if i%3 == 2 { // a new process has the right clock again
			p := w.pumps[i/3%len(w.pumps)]
			if err := errors.Join(w.catch(ctx, "kill -9"), p.kill()); err != nil {
				return err
			}
			if err := w.pause(ctx, lease+time.Second); err != nil {
				return err
			}
			if err := p.start(); err != nil {
				return err
			}
		}
	}
	return w.pause(ctx, 2*lease)
}

// wait is until the pump serves its console: then it also catches signals.
func (w *world) wait(ctx context.Context, p *pump) error {
	return w.await(ctx, p.name+" serves", func() (bool, error) {
		_, err := p.clock(ctx)
		return err == nil, err
	})
}

// clock is what the pump takes the time to be.
func (p *pump) clock(ctx context.Context) (time.Time, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.admin+"/live", nil)
	if err != nil {
		return time.Time{}, err
	}
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		return time.Time{}, err
	}
	defer a.Body.Close()
	return http.ParseTime(a.Header.Get("Date"))
}
