package main

import (
	"context"
	"io"
	"os"
	"syscall"
	"time"

	"sluice/internal/testenv/launch"
)

// commandGrace is what the command gets to end after a signal: go test then
// prints which tests were running.
const commandGrace = 15 * time.Second

// runCommand runs a command to its end and returns its exit code. When ctx
// ends first, the command is interrupted, then killed.
func runCommand(ctx context.Context, command, env []string, stdout, stderr io.Writer) (int, error) {
	p, err := launch.Start(launch.Command{
		Path: command[0], Args: command[1:], Env: append(os.Environ(), env...),
		Stdout: stdout, Stderr: stderr,
	})
	if err != nil {
		return exitFailed, err
	}
	select {
	case <-p.Done():
		return p.ExitCode(), nil
	case <-ctx.Done():
	}
	if err := p.Signal(syscall.SIGINT); err != nil {
		return exitFailed, err
	}
	timer := time.NewTimer(commandGrace)
	defer timer.Stop()
	select {
	case <-p.Done():
	case <-timer.C:
		err = p.Kill()
	}
	return max(p.ExitCode(), 1), err
}
