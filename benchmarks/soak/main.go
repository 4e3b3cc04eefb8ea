// Command soak holds sluice to its promise under fire: the built program, real servers, and faults on every way between
// them, drawn from a seed.
//
//	go run ./benchmarks/soak [-seed N] [-duration 10m] [-pumps 2] [-rate 500] [-only regexp]
//
// A generator pushes records into a Redis of the suite's own and remembers each as an obligation. Pumps drain them into
// the four stores of a production configuration, each reached through proxies of the suite only. Faults are injected
// for the given time. Then everything is healed, the rest is drained, and a judge reads every store and demands each
// obligation once and intact.
//
// It starts its own Redis. MongoDB, OpenSearch and S3 are those of the environment (`make servers`). The seed decides
// the records and the schedule of faults; what a fault meets depends on the machine's timing.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"sluice/benchmarks/sample"
)

func main() {
	o := settings{log: func(format string, args ...any) { fmt.Printf(format+"\n", args...) }}
	flag.Uint64Var(&o.seed, "seed", 0, "decides records and faults; 0: a fresh one")
	flag.DurationVar(&o.duration, "duration", 10*time.Minute, "how long faults are injected")
	flag.IntVar(&o.pumps, "pumps", 2, "how many pumps share the Redis")
	flag.IntVar(&o.rate, "rate", 500, "records a second")
	flag.DurationVar(&o.pace, "pace", 700*time.Millisecond, "mean time between the beginnings of two faults")
	only := flag.String("only", "", "inject only faults whose names match `regexp`, as in: kill -9")
	race := flag.Bool("race", false, "build the program with the race detector")
	keep := flag.String("keep", "", "`directory` for configurations, logs and state of the pumps, kept; it must not exist")
	flag.StringVar(&o.binary, "binary", "", "a built `program` to use instead of building one")
	figures := flag.String("json", "", "write the figures to `file` as well")
	flag.Parse()
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(2)
	}
	if err := command(o, *race, *keep, *figures); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func command(o settings, race bool, keep, figures string) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if o.seed == 0 {
		o.seed = rand.Uint64()
	}
	if keep != "" {
		if o.dir, err = filepath.Abs(keep); err == nil {
			err = os.Mkdir(o.dir, 0o700)
		}
	} else if o.dir, err = os.MkdirTemp("", "sluice-soak-"); err == nil {
		defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	}
	if err != nil {
		return err
	}
	if o.binary == "" {
		if o.binary, err = build(ctx, o.dir, race); err != nil {
			return err
		}
	}
	v, err := soak(ctx, o)
	if err != nil {
		return err
	}
	if figures != "" {
		b, err := json.MarshalIndent(v, "", "  ")
		if err == nil {
			err = os.WriteFile(figures, append(b, '\n'), 0o600)
		}
		if err != nil {
			return err
		}
	}
	if len(v.Violations) > 0 {
		return fmt.Errorf("the promise was broken, seed %d", o.seed)
	}
	return nil
}

func build(ctx context.Context, dir string, race bool) (string, error) {
	root, err := sample.Root()
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "sluice")
	args := []string{"build", "-o", bin}
	if race {
		args = append(args, "-race")
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "./cmd/sluice")...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build sluice: %w\n%s", err, out)
	}
	return bin, nil
}
