package redislist

import (
	"context"
	"fmt"
	"slices"

	"sluice/internal/crash"
	"sluice/internal/pipeline"
	"sluice/internal/record"
)

// Retry is a dead letter that goes in again.
type Retry struct {
	Kind    pipeline.Kind
	Format  record.Format
	Sink    string // the sink that refused it; empty: all get it
	Key     string // tells letters apart: the same one goes in once, until Retried
	Payload []byte
}

// retryLua pushes a payload unless its key is remembered. It has none of the prelude: at maxmemory it is refused, and
// the letter stays where it is.
const retryLua = `if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  redis.call('RPUSH', KEYS[2], ARGV[2])
  redis.call('HSET', KEYS[1], ARGV[1], '1')
end
return 1`

// owed is what a claim of the list made now owes.
func (l list) owed(d pipeline.Drain) pipeline.Owed {
	o := d.Owes(l.kind)
	if l.only == "" {
		return o
	}
	if !slices.Contains(o.Sinks, l.only) {
		return pipeline.Owed{}
	}
	o.Sinks = []string{l.only}
	o.Local = slices.Contains(o.LocalSinks, l.only)
	return o
}

// retriedKey remembers which letters went in.
func (l list) retriedKey() string { return l.registry() + ":retried" }

// Retry pushes a dead letter into a list of its own, from where it is drained with a new position. It may be repeated.
func (s *Source) Retry(ctx context.Context, r Retry) error { return s.retry(ctx, r, pushRetry) }

// Retried forgets that the letter went in, once it is marked where it is kept.
func (s *Source) Retried(ctx context.Context, r Retry) error { return s.retry(ctx, r, forgetRetry) }

func pushRetry(ctx context.Context, c *control, l list, r Retry) error {
	crash.Before("redis/retry")
	_, err := c.do(ctx, c.conn.B().Eval().Script(retryLua).Numkeys(2).Key(l.retriedKey(), l.name).
		Arg(r.Key, string(r.Payload)).Build())
	crash.After("redis/retry")
	return err
}

func forgetRetry(ctx context.Context, c *control, l list, r Retry) error {
	crash.Before("redis/retried")
	_, err := c.do(ctx, c.conn.B().Hdel().Key(l.retriedKey()).Field(r.Key).Build())
	crash.After("redis/retried")
	return err
}

func (s *Source) retry(ctx context.Context, r Retry, f func(context.Context, *control, list, Retry) error) error {
	l, err := s.find(retryList(s.cfg.KeyPrefix, r.Kind, r.Format, r.Sink).name)
	if err != nil {
		return fmt.Errorf("%w: the sink is not configured any more", err)
	}
	at, err := s.reach(ctx)
	if err != nil {
		return err
	}
	defer at.close()
	if err := at.on(ctx, l, func(c *control) error { return f(ctx, c, l, r) }); err != nil {
		return fmt.Errorf("retry into list %s: %w", l.name, err)
	}
	return nil
}
