// Command soak holds sluice to its promise under fire: the built program, real servers, and faults on every way between
// them, drawn from a seed.
//
//	go run ./benchmarks/soak [-seed N] [-duration 10m] [-pumps 2] [-rate 500] [-only regexp]
//	go run ./benchmarks/soak -list
//	go run ./benchmarks/soak -case regexp       directed cases: one fault each, met on purpose
//	go run ./benchmarks/soak ... -report benchmarks/soak/results.jsonl
//	go run ./benchmarks/soak -figures           writes docs/guarantees.md anew from these results
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
	report := flag.String("report", "", "append the results to `file`, one JSON object a line")
	cases := flag.String("case", "", "run the directed cases whose names match `regexp` in place of a schedule; . for all")
	list := flag.Bool("list", false, "list the kinds of faults and the directed cases")
	figures := flag.Bool("figures", false, "render the tables of docs/guarantees.md from the kept results")
	flag.Parse()
	err := func() (err error) {
		if o.only, err = pattern(*only); err != nil {
			return err
		}
		names, err := pattern(*cases)
		switch {
		case err != nil:
			return err
		case *list:
			return writeList(os.Stdout)
		case *figures:
			return writeFigures()
		}
		return command(o, names, *race, *keep, *report)
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// pattern compiles what a flag gives; nil for nothing.
func pattern(text string) (*regexp.Regexp, error) {
	if text == "" {
		return nil, nil
	}
	return regexp.Compile(text)
}

func command(o settings, names *regexp.Regexp, race bool, keep, report string) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
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
	o.race = race
	if o.seed == 0 {
		o.seed = rand.Uint64()
	}
	if names == nil {
		o.shape = drawn(o.seed)
		v, err := soak(ctx, o)
		return errors.Join(err, judged(v), keepResult(report, v, err))
	}
	for i, c := range chosen(names) {
		o := o
		if o.dir = filepath.Join(o.dir, fmt.Sprintf("case%d", i+1)); os.Mkdir(o.dir, 0o700) != nil {
			return fmt.Errorf("make %s", o.dir)
		}
		o.log("=== %s", c.name)
		v, e := direct(ctx, c, o)
		err = errors.Join(err, e, judged(v), keepResult(report, v, e))
	}
	return err
}

// judged is an error when a promise was broken.
func judged(v verdict) error {
	if len(v.Violations) == 0 {
		return nil
	}
	return fmt.Errorf("the promise was broken, %s seed %d", v.Case, v.Seed)
}

// keepResult appends what came of a run that could be carried out, whatever it was.
func keepResult(file string, v verdict, failed error) error {
	if file == "" || failed != nil {
		return nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	return errors.Join(err, f.Close())
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
