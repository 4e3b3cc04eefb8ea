package testenv

import (
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// asHelper makes the test binary a program for the tests to start.
const asHelper = "SLUICE_TESTENV_AS_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(asHelper) == "1" {
		helper()
	}
	goleak.VerifyTestMain(m)
}

// helper says that it is up and exits with 5 when it is asked to end.
func helper() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	fmt.Println("up")
	fmt.Fprintln(os.Stderr, "arguments:", strings.Join(os.Args[1:], " "))
	<-asked
	os.Exit(5)
}

func startHelper(t *testing.T) *Process {
	t.Helper()
	p := Start(t, os.Args[0], []string{"one", "two"}, []string{asHelper + "=1"})
	p.WaitFor("arguments: one two")
	return p
}

func TestTerminatedProcessEndsByItself(t *testing.T) {
	p := startHelper(t)
	if p.ExitCode() != -1 {
		t.Fatalf("running, with exit code %d", p.ExitCode())
	}
	p.Terminate()
	if got := p.Wait(); got != 5 {
		t.Fatalf("exit code %d, want 5", got)
	}
	if p.Stdout() != "up\n" || p.Stderr() != "arguments: one two\n" {
		t.Fatalf("stdout %q, stderr %q", p.Stdout(), p.Stderr())
	}
}

func TestKilledProcessHasNoSay(t *testing.T) {
	p := startHelper(t)
	p.Kill()
	if got := p.Wait(); got != 128+int(syscall.SIGKILL) {
		t.Fatalf("exit code %d", got)
	}
	p.Kill() // once more does no harm
}

func TestPausedProcessObeysOnceContinued(t *testing.T) {
	p := startHelper(t)
	p.Pause()
	p.Terminate()
	select {
	case <-p.Done():
		t.Fatal("a paused process obeyed")
	case <-time.After(100 * time.Millisecond):
	}
	p.Continue()
	if got := p.Wait(); got != 5 {
		t.Fatalf("exit code %d, want 5", got)
	}
}

func TestKillAfterStaysWithinItsBounds(t *testing.T) {
	p := startHelper(t)
	const least, most = 20 * time.Millisecond, 60 * time.Millisecond
	began := time.Now()
	d := p.KillAfter(least, most)
	if d < least || d >= most || time.Since(began) < d {
		t.Fatalf("killed after %v, said %v", time.Since(began), d)
	}
	if got := p.ExitCode(); got != 128+int(syscall.SIGKILL) {
		t.Fatalf("exit code %d", got)
	}
}

func TestKillAfterLeavesAnEndedProcessAlone(t *testing.T) {
	p := startHelper(t)
	p.Terminate()
	began := time.Now()
	p.KillAfter(time.Minute, time.Minute)
	if p.ExitCode() != 5 || time.Since(began) > 30*time.Second {
		t.Fatalf("exit code %d after %v", p.ExitCode(), time.Since(began))
	}
}

func TestBuildMakesAProgramOfTheTestsOwn(t *testing.T) {
	const pkg = "./internal/testenv/servers"
	first, second := build(t, pkg, Race, ""), build(t, pkg, Race, "")
	if first == second {
		t.Fatal("two builds have one path")
	}
	p := Start(t, first, []string{"-h"}, nil)
	if got := p.Wait(); got != 0 {
		t.Fatalf("exit code %d", got)
	}
	p.WaitFor("-env")
}
