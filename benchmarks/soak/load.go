package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/redis/rueidis"

	"sluice/internal/record"
	"sluice/internal/traffic"
)

// generator pushes made-up records into lists as gateways do, and remembers what is owed for them.
type generator struct {
	client  rueidis.Client
	traffic *traffic.Generator
	rnd     *rand.Rand
	debts   *debts
	pushes  int // done so far
	made    int // records
}

const (
	list = "analytics-tyk-system-analytics"
	// pushedKey holds the number of the last push that Redis has.
	pushedKey = "soak:pushed"
	pushEvery = 50 * time.Millisecond

	poisonShare = 0.04 // of the pushes
	repeatShare = 0.06 // of the pushes
)

// firstRecord is when the made-up records begin: close to midnight, so that they spread over hours and two days. It does
// not depend on the clock.
var firstRecord = time.Date(2026, 3, 14, 22, 40, 0, 0, time.UTC)

func newGenerator(client rueidis.Client, seed uint64) *generator {
	return &generator{client: client, traffic: traffic.New(seed, traffic.Options{}), rnd: rand.New(rand.NewPCG(seed, 0x10ad)),
		debts: newDebts()}
}

// run pushes until ctx is done. A push that began is ended, so that what Redis has is known.
func (g *generator) run(ctx context.Context, rate int) error {
	tick := time.NewTicker(pushEvery)
	defer tick.Stop()
	began, sent := time.Now(), 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		// After a Redis that was away the backlog comes at once, as from gateways; in pieces, as from several.
		due := int(time.Since(began).Seconds()*float64(rate)) - sent
		for due > 0 && ctx.Err() == nil {
			n := min(due, 1+g.rnd.IntN(250))
			if err := g.push(ctx, n); err != nil {
				return err
			}
			sent, due = sent+n, due-n
		}
	}
}

// payload is one element of a list; rec is nil for poison.
type payload struct {
	data []byte
	rec  *record.Record
}

// push makes n records, some poison and repetitions among them, and pushes them to one list at once.
func (g *generator) push(ctx context.Context, n int) error {
	name, format := g.list()
	batch := make([]payload, 0, n+2)
	for range n {
		batch = append(batch, g.record(format))
	}
	if g.rnd.Float64() < repeatShare {
		batch = g.insert(batch, batch[g.rnd.IntN(len(batch))])
	}
	if g.rnd.Float64() < poisonShare {
		batch = g.insert(batch, payload{data: g.traffic.Poison(1, format)[0]})
	}
	g.pushes++
	args := []string{strconv.Itoa(g.pushes), format.String()}
	for _, p := range batch {
		args = append(args, rueidis.BinaryString(p.data))
	}
	if err := g.send(context.WithoutCancel(ctx), name, args); err != nil {
		return err
	}
	for _, p := range batch {
		g.debts.add(p)
	}
	return nil
}

func (g *generator) insert(batch []payload, p payload) []payload {
	i := g.rnd.IntN(len(batch) + 1)
	batch = append(batch, payload{})
	copy(batch[i+1:], batch[i:])
	batch[i] = p
	return batch
}

// list draws a list: the ten of a gateway with multiple keys, the single one, and both in protobuf.
func (g *generator) list() (string, record.Format) {
	name, format := list, record.Msgpack
	if i := g.rnd.IntN(11); i < 10 {
		name += "_" + strconv.Itoa(i)
	}
	if g.rnd.IntN(3) == 0 {
		name, format = name+"_protobuf", record.Protobuf
	}
	return name, format
}

// record makes one that no other is equal to.
func (g *generator) record(format record.Format) payload {
	g.made++
	at := firstRecord.Add(time.Duration(g.made) * 1117 * time.Millisecond % (3 * time.Hour)).Add(time.Duration(g.rnd.IntN(1e9)))
	r := new(record.Record)
	g.traffic.Next(r, at)
	for format == record.Protobuf && !utf8.ValidString(r.RawPath) { // a gateway cannot encode these
		g.traffic.Next(r, at)
	}
	r.OriginalPath += "?soak=" + strconv.Itoa(g.made)
	if format == record.Protobuf {
		r.Latency.Gateway = 0 // which protobuf has no field for
		return payload{record.AppendProtobuf(nil, r), r}
	}
	return payload{record.AppendMsgpack(nil, r), r}
}

// pushOnce pushes unless Redis has that push already, so that it can be repeated when its answer was lost; and sets the
// TTL of a msgpack list that has none, as gateways do.
const pushOnce = `
if tonumber(redis.call('GET', KEYS[1]) or '0') >= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('RPUSH', KEYS[2], unpack(ARGV, 3))
if ARGV[2] == 'msgpack' and redis.call('TTL', KEYS[2]) == -1 then redis.call('EXPIRE', KEYS[2], 60) end
return 1`

// giveUp bounds how long Redis may be away; no fault lasts that long.
const giveUp = time.Minute

func (g *generator) send(ctx context.Context, name string, args []string) error {
	ctx, cancel := context.WithTimeout(ctx, giveUp)
	defer cancel()
	for {
		err := g.client.Do(ctx, g.client.B().Eval().Script(pushOnce).Numkeys(2).Key(pushedKey, name).Arg(args...).Build()).Error()
		if err == nil {
			return nil
		}
		if re, ok := rueidis.IsRedisErr(err); ok && !passes(re.Error()) {
			return fmt.Errorf("push to %s: %w", name, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("push to %s: %w", name, err)
		case <-time.After(pushEvery):
		}
	}
}

// passes tells whether a refusal is one of those that a fault causes; nothing was pushed then.
func passes(refusal string) bool {
	return slices.ContainsFunc([]string{"LOADING", "OOM", "READONLY", "MASTERDOWN"}, func(code string) bool {
		return strings.Contains(refusal, code)
	})
}
