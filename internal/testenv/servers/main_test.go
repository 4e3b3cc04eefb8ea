package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/internal/testenv"
	"sluice/internal/testenv/install"
	"sluice/internal/testenv/launch"
)

// asManager makes the test binary behave as the program under test.
const asManager = "SLUICE_SERVERS_TEST_AS_MANAGER"

func TestMain(m *testing.M) {
	if os.Getenv(asManager) == "1" {
		main()
	}
	goleak.VerifyTestMain(m)
}

// manager starts the program with the given arguments, with no server given.
func manager(t *testing.T, args ...string) (p *launch.Process, stdout, stderr *launch.Log) {
	t.Helper()
	if _, err := install.RedisServer(); err != nil {
		testenv.Unavailable(t, "no Redis to manage: %v", err)
	}
	var env []string
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "SLUICE_") && !strings.HasPrefix(pair, "CI=") && !strings.HasPrefix(pair, "TMPDIR=") {
			env = append(env, pair)
		}
	}
	env = append(env, asManager+"=1", "TMPDIR="+t.TempDir())
	stdout, stderr = &launch.Log{}, &launch.Log{}
	p, err := launch.Start(launch.Command{Path: os.Args[0], Args: args, Env: env, Stdout: stdout, Stderr: stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Kill()
		if t.Failed() {
			t.Logf("manager's output:\n%s%s", stdout, stderr)
		}
	})
	return p, stdout, stderr
}

func TestCommandSeesServersAndItsCodeIsReturned(t *testing.T) {
	p, stdout, _ := manager(t, "-only", "redis", "--", "sh", "-c", "echo $SLUICE_TEST_REDIS $SLUICE_TEST_REQUIRE; exit 42")
	wait(t, p)
	if p.ExitCode() != 42 {
		t.Fatalf("exit code %d, want 42", p.ExitCode())
	}
	addr, require, _ := strings.Cut(strings.TrimSpace(stdout.String()), " ")
	if require != "1" {
		t.Errorf("SLUICE_TEST_REQUIRE=%q, want 1", require)
	}
	mustBeClosed(t, addr)
}

func TestSignalEndsCommandAndServers(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			p, stdout, _ := manager(t, "-only", "redis", "--",
				"sh", "-c", "trap 'echo interrupted; exit 1' INT; echo $SLUICE_TEST_REDIS; while :; do sleep 0.01; done")
			addr := firstLine(t, stdout)
			// Only the manager, as a CI runner does it.
			if err := syscall.Kill(p.PID(), sig); err != nil {
				t.Fatal(err)
			}
			wait(t, p)
			if p.ExitCode() == 0 || !stdout.Contains("interrupted") {
				t.Errorf("exit code %d; want a failure and an interrupted command", p.ExitCode())
			}
			mustBeClosed(t, addr)
		})
	}
}

func TestKilledManagerTakesItsServersAlong(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux ends a child with its parent")
	}
	p, stdout, _ := manager(t, "-only", "redis", "--", "sh", "-c", "echo $SLUICE_TEST_REDIS; exec sleep 60")
	addr := firstLine(t, stdout)
	if err := syscall.Kill(p.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	wait(t, p)
	mustBeClosed(t, addr)
}

func TestWithoutCommandItPublishesAndWaits(t *testing.T) {
	file := filepath.Join(t.TempDir(), "servers.env")
	p, stdout, _ := manager(t, "-only", "redis", "-env", file)
	line := firstLine(t, stdout)
	addr := strings.Trim(strings.TrimPrefix(line, "export SLUICE_TEST_REDIS="), "'")
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatalf("no server at %q: %v", addr, err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(file)
	if err != nil || !bytes.HasPrefix(written, []byte(line)) {
		t.Errorf("file has %q, %v; want it to begin with %q", written, err, line)
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	wait(t, p)
	if p.ExitCode() != 0 {
		t.Errorf("exit code %d, want 0", p.ExitCode())
	}
	mustBeClosed(t, addr)
}

func TestServerThatDiesIsReported(t *testing.T) {
	p, stdout, stderr := manager(t, "-only", "redis")
	firstLine(t, stdout)
	eventually(t, func() bool { return stderr.Contains("ready after") })
	_, after, _ := strings.Cut(stderr.String(), "(process ")
	pid, _, _ := strings.Cut(after, ")")
	if out, err := exec.Command("kill", "-9", pid).CombinedOutput(); err != nil {
		t.Fatalf("kill %s: %v\n%s", pid, err, out)
	}
	eventually(t, func() bool { return stderr.Contains("ENDED BY ITSELF with code 137") })
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	wait(t, p)
}

func TestGivenAddressIsTakenAsItIs(t *testing.T) {
	t.Setenv(launch.EnvOpenSearch, "http://10.0.0.1:9200")
	var said bytes.Buffer
	f, err := open(t.Context(), []string{"opensearch"}, true, &reporter{out: &said})
	if err != nil {
		t.Fatal(err)
	}
	want := "export SLUICE_TEST_OPENSEARCH='http://10.0.0.1:9200'\nexport SLUICE_TEST_REQUIRE='1'\n"
	if got := f.exports(); got != want {
		t.Errorf("exports:\n%s\nwant:\n%s", got, want)
	}
	if err := f.close(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(said.String(), "as given in SLUICE_TEST_OPENSEARCH") {
		t.Errorf("said:\n%s", said.String())
	}
}

func TestWhatCannotBeHadIsSkippedAloudButNotOnABuildMachine(t *testing.T) {
	t.Setenv(launch.EnvRedis, "")
	t.Setenv("PATH", t.TempDir()) // neither Redis nor a package manager
	var said bytes.Buffer
	f, err := open(t.Context(), []string{"redis"}, false, &reporter{out: &said})
	if err != nil {
		t.Fatal(err)
	}
	if got := f.exports(); got != "" {
		t.Errorf("exports %q; a test without its server has to be able to skip", got)
	}
	if err := f.close(); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"NOT TO BE HAD", "apt-get install redis-server", "WITHOUT redis"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, said.String())
		}
	}
	_, err = open(t.Context(), []string{"redis"}, true, &reporter{out: &said})
	if err == nil || !strings.Contains(err.Error(), "redis") {
		t.Fatalf("with CI=true: %v, want an error that names redis", err)
	}
}

func TestUnknownNameIsAUsageError(t *testing.T) {
	var said bytes.Buffer
	if code := run([]string{"-only", "oracle"}, &said, &said); code != exitUsage {
		t.Fatalf("exit code %d, want %d", code, exitUsage)
	}
	if !strings.Contains(said.String(), `no "oracle"`) {
		t.Fatalf("said:\n%s", said.String())
	}
}

func firstLine(t *testing.T, log *launch.Log) string {
	t.Helper()
	eventually(t, func() bool { return log.Contains("\n") })
	line, _, _ := strings.Cut(log.String(), "\n")
	return line
}

func wait(t *testing.T, p *launch.Process) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var exit *exec.ExitError
	if err := p.Wait(ctx); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
}

func mustBeClosed(t *testing.T, addr string) {
	t.Helper()
	if _, _, err := net.SplitHostPort(addr); err != nil {
		t.Fatalf("not an address: %q", addr)
	}
	eventually(t, func() bool {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			_ = conn.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
}

func eventually(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not come")
		}
	}
}
