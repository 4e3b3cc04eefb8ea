package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// usage is what a process cost.
type usage struct {
	wall time.Duration
	cpu  time.Duration // user and system, of the process itself
	rss  int64         // the peak, in bytes

	allocations allocations // of sluice; what the floor allocates is not asked
}

// allocations are those of the Go heap, of a program built with the tag measured.
type allocations struct {
	Count uint64 `json:"mallocs"`
	Bytes uint64 `json:"bytes"`
}

const measuredFile = "measured.json"

// child is a process that is being measured.
type child struct {
	cmd     *exec.Cmd
	out     bytes.Buffer
	errs    bytes.Buffer
	started time.Time
	done    chan struct{}
	err     error
	peak    int64 // written by watch, valid once done is closed
}

// samplePeriod is how often the peak of memory is read. The kernel keeps it, so that none is missed but in the last moment;
// ru_maxrss would do no better, since it begins with the memory of the parent.
const samplePeriod = 10 * time.Millisecond

func start(ctx context.Context, dir, bin string, env []string, args ...string) (*child, error) {
	c := &child{cmd: exec.CommandContext(ctx, bin, args...), done: make(chan struct{})}
	c.cmd.Dir, c.cmd.Env = dir, append(append(os.Environ(), "BENCH_MEASURED="+measuredFile), env...)
	c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.errs
	c.started = time.Now()
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", bin, err)
	}
	ended := make(chan struct{})
	go func() {
		c.err = c.cmd.Wait()
		close(ended)
	}()
	go c.watch(ended)
	return c, nil
}

func (c *child) watch(ended <-chan struct{}) {
	defer close(c.done)
	tick := time.NewTicker(samplePeriod)
	defer tick.Stop()
	for {
		if v := status(c.cmd.Process.Pid, "VmHWM"); v > 0 {
			c.peak = v
		}
		select {
		case <-ended:
			return
		case <-tick.C:
		}
	}
}

// wait returns what the process cost once it has ended; an exit code other than 0 is an error with its last words.
func (c *child) wait() (usage, error) {
	<-c.done
	wall := time.Since(c.started)
	if c.err != nil {
		return usage{}, fmt.Errorf("%s: %w\n%s", c.cmd.Path, c.err, tail(c.errs.String()))
	}
	st := c.cmd.ProcessState
	u := usage{wall: wall, cpu: st.UserTime() + st.SystemTime(), rss: c.peak}
	data, err := os.ReadFile(filepath.Join(c.cmd.Dir, measuredFile))
	if errors.Is(err, fs.ErrNotExist) {
		return u, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &u.allocations)
	}
	return u, err
}

// end asks the process to end and returns what it cost.
func (c *child) end() (usage, error) {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return usage{}, err
	}
	return c.wait()
}

// kill ends the process at once.
func (c *child) kill() {
	_ = c.cmd.Process.Kill() // it may have ended already
	<-c.done
}

func (c *child) cpu() time.Duration { return cpuOf(c.cmd.Process.Pid) }
func (c *child) rss() int64         { return status(c.cmd.Process.Pid, "VmRSS") }

func tail(s string) string { return s[max(0, len(s)-2000):] }

// status reads a size from /proc/PID/status, in bytes; 0 when there is none.
func status(pid int, field string) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return n << 10
		}
	}
	return 0
}

// tickHz is the unit of /proc/PID/stat, 100 on every Linux that Go runs on.
const tickHz = 100

// cpuOf is the CPU time of a process so far.
func cpuOf(pid int) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(f[11], 10, 64)
	system, _ := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * time.Second / tickHz
}
