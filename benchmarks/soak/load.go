package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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

	ttl           int               // seconds
	unique        bool              // no record is equal to another
	turn          sync.Mutex        // of who pushes
	log           map[int][]payload // nil, or what each push had
	done          atomic.Int64
	mu            sync.Mutex
	refused       map[string]int64                                     // pushes that Redis did not take, by the first word of the refusal
	settled       func(context.Context, rueidis.DedicatedClient) error // nil, or whether Redis has for good what was pushed by a connection
	spread        bool                                                 // in a Cluster: the number of the last push lies beside its list
	analyticsOnly bool                                                 // no uptime records
}

const (
	list = "analytics-tyk-system-analytics"
	// pushedKey holds the number of the last push that Redis has.
	pushedKey = "soak:pushed"
	pushEvery = 50 * time.Millisecond

	poisonShare = 0.04 // of the pushes
	repeatShare = 0.06 // of the pushes
	uptimeShare = 0.03 // of the pushes
	oddShare    = 0.02 // of the records

	uptimeList = "host-checker:tyk-uptime-analytics"
	gatewayTTL = 60 // seconds
)

// odd are values that keys, tags and names can have, since callers choose them.
var odd = []string{"", "\x00", "a\x00b", ".", "a.b.", "$", "$where", "a$b", "..", "_id", " ", "\u202e", "\xff\xfe", "caf\xe9",
	"=cmd|'/c calc'!A1", "a\"b,c\n", strings.Repeat("k", 200)}

// firstRecord is when the made-up records begin: close to midnight, so that they spread over hours and two days. It does
// not depend on the clock.
var firstRecord = time.Date(2026, 3, 14, 22, 40, 0, 0, time.UTC)

