// Command gotest runs `go test` with the given arguments, prints what go test
// prints, and ends with a summary that names every test that was skipped. With
// CI=true a skipped test is a failure.
//
//	go run ./internal/testenv/gotest -race ./...
//
// With -race and no C compiler, which the race detector needs, it runs without
// the detector and says so; with CI=true that is a failure too.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"sluice/internal/testenv/install"
)

func main() {
	os.Exit(run(os.Args[1:], os.Getenv("CI") == "true", os.Stdout, os.Stderr))
}

func run(args []string, strict bool, stdout, stderr io.Writer) int {
	// go test is in the same process group: it gets the signal as well, ends,
	// and its last words are still worth printing.
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(interrupted)

	var note string
	if i := slices.Index(args, "-race"); i >= 0 {
		in := &install.Installer{Progress: func(line string) { fmt.Fprintln(stderr, "gotest:", line) }}
		if err := in.CCompiler(context.Background()); err != nil {
			note = fmt.Sprintf("WITHOUT the race detector: %v", err)
			if strict {
				fmt.Fprintln(stderr, "gotest:", note)
				return 1
			}
			args = slices.Delete(slices.Clone(args), i, i+1)
		}
	}
	began := time.Now()
	results, err := goTest(args, stdout, stderr)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		fmt.Fprintln(stderr, "gotest:", err)
		return 1
	}
	fmt.Fprint(stdout, results.summary(time.Since(began), note, strict))
	if err != nil || results.failed() || strict && len(results.skipped) > 0 {
		return 1
	}
	return 0
}

// raceOptions adds to the options of the race detector that a program does not
// wait a second before it exits, which is its default: every test binary and
// every program that a test starts would, a thousand times in a run, for
// goroutines that have had their end.
func raceOptions(given string) string {
	const wait = "atexit_sleep_ms"
	if strings.Contains(given, wait) {
		return given
	}
	return strings.TrimSpace(given + " " + wait + "=0")
}

// goTest runs go test to its end. An error of type *exec.ExitError says that
// tests failed.
func goTest(args []string, stdout, stderr io.Writer) (*results, error) {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr, cmd.Env = stderr, append(os.Environ(), "GORACE="+raceOptions(os.Getenv("GORACE")))
	events, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("read from go test: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start go test: %w", err)
	}
	results := newResults(stdout)
	if err := results.read(events); err != nil {
		return nil, errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	return results, cmd.Wait()
}
