package redislist

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"sluice/internal/crash"
	"sluice/internal/pipeline"
	"sluice/internal/record"
)

// Retry is a dead letter that goes in again. Lineage, Position and Of tell letters apart.
type Retry struct {
	Lineage  string
	Position pipeline.Position
	Of       string // the sink that the letter names, which may stand for all
	Payload  []byte
}

// RetryList says which list a letter goes into.
type RetryList struct {
	Kind   pipeline.Kind
	Format record.Format
	Sink   string // the sink that refused it; empty: all get it
}

// markSpan is the number of indices of a claim that one field remembers: a bit for each, behind the day of the last.
const markSpan = 1024

// retryLua pushes letters that it does not remember, and remembers them: the same letter may have been kept by two pumps, or a
// command may have died before it noted that it put one back. Marks older than so many days are forgotten in the end. It has
// none of the prelude: at maxmemory it is refused, and the letters stay where they are.
// KEYS marks, list. ARGV days, then (field, bit, payload) of each letter.
const retryLua = `local day, pushed = math.floor(tonumber(redis.call('TIME')[1]) / 86400), 0
for a = 2, #ARGV, 3 do
  local at = math.floor(tonumber(ARGV[a + 1]) / 8) + 1
  local bit = 2 ^ (tonumber(ARGV[a + 1]) % 8)
  local bits = string.match(redis.call('HGET', KEYS[1], ARGV[a]) or '', '^%d+:(.*)$') or ''
  bits = bits .. string.rep('\0', at - #bits)
  local b = string.byte(bits, at)
  if math.floor(b / bit) % 2 == 0 then
    redis.call('RPUSH', KEYS[2], ARGV[a + 2])
    pushed = pushed + 1
    bits = string.sub(bits, 1, at - 1) .. string.char(b + bit) .. string.sub(bits, at + 1)
  end
  redis.call('HSET', KEYS[1], ARGV[a], string.format('%d:', day) .. bits)
end
if tonumber(ARGV[1]) > 0 then
  local marks = redis.call('HGETALL', KEYS[1])
  for i = 1, #marks, 2 do
    local d = tonumber(string.match(marks[i + 1], '^(%d+):'))
    if d and d + tonumber(ARGV[1]) < day then redis.call('HDEL', KEYS[1], marks[i]) end
  end
end
return pushed`

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

// mark is where it is remembered that a letter went in.
func (r *Retry) mark() (field, bit string) {
	p := r.Position
	return fmt.Sprintf("%s %s %s %d", r.Lineage, p.Claim, r.Of, p.Index/markSpan), strconv.Itoa(int(p.Index % markSpan))
}

// Retry pushes dead letters into a list of their own, from where they are drained with new positions, and returns how many were
// not there yet: the same letter goes in once, also when it is kept by several pumps. It may be repeated. It returns without an error
// only when as many replicas hold them as claims wait for; then they may be marked where they are kept. What went in longer ago than
// forget (0: nothing) is not remembered any more.
func (s *Source) Retry(ctx context.Context, to RetryList, letters []Retry, forget time.Duration) (pushed int, err error) {
	l, err := s.find(retryList(s.cfg.KeyPrefix, to.Kind, to.Format, to.Sink).name)
	if err != nil {
		return 0, fmt.Errorf("%w: the sink is not configured any more", err)
	}
	at, err := s.reach(ctx)
	if err != nil {
		return 0, err
	}
	defer at.close()
	err = at.on(ctx, l, func(c *control) error {
		n, err := pushRetry(ctx, c, l, letters, forget)
		pushed += n
		if err != nil {
			return err
		}
		return s.confirmRetry(ctx, c)
	})
	if err != nil {
		return pushed, fmt.Errorf("retry into list %s: %w", l.name, err)
	}
	return pushed, nil
}

func pushRetry(ctx context.Context, c *control, l list, letters []Retry, forget time.Duration) (int, error) {
	args := []string{strconv.Itoa(int(forget / (24 * time.Hour)))}
	for i := range letters {
		field, bit := letters[i].mark()
		args = append(args, field, bit, string(letters[i].Payload))
	}
	crash.Before("redis/retry")
	m, err := c.do(ctx, c.conn.B().Eval().Script(retryLua).Numkeys(2).Key(l.retriedKey(), l.name).Arg(args...).Build())
	crash.After("redis/retry")
	if err != nil {
		return 0, err
	}
	n, err := m.ToInt64()
	return int(n), err
}

// retryWaits is how many WAITs replicas have for a batch of letters: one that has just come counts as online a second before it takes
// what is written, and one that lags by a few seconds is no reason to fail a command. A drain asks again for ever.
const retryWaits = 5

// confirmRetry waits for replicas on the connection that pushed. A command knows of no others than those that are connected now.
func (s *Source) confirmRetry(ctx context.Context, c *control) (err error) {
	need := int(s.cfg.Claim.WaitReplicas)
	if s.cfg.Claim.WaitReplicas == AutoReplicas {
		m, err := c.do(ctx, c.conn.B().Info().Section("replication").Build())
		if err != nil {
			if s.cfg.Embedded && !c.failed() {
				return nil
			}
			return fmt.Errorf("INFO: %w", err)
		}
		text, err := m.ToString()
		if err != nil {
			return fmt.Errorf("INFO: %w", err)
		}
		need = onlineReplicas(text)
	}
	if need == 0 {
		return nil
	}
	got := 0
	for range retryWaits {
		if got, err = c.wait(ctx, need); err != nil || got >= need {
			return err
		}
	}
	return fmt.Errorf("%d replicas hold it, %d must: the letters stay where they are, and will not go in twice", got, need)
}
