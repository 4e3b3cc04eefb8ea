// Command bus measures what a record costs on its way through Kafka, in CPU time, against the number of workers and partitions:
//
//	make servers            # prints what to source in another shell; with Redis and Kafka
//	go run ./benchmarks/bus -records 50000 -partitions 1,4,12 -workers 1,2,4
//
// For each number of partitions made-up traffic is put into Redis and sent into a topic of its own by an edge; then each number of
// workers, each in a consumer group of its own kind, feeds `discard` from the whole topic. CPU is user and system time of the
// processes, so that the figures stand on a machine that others use as well; the clock is not shown.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bus:", err)
		os.Exit(1)
	}
}

type bench struct {
	dir, program, redis, broker string
	records                     int
	compression                 string
}

func run(ctx context.Context, args []string, out io.Writer) error {
	set := flag.NewFlagSet("bus", flag.ContinueOnError)
	b := bench{redis: os.Getenv("SLUICE_TEST_REDIS"), broker: os.Getenv("SLUICE_TEST_KAFKA")}
	set.IntVar(&b.records, "records", 50_000, "records of each topic")
	set.StringVar(&b.compression, "compression", "zstd", "of the topic's batches")
	partitions := set.String("partitions", "1,4,12", "numbers of partitions")
	workers := set.String("workers", "1,2,4", "numbers of workers")
	if err := set.Parse(args); err != nil {
		return err
	}
	if b.redis == "" || b.broker == "" {
		return errors.New("SLUICE_TEST_REDIS and SLUICE_TEST_KAFKA are not set: run `make servers` and source what it prints")
	}
	parts, err := numbers(*partitions)
	if err != nil {
		return err
	}
	crew, err := numbers(*workers)
	if err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "sluice-bus-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	b.program = filepath.Join(b.dir, "sluice")
	if text, err := exec.CommandContext(ctx, "go", "build", "-o", b.program, "./cmd/sluice").CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, text)
	}
	fmt.Fprintf(out, "%d records, %s; us of CPU a record\n\n| partitions | edge |", b.records, b.compression)
	for _, n := range crew {
		fmt.Fprintf(out, " %d workers |", n)
	}
	fmt.Fprintf(out, "\n| --- | --- |%s\n", strings.Repeat(" --- |", len(crew)))
	for _, p := range parts {
		if err := b.row(ctx, out, p, crew); err != nil {
			return err
		}
	}
	return nil
}

func numbers(text string) (out []int, err error) {
	for _, part := range strings.Split(text, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is no list of numbers", text)
		}
		out = append(out, n)
	}
	return out, nil
}

// row measures one number of partitions.
func (b *bench) row(ctx context.Context, out io.Writer, partitions int, crew []int) error {
	name := fmt.Sprintf("sluice-bus-%08x", rand.Uint32())
	file := b.file(name, partitions, name, "edge")
	if _, err := b.cpu(ctx, "generate", "--redis", b.redis, "--prefix", name+"-", "--records", strconv.Itoa(b.records), "--seed", "7"); err != nil {
		return err
	}
	edge, err := b.cpu(ctx, "run", "--once", "--role", "edge", "--config", file)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "| %d | %s |", partitions, b.perRecord(edge))
	for _, n := range crew {
		group := fmt.Sprintf("%s-%d", name, n)
		var wg sync.WaitGroup
		spent, errs := make([]time.Duration, n), make([]error, n)
		for i := range n {
			wg.Go(func() {
				spent[i], errs[i] = b.cpu(ctx, "run", "--once", "--role", "worker", "--config", b.file(name, partitions, group, fmt.Sprintf("worker%d-%d", n, i)))
			})
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
		var all time.Duration
		for _, d := range spent {
			all += d
		}
		fmt.Fprintf(out, " %s |", b.perRecord(all))
	}
	_, err = fmt.Fprintln(out)
	return err
}

func (b *bench) perRecord(d time.Duration) string {
	return strconv.FormatFloat(float64(d.Microseconds())/float64(b.records), 'f', 1, 64)
}

// cpu runs the program and tells what CPU time it took.
func (b *bench) cpu(ctx context.Context, args ...string) (time.Duration, error) {
	c := exec.CommandContext(ctx, b.program, args...)
	text, err := c.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("sluice %s: %w\n%s", strings.Join(args, " "), err, text)
	}
	return c.ProcessState.UserTime() + c.ProcessState.SystemTime(), nil
}

// file writes the configuration of one process.
func (b *bench) file(topic string, partitions int, group, state string) string {
	name := filepath.Join(b.dir, topic+"-"+state+".yaml")
	text := fmt.Sprintf(`region: bench
sources:
  main: {type: redis, addrs: ["%s"], key_prefix: %s-, uptime: false}
  bus: {type: kafka, brokers: ["%s"], topic: %s, group: %s}
sinks:
  topic: {type: kafka, brokers: ["%s"], topic: %s, partitions: %d, replication: 1, compression: %s}
  nowhere: {type: discard}
pipeline: {accept: {past: 36500d, future: 36500d}}
state: {dir: %s}
admin: {listen: 127.0.0.1:0}
log: {level: error}
`, b.redis, topic, b.broker, topic, group, b.broker, topic, partitions, b.compression, filepath.Join(b.dir, topic+"-"+state))
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		return name // the program says that it is not there
	}
	return name
}