func newGenerator(client rueidis.Client, seed uint64) *generator {
	return &generator{client: client, traffic: traffic.New(seed, traffic.Options{}), rnd: rand.New(rand.NewPCG(seed, 0x10ad)),
		debts: newDebts(), ttl: gatewayTTL, refused: map[string]int64{}}
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

// payload is one element of a list; without record and uptime record it is poison.
type payload struct {
	data   []byte
	rec    *record.Record
	uptime *record.Uptime
	push   int
}

// push makes n records, some poison and repetitions among them, and pushes them to one list at once.
func (g *generator) push(ctx context.Context, n int) error {
	g.turn.Lock()
	defer g.turn.Unlock()
	name, format := g.list()
	batch := make([]payload, 0, n+2)
	for range n {
		batch = append(batch, g.record(format))
	}
	if g.rnd.Float64() < repeatShare && !g.unique {
		batch = g.insert(batch, batch[g.rnd.IntN(len(batch))])
	}
	switch x := g.rnd.Float64(); {
	case x < poisonShare:
		batch = g.insert(batch, payload{data: g.traffic.Poison(1, format)[0]})
	case x < 2*poisonShare:
		batch = g.insert(batch, g.absurd(format))
	}
	if err := g.put(ctx, name, format, batch); err != nil || g.rnd.Float64() >= uptimeShare || g.analyticsOnly {
		return err
	}
	return g.put(ctx, uptimeList, record.Msgpack, g.uptimes(1+g.rnd.IntN(20)))
}

// put pushes what is there to one list at once.
func (g *generator) put(ctx context.Context, name string, format record.Format, batch []payload) error {
	g.pushes++
	args := []string{strconv.Itoa(g.pushes), format.String(), strconv.Itoa(g.ttl)}
	for i := range batch {
		batch[i].push = g.pushes
		args = append(args, rueidis.BinaryString(batch[i].data))
	}
	if err := g.send(context.WithoutCancel(ctx), name, args); err != nil {
		return err
	}
	for _, p := range batch {
		g.debts.add(p)
	}
	if g.log != nil {
		g.log[g.pushes] = batch
	}
	g.done.Add(1)
	return nil
}

// poison pushes a payload that does not decode to every msgpack list. It may be called beside the pushing.
func (g *generator) poison(ctx context.Context) error {
	g.turn.Lock()
	defer g.turn.Unlock()
	for i := range 10 {
		batch := []payload{{data: g.traffic.Poison(1, record.Msgpack)[0]}}
		if err := g.put(ctx, list+"_"+strconv.Itoa(i), record.Msgpack, batch); err != nil {
			return err
		}
	}
	return nil
}

// one pushes a record to every list.
func (g *generator) one(ctx context.Context) error {
	for i := range 11 {
		name := list
		if i < 10 {
			name += "_" + strconv.Itoa(i)
		}
		for _, format := range []record.Format{record.Msgpack, record.Protobuf} {
			suffix := map[record.Format]string{record.Protobuf: "_protobuf"}[format]
			if err := g.put(ctx, name+suffix, format, []payload{g.record(format)}); err != nil {
				return err
			}
		}
	}
	if g.analyticsOnly {
		return nil
	}
	return g.put(ctx, uptimeList, record.Msgpack, g.uptimes(1))
}

// pushed is how many pushes are done. It may be called beside the pushing.
func (g *generator) pushed() int64 { return g.done.Load() }

// absurd is a record of a year that no clock shows, which is a dead letter.
func (g *generator) absurd(format record.Format) payload {
	p := g.record(format)
	p.rec.TimeStamp = time.Date([]int{1, 9999}[g.rnd.IntN(2)], 6, 1, 0, 0, g.rnd.IntN(60), 0, time.UTC)
	return payload{data: encode(format, p.rec), rec: p.rec}
}

func (g *generator) uptimes(n int) (out []payload) {
	for range n {
		g.made++
		at := firstRecord.Add(time.Duration(g.made) * time.Second)
		u := &record.Uptime{URL: "http://upstream.example.com/health?soak=" + strconv.Itoa(g.made), RequestTime: int64(g.rnd.IntN(900)),
			ResponseCode: 200, Day: int32(at.Day()), Month: int32(at.Month()), Year: int32(at.Year()), Hour: int32(at.Hour()),
			Minute: int32(at.Minute()), TimeStamp: at, ExpireAt: at.Add(expiry), APIID: "soak-api", OrgID: "soak-org"}
		out = append(out, payload{data: record.AppendUptime(nil, u), uptime: u})
	}
	return out
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
	if r.ResponseCode > 0 && g.rnd.Float64() < oddShare {
		g.twist(r, format)
	}
	if format == record.Protobuf {
		r.Latency.Gateway = 0 // which protobuf has no field for
	}
	return payload{data: encode(format, r), rec: r}
}

// twist gives a record the values that callers can make up.
func (g *generator) twist(r *record.Record, format record.Format) {
	pick := func() string {
		for {
			if s := odd[g.rnd.IntN(len(odd))]; format == record.Msgpack || utf8.ValidString(s) {
				return s
			}
		}
	}
	r.APIKey, r.OauthID, r.APIVersion, r.Path = pick(), pick(), pick(), "/"+pick()
	// A key has one alias: of several, the aggregates show any.
	if r.Alias = r.APIKey; len(r.Alias) > 0 {
		r.Alias = "alias of " + r.APIKey
	}
	r.Tags = append(r.Tags, pick(), pick())
	r.IPAddress, r.TrackPath = pick(), true
}

func encode(format record.Format, r *record.Record) []byte {
	if format == record.Protobuf {
		return record.AppendProtobuf(nil, r)
	}
	return record.AppendMsgpack(nil, r)
}

// pushOnce pushes unless Redis has that push already, so that it can be repeated when its answer was lost; and sets the
// TTL of a msgpack list that has none, as gateways do.
const pushOnce = `
if tonumber(redis.call('GET', KEYS[1]) or '0') >= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('RPUSH', KEYS[2], unpack(ARGV, 4))
if ARGV[2] == 'msgpack' and redis.call('TTL', KEYS[2]) == -1 then redis.call('EXPIRE', KEYS[2], ARGV[3]) end
return 1`

// giveUp bounds how long Redis may be away; no fault lasts that long.
const giveUp = time.Minute

func (g *generator) send(ctx context.Context, name string, args []string) error {
	ctx, cancel := context.WithTimeout(ctx, giveUp)
	defer cancel()
	number := pushedKey
	if g.spread {
		number += ":{" + name + "}"
	}
	for {
		err := g.client.Dedicated(func(c rueidis.DedicatedClient) error {
			err := c.Do(ctx, c.B().Eval().Script(pushOnce).Numkeys(2).Key(number, name).Arg(args...).Build()).Error()
			if err == nil && g.settled != nil {
				err = g.settled(ctx, c)
			}
			return err
		})
		if err == nil {
			return nil
		}
		if re, ok := rueidis.IsRedisErr(err); ok {
			code, known := passes(re.Error())
			if !known {
				return fmt.Errorf("push to %s: %w", name, err)
			}
			g.mu.Lock()
			g.refused[code]++
			g.mu.Unlock()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("push to %s: %w", name, err)
		case <-time.After(pushEvery):
		}
	}
}

// refusals is how many pushes were refused so. It may be called beside the pushing.
func (g *generator) refusals(code string) int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.refused[code]
}

// passes tells whether a refusal is one of those that a fault causes, and which; nothing was pushed then.
func passes(refusal string) (code string, known bool) {
	for _, code := range []string{"LOADING", "OOM", "READONLY", "MASTERDOWN", "NOREPLICAS", "CLUSTERDOWN", "MOVED", "ASK", "TRYAGAIN"} {
		if strings.Contains(refusal, code) {
			return code, true
		}
	}
	return "", false
}
