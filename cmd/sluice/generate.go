package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/redis/rueidis"
	"github.com/spf13/cobra"

	"sluice/internal/config"
	"sluice/internal/record"
	"sluice/internal/traffic"
)

// generateOptions are the flags of generate.
type generateOptions struct {
	records  int
	rate     string
	redis    string
	format   string
	prefix   string
	seed     uint64
	poison   float64
	multiple bool
	out      *output
}

func generateCommand(e *environment) *cobra.Command {
	var o generateOptions
	c := &cobra.Command{
		Use:   "generate",
		Short: "Made-up gateway traffic into a Redis, shaped as a gateway writes it",
		Example: `  sluice generate --records 100000 --redis 127.0.0.1:6379
  sluice generate --rate 500/s --format protobuf      until it is interrupted`,
		Args: noArgs,
	}
	f := c.Flags()
	f.IntVar(&o.records, "records", 0, "how many records, then end")
	f.StringVar(&o.rate, "rate", "", "records a second on an average hour (the day has its curve, and spikes), like 500/s, until it is interrupted")
	f.StringVar(&o.redis, "redis", "127.0.0.1:6379", "host:port of the Redis, or its URL, redis://user:password@host:port/db (rediss:// for TLS)")
	f.StringVar(&o.format, "format", "msgpack", "msgpack or protobuf")
	f.StringVar(&o.prefix, "prefix", "analytics-", "what the gateways put before the names of their lists")
	f.Uint64Var(&o.seed, "seed", 1, "the same seed gives the same records, but for their times")
	f.Float64Var(&o.poison, "poison", 0, "share of payloads that cannot be decoded, 0 to 1")
	f.BoolVar(&o.multiple, "multiple", false, "spread over ten lists, as enable_multiple_analytics_keys does")
	o.out = outputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error { return e.generate(c.Context(), o) }
	return c
}

func (e *environment) generate(ctx context.Context, o generateOptions) error {
	push := traffic.PushOptions{Prefix: o.prefix, Poison: o.poison, Multiple: o.multiple}
	switch o.format {
	case "msgpack":
	case "protobuf":
		push.Format = record.Protobuf
	default:
		return usageError{fmt.Errorf("--format %q is neither msgpack nor protobuf", o.format)}
	}
	rate, err := parseRate(o.rate)
	if err != nil {
		return usageError{err}
	}
	switch {
	case rate > 0 && o.records > 0:
		return usageError{fmt.Errorf("--records and --rate exclude each other")}
	case rate == 0 && o.records <= 0:
		return usageError{fmt.Errorf("say how much: --records N or --rate N/s")}
	case o.poison < 0 || o.poison > 1:
		return usageError{fmt.Errorf("--poison %v is not between 0 and 1", o.poison)}
	}
	client, err := dialGenerated(o.redis)
	if err != nil {
		return err
	}
	defer client.Close()
	gen := traffic.New(o.seed, traffic.Options{Start: time.Now(), Rate: rate})
	p := traffic.NewPusher(client, gen, push)
	if rate > 0 {
		err = p.Run(ctx)
	} else {
		err = e.count(ctx, p, o.records)
	}
	done := p.Pushed()
	return errors.Join(err, o.out.print(e.stdout, done, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "pushed %d records and %d that cannot be decoded, %d bytes\n", done.Records, done.Poison, done.Bytes)
		return err
	}))
}

// dialGenerated connects to the Redis that traffic is made for. What it says never has the URL's password in it.
func dialGenerated(where string) (rueidis.Client, error) {
	opt := rueidis.ClientOption{InitAddress: []string{where}}
	if strings.Contains(where, "://") {
		var err error
		if opt, err = rueidis.ParseURL(where); err != nil {
			return nil, usageError{errors.New("--redis is not a URL of a Redis: write redis://user:password@host:port/db")}
		}
	} else if strings.Contains(where, "@") {
		return nil, usageError{errors.New("--redis with a user or password is a URL: write redis://user:password@host:port")}
	}
	opt.DisableCache, opt.ForceSingleClient = true, true
	client, err := rueidis.NewClient(opt)
	switch {
	case err == nil:
		return client, nil
	case strings.Contains(err.Error(), "NOAUTH"): // its own text is about HELLO
		return nil, fmt.Errorf("connect to Redis at %s: it asks for a password: give --redis as redis://user:password@host:port", opt.InitAddress[0])
	}
	return nil, fmt.Errorf("connect to Redis at %s: %w", opt.InitAddress[0], err)
}

// countStep is how many records are pushed between two looks at the progress.
const countStep = 20_000

func (e *environment) count(ctx context.Context, p *traffic.Pusher, records int) error {
	bar := newProgress("pushing", e.stderr, newLog(e.stderr, config.Log{Level: "info"}))
	defer bar.end()
	for left := records; left > 0; left -= countStep {
		if err := p.Count(ctx, min(left, countStep)); err != nil {
			return err
		}
		if done := p.Pushed(); bar.due() {
			bar.at(done.Records+done.Poison, uint64(records), "")
		}
	}
	return nil
}

// parseRate reads N or N/s; empty is 0.
func parseRate(s string) (float64, error) {
	if s == "" {
		return 0, nil
	}
	var rate float64
	rest := ""
	if n, _ := fmt.Sscanf(s, "%f%s", &rate, &rest); n == 0 || rest != "" && rest != "/s" || rate <= 0 {
		return 0, fmt.Errorf("%q is not a rate: write it like 500/s", s)
	}
	return rate, nil
}
