// Command servers gets and starts the real servers that tests and benchmarks
// run against, and ends them afterwards.
//
//	go run ./internal/testenv/servers [-only redis,mongo] [-env FILE] [-- command args...]
//
// With a command it runs it with the addresses in SLUICE_TEST_* variables, ends
// the servers when it is done, and exits with its code. Without one it prints
// the variables as export lines and waits for SIGINT or SIGTERM.
//
// A server whose variable is set already is taken as it is. What cannot be had
// is said, with the cure, and left out; with CI=true that is an error.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// The exit codes of this program's own failures, apart from those that
// ordinary commands have.
const (
	exitUsage  = 2
	exitFailed = 125
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

type options struct {
	only    []string
	envFile string
	command []string
}

func run(args []string, stdout, stderr io.Writer) int {
	opts, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()

	f, err := open(ctx, opts.only, os.Getenv("CI") == "true", &reporter{out: stderr})
	if err != nil {
		fmt.Fprintf(stderr, "servers: %v\n", err)
		return exitFailed
	}
	code, err := serve(ctx, opts, f, stdout, stderr)
	if err := errors.Join(err, f.close()); err != nil {
		fmt.Fprintf(stderr, "servers: %v\n", err)
		if code == 0 {
			code = exitFailed
		}
	}
	return code
}

func parse(args []string, stderr io.Writer) (options, error) {
	set := flag.NewFlagSet("servers", flag.ContinueOnError)
	set.SetOutput(stderr)
	var o options
	only := set.String("only", "", "comma-separated `names` of what to start (default: "+strings.Join(names(), ",")+")")
	set.StringVar(&o.envFile, "env", "", "write the export lines to `file` when all servers are up")
	if err := set.Parse(args); err != nil {
		return o, err
	}
	o.command = set.Args()
	if *only == "" {
		o.only = names()
		return o, nil
	}
	o.only = strings.Split(*only, ",")
	for _, name := range o.only {
		if _, ok := find(name); !ok {
			fmt.Fprintf(stderr, "servers: there is no %q; there are %s\n", name, strings.Join(names(), ", "))
			return o, errors.New("unknown name")
		}
	}
	return o, nil
}

// serve publishes the addresses and runs the command, or waits for a signal.
func serve(ctx context.Context, o options, f *fleet, stdout, stderr io.Writer) (int, error) {
	if o.envFile != "" {
		if err := writeFile(o.envFile, f.exports()); err != nil {
			return exitFailed, err
		}
	}
	if len(o.command) > 0 {
		return runCommand(ctx, o.command, f.environ(), stdout, stderr)
	}
	if _, err := io.WriteString(stdout, f.exports()); err != nil {
		return exitFailed, fmt.Errorf("print the addresses: %w", err)
	}
	<-ctx.Done()
	return 0, nil
}
