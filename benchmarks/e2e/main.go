// Command e2e measures sluice from end to end: the built program, real servers, records of the size that gateways write.
// CPU is that of the process, user and system; ratios are to the floor program over the same list, run beside each run.
//
//	go run ./benchmarks/e2e [-only regexp] [-rounds 3] [-json file] [-compare benchmarks/baseline.json] [-profile dir]
//	  [-write-baseline benchmarks/baseline.json] [-write-goals docs/performance.md]
//
// It starts a Redis and a MongoDB of its own. OpenSearch and S3 are those of the environment: `make bench` sets it. What
// is not there is said, and its scenarios are left out.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
)

type flags struct {
	only    *regexp.Regexp
	rounds  int
	short   bool
	json    string
	compare string
	write   string
	profile string
	goals   string
}

func main() {
	var f flags
	only := flag.String("only", "", "run the scenarios whose name matches `regexp`")
	flag.IntVar(&f.rounds, "rounds", 3, "how often each is run; the median counts")
	flag.BoolVar(&f.short, "short", false, "leave out the million records and the minutes of trickle")
	flag.StringVar(&f.json, "json", "", "write the results to `file` as well")
	flag.StringVar(&f.compare, "compare", "", "compare with the ratios in `file`, and fail when one is worse beyond noise")
	flag.StringVar(&f.write, "write-baseline", "", "write the ratios to `file`")
	flag.StringVar(&f.goals, "write-goals", "", "write the goals and what was seen into the page `file`, between its marks")
	flag.StringVar(&f.profile, "profile", "", "write profiles of CPU time into `directory`, one a run")
	flag.Parse()
	var err error
	if f.only, err = regexp.Compile(*only); err == nil {
		err = measure(f)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
}

func measure(f flags) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b, err := open(ctx, func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	b.profiles = f.profile
	results, failed := b.all(ctx, f)
	if err := printTable(os.Stdout, results); err != nil {
		return err
	}
	verdicts := judge(results)
	if err := printGoals(os.Stdout, verdicts); err != nil {
		return err
	}
	if f.goals != "" {
		failed = errors.Join(failed, writeGoals(f.goals, verdicts))
	}
	return errors.Join(failed, f.keep(results))
}

// all runs what was chosen. One that fails does not keep the others from running.
func (b *bench) all(ctx context.Context, f flags) (results []result, err error) {
	for _, s := range scenarios(f) {
		if !f.only.MatchString(s.name) || ctx.Err() != nil {
			continue
		}
		r, e := s.run(ctx, b)
		if e != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", s.name, e))
			continue
		}
		results = append(results, r)
	}
	return results, errors.Join(err, ctx.Err())
}

// keep writes and compares what was asked for.
func (f flags) keep(results []result) error {
	if f.json != "" {
		if err := writeJSON(f.json, results); err != nil {
			return err
		}
	}
	if f.compare != "" {
		old, err := readBaseline(f.compare)
		if err != nil {
			return err
		}
		if bad := regressions(old, results); len(bad) > 0 {
			return fmt.Errorf("slower than the baseline:\n  %s", strings.Join(bad, "\n  "))
		}
	}
	if f.write != "" {
		return writeJSON(f.write, baselineOf(results))
	}
	return nil
}
