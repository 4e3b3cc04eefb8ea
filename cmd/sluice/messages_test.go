package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"sluice/sources/redislist"
)

// bareConfig writes a configuration with one sink that keeps nothing, and returns its file and the state directory, which
// is not there.
func bareConfig(t *testing.T, redis string) (file, state string) {
	t.Helper()
	dir := t.TempDir()
	file, state = filepath.Join(dir, "sluice.yaml"), filepath.Join(dir, "state")
	text := fmt.Sprintf("region: r\nsources:\n  main:\n    type: redis\n    addrs: [%q]\nstate:\n  dir: %s\nadmin:\n"+
		"  listen: 127.0.0.1:0\nsinks:\n  none:\n    type: discard\n", redis, state)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, state
}

// closedPort is an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// A look at the dead letters makes no state directory: it would belong to the user who looked, not to the pump.
func TestLookingAtDeadLettersMakesNothing(t *testing.T) {
	file, state := bareConfig(t, "127.0.0.1:1")
	for _, command := range []string{"list", "export"} {
		if code, _, stderr := runs(t, "deadletters", command, "--config", file); code != exitDone {
			t.Errorf("%s: exit code %d, %s", command, code, stderr)
		}
	}
	if _, err := os.Stat(state); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the state directory: %v", err)
	}
	if err := os.WriteFile(state, nil, 0o600); err != nil { // a directory that cannot be read has no answer
		t.Fatal(err)
	}
	if code, stdout, stderr := runs(t, "deadletters", "list", "--config", file); code != exitFailed || stdout != "" {
		t.Errorf("unreadable: exit code %d, %s%s", code, stdout, stderr)
	}
}

func TestStateDirectoryThatCannotBeMadeNamesTheCure(t *testing.T) {
	file, state := bareConfig(t, "127.0.0.1:1")
	if err := os.WriteFile(state, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := runs(t, "run", "--config", file)
	if code != exitUsage || !strings.Contains(stderr, "state.dir") || !strings.Contains(stderr, "may write to") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

// A single run that reaches no Redis says so, and not only that something remains.
func TestSingleRunWithoutRedisNamesTheSource(t *testing.T) {
	file, _ := bareConfig(t, closedPort(t))
	code, _, stderr := runs(t, "run", "--once", "--timeout", "1s", "--config", file)
	last := stderr[strings.LastIndex(strings.TrimSpace(stderr), "\n")+1:]
	if code != exitFailed || !strings.Contains(last, "source main (not connected: ") {
		t.Errorf("exit code %d, %s", code, last)
	}
}

func TestReleaseOfNothingSaysSo(t *testing.T) {
	for want, r := range map[string]released{
		"waits for no state directory": {Source: "main", List: "l"},
		"owes sink gone nothing":       {Source: "main", List: "l", Sink: "gone"},
		"no longer waits":              {Source: "main", List: "l", Home: "abc"},
		"3 records of list l will":     {Source: "main", List: "l", Sink: "gone", Records: 3},
	} {
		var b strings.Builder
		if err := writeReleased(&b, []released{r}); err != nil || !strings.Contains(b.String(), want) {
			t.Errorf("%+v: %q, %v", r, b.String(), err)
		}
	}
}

func TestAuditSaysWhatWaitsInLists(t *testing.T) {
	a := &audit{Balanced: true, Sources: map[string][]redislist.ListAudit{"main": {{List: "l", Waiting: 7}}}}
	var b strings.Builder
	if err := a.text(&b); err != nil || !strings.Contains(b.String(), "7 records wait in lists") {
		t.Errorf("%q, %v", b.String(), err)
	}
}

func TestAlarmOfHistoryIsReadable(t *testing.T) {
	e := &engine{}
	e.wentBack(redislist.WentBack{List: "l", From: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)})
	e.wentBack(redislist.WentBack{List: "m"})
	if got := strings.Join(e.alarms, "\n"); !strings.Contains(got, "l: records since 2026-01-02T03:04:05Z") ||
		!strings.Contains(got, "m: records since an unknown time") {
		t.Error(got)
	}
}

// Traffic can be made for a Redis with a password, and no message shows it.
func TestGenerateIntoRedisWithPassword(t *testing.T) {
	m := miniredis.RunT(t)
	m.RequireAuth("hush-hush")
	if code, stdout, stderr := runs(t, "generate", "--records", "3", "--redis", "redis://:hush-hush@"+m.Addr()); code != exitDone ||
		!strings.Contains(stdout, "pushed 3 records") {
		t.Errorf("exit code %d, %s%s", code, stdout, stderr)
	}
	for _, where := range []string{m.Addr(), ":hush-hush@" + m.Addr(), "redis://:hush-hush@" + closedPort(t), "gopher://:hush-hush@x"} {
		code, _, stderr := runs(t, "generate", "--records", "3", "--redis", where)
		if code == exitDone || strings.Contains(stderr, "hush") {
			t.Errorf("%s: exit code %d, %s", where, code, stderr)
		}
	}
}

// A demo whose console has no address ends: without it there is nothing to see.
func TestDemoNeedsItsAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	code, stdout, stderr := runs(t, "demo", "--records", "10", "--listen", l.Addr().String())
	if code != exitUsage || !strings.Contains(stderr, "--listen") || strings.Contains(stdout, "console:") {
		t.Errorf("exit code %d, %s%s", code, stdout, stderr)
	}
}
