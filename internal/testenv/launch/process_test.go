package launch

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shell starts a script.
func shell(t *testing.T, script string) (*Process, *Log) {
	t.Helper()
	var log Log
	p, err := Start(Command{Path: "sh", Args: []string{"-c", script}, Stdout: &log, Stderr: &log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Kill() })
	return p, &log
}

func TestWaitGivesExitCodeAndOutput(t *testing.T) {
	p, log := shell(t, "echo out; echo err >&2; exit 7")
	err := p.Wait(t.Context())
	var exit *exec.ExitError
	if !errors.As(err, &exit) || p.ExitCode() != 7 {
		t.Fatalf("Wait: %v, code %d; want an ExitError and 7", err, p.ExitCode())
	}
	if got := log.String(); got != "out\nerr\n" {
		t.Fatalf("output %q", got)
	}
}

func TestKillReportsSignalAndIsIdempotent(t *testing.T) {
	p, _ := shell(t, "sleep 60")
	if p.ExitCode() != -1 {
		t.Fatalf("a running process has exit code %d", p.ExitCode())
	}
	for range 2 {
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	if got := p.ExitCode(); got != 128+int(syscall.SIGKILL) {
		t.Fatalf("exit code %d", got)
	}
}

func TestStopContinuesAPausedProcess(t *testing.T) {
	p, log := shell(t, "trap 'echo asked; exit 0' TERM; echo up; while :; do sleep 0.01; done")
	waitFor(t, func() bool { return log.Contains("up") })
	if err := p.Pause(); err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	if p.ExitCode() != 0 || !log.Contains("asked") {
		t.Fatalf("code %d, output %q; want an end in good order", p.ExitCode(), log.String())
	}
}

func TestStopKillsWhoDoesNotObey(t *testing.T) {
	p, log := shell(t, "trap '' TERM; echo up; while :; do sleep 0.01; done")
	waitFor(t, func() bool { return log.Contains("up") })
	if err := p.Stop(50 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if got := p.ExitCode(); got != 128+int(syscall.SIGKILL) {
		t.Fatalf("exit code %d", got)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	p, _ := shell(t, "sleep 60")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := p.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Wait: %v", err)
	}
}

func TestStartFailsForAMissingProgram(t *testing.T) {
	_, err := Start(Command{Path: filepath.Join(t.TempDir(), "nothing")})
	if !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("Start: %v", err)
	}
}

func TestServerThatEndsAtOnceIsAnErrorWithItsLog(t *testing.T) {
	command := func(int) Command {
		return Command{Path: "sh", Args: []string{"-c", "echo no such setting; exit 3"}}
	}
	began := time.Now()
	_, err := startServer(t.Context(), command, func(context.Context, *Server) error { return errNotReady })
	if err == nil || !strings.Contains(err.Error(), "code 3") || !strings.Contains(err.Error(), "no such setting") {
		t.Fatalf("startServer: %v", err)
	}
	if took := time.Since(began); took > startTimeout/2 {
		t.Fatalf("it took %v to notice", took)
	}
}

func TestServerTriesAnotherPortWhenOneIsTaken(t *testing.T) {
	marker := filepath.Join(t.TempDir(), "tried")
	command := func(int) Command {
		script := "if [ -e " + marker + " ]; then echo ready; exec sleep 60; fi; touch " + marker + "; echo address already in use; exit 1"
		return Command{Path: "sh", Args: []string{"-c", script}}
	}
	ready := func(_ context.Context, s *Server) error {
		if s.Log.Contains("ready\n") {
			return nil
		}
		return errNotReady
	}
	s, err := startServer(t.Context(), command, ready)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not come")
		}
	}
}
