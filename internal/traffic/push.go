package traffic

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/redis/rueidis"

	"sluice/internal/record"
)

// What a gateway does, and its configuration cannot change.
const (
	flushRecords = 500 // records that go to one list at once
	listTTL      = 60  // seconds, set on a msgpack list that has none
	listKeys     = 10  // lists that a gateway with multiple keys spreads its records over
)

// PushOptions tell how a Pusher writes.
type PushOptions struct {
	Prefix   string        // of the list names; "": analytics-
	Format   record.Format // msgpack or protobuf
	Multiple bool          // spread over ten lists, as enable_multiple_analytics_keys does
	Poison   float64       // share of payloads that cannot be decoded, 0 to 1
}

// Pusher writes made-up records into a Redis as a gateway does: up to 500 at once to one list, one RPUSH each in a
// pipeline, and a TTL on a msgpack list that has none. It is not safe for concurrent use.
type Pusher struct {
	client rueidis.Client
	gen    *Generator
	opts   PushOptions
	pushed Pushed
	list   int // flushes so far: the next list among the ten
	due    float64
}

// Pushed is what a Pusher has written so far.
type Pushed struct {
	Records uint64 `json:"records"` // poison not among them
	Poison  uint64 `json:"poison"`
	Bytes   uint64 `json:"bytes"` // both
}

// NewPusher returns a pusher. The client stays the caller's.
func NewPusher(c rueidis.Client, g *Generator, o PushOptions) *Pusher {
	if o.Prefix == "" {
		o.Prefix = "analytics-"
	}
	return &Pusher{client: c, gen: g, opts: o}
}

// Pushed tells what was written so far.
func (p *Pusher) Pushed() Pushed { return p.pushed }

// Push writes one record for each time, as fast as Redis takes them.
func (p *Pusher) Push(ctx context.Context, times iter.Seq[time.Time]) error {
	batch := make([]time.Time, 0, flushRecords)
	for at := range times {
		if batch = append(batch, at); len(batch) < flushRecords {
			continue
		}
		if err := p.flush(ctx, batch); err != nil {
			return err
		}
		batch = batch[:0]
	}
	return p.flush(ctx, batch)
}

// Count writes n records, all as of now, as fast as Redis takes them.
func (p *Pusher) Count(ctx context.Context, n int) error {
	return p.Push(ctx, func(yield func(time.Time) bool) {
		for range n {
			if !yield(time.Now()) {
				return
			}
		}
	})
}

// Run writes as many records a second as the generator's Load says until ctx is done, and then returns nil. It flushes
// four times a second, so that the traffic arrives smoothly.
func (p *Pusher) Run(ctx context.Context) error {
	const every = 250 * time.Millisecond
	tick := time.NewTicker(every)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := time.Now()
		gap := min(now.Sub(last), 2*time.Second) // after a pause of the machine, no flood
		if err := p.Push(ctx, p.since(now.Add(-gap), gap)); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		last = now
	}
}

// since gives the times of the records due in the gap after from, carrying the fraction of a record over.
func (p *Pusher) since(from time.Time, gap time.Duration) iter.Seq[time.Time] {
	p.due += p.gen.Load(from) * gap.Seconds()
	n := int(p.due)
	p.due -= float64(n)
	return func(yield func(time.Time) bool) {
		for i := range n {
			if !yield(from.Add(gap * time.Duration(i) / time.Duration(n))) {
				return
			}
		}
	}
}

// flush writes records to one list, and its TTL.
func (p *Pusher) flush(ctx context.Context, times []time.Time) error {
	if len(times) == 0 {
		return nil
	}
	list := p.listName()
	cmds := make(rueidis.Commands, 0, len(times)+1)
	var next Pushed
	for _, at := range times {
		payload, poison := p.payload(at)
		cmds = append(cmds, p.client.B().Rpush().Key(list).Element(rueidis.BinaryString(payload)).Build())
		next.Bytes += uint64(len(payload))
		if poison {
			next.Poison++
		} else {
			next.Records++
		}
	}
	if p.opts.Format == record.Msgpack {
		cmds = append(cmds, p.client.B().Ttl().Key(list).Build())
	}
	replies := p.client.DoMulti(ctx, cmds...)
	for _, r := range replies {
		if err := r.Error(); err != nil {
			return fmt.Errorf("push to %s: %w", list, err)
		}
	}
	p.pushed.Records += next.Records
	p.pushed.Poison += next.Poison
	p.pushed.Bytes += next.Bytes
	if p.opts.Format == record.Msgpack {
		return p.expire(ctx, list, replies[len(replies)-1])
	}
	return nil
}

// expire sets the TTL of a list that has none, as a gateway does once a second.
func (p *Pusher) expire(ctx context.Context, list string, ttl rueidis.RedisResult) error {
	left, err := ttl.AsInt64()
	if err != nil || left != -1 {
		return err
	}
	if err := p.client.Do(ctx, p.client.B().Expire().Key(list).Seconds(listTTL).Build()).Error(); err != nil {
		return fmt.Errorf("set the TTL of %s: %w", list, err)
	}
	return nil
}

// payload encodes the next record, or makes poison of it.
func (p *Pusher) payload(at time.Time) (payload []byte, poison bool) {
	if p.opts.Poison > 0 && p.gen.rnd.Float64() < p.opts.Poison {
		return p.gen.Poison(1, p.opts.Format)[0], true
	}
	var r record.Record
	p.gen.Next(&r, at)
	if p.opts.Format == record.Msgpack {
		return record.AppendMsgpack(nil, &r), false
	}
	for !utf8.ValidString(r.RawPath) { // a gateway cannot encode these as protobuf
		p.gen.Next(&r, at)
	}
	return record.AppendProtobuf(nil, &r), false
}

// listName is the list of the next flush.
func (p *Pusher) listName() string {
	name := p.opts.Prefix + "tyk-system-analytics"
	if p.opts.Multiple {
		name += "_" + strconv.Itoa(p.list%listKeys)
		p.list++
	}
	if p.opts.Format == record.Protobuf {
		name += "_protobuf"
	}
	return name
}
