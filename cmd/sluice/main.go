// Command sluice moves the API analytics that Tyk gateways leave in Redis into the stores where people use them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"sluice/internal/config"
)

// Exit codes, fixed by the command-line contract.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ended := measured()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	ended()
	os.Exit(code)
}

// execute runs one command line and returns its exit code.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	e := &environment{env: os.Environ(), stdout: stdout, stderr: stderr, clean: func(s string) string { return s }}
	root := newRoot(e)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	strictCompletion(root)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	var quiet silentError
	if !errors.As(err, &quiet) {
		fmt.Fprintln(stderr, "sluice:", e.clean(err.Error()))
	}
	return exitCode(err)
}

// usageError is a command line or configuration that cannot be right.
type usageError struct{ err error }

func (u usageError) Error() string { return u.err.Error() }
func (u usageError) Unwrap() error { return u.err }

// silentError ends a command whose output has said everything already.
type silentError struct{}

func (silentError) Error() string { return "failed" }

func exitCode(err error) int {
	var usage usageError
	var cfg *config.Error
	if errors.As(err, &usage) || errors.As(err, &cfg) {
		return exitUsage
	}
	return exitFailed
}
