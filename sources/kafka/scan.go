package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	kgo "github.com/segmentio/kafka-go"

	bus "sluice/internal/kafka"
	"sluice/internal/pipeline"
	"sluice/internal/record"
)

// message is one offset of a partition, judged.
type message struct {
	offset int64
	time   time.Time
	header bus.Header
	bad    string // why it is no message of an edge
	hole   bool   // no message has this offset
	value  []byte
}

// fetchWait is how long a broker may wait for messages to come, fetchMost how many bytes it sends at once. What is read again is
// read in small steps: a batch of messages that is sent is unpacked, wanted or not, and 4 MiB are some 30,000 messages.
const (
	fetchWait  = 500 * time.Millisecond
	fetchMost  = 4 << 20
	fetchAgain = 256 << 10
)

// fetched is what one request brought: messages from the offset asked for on, without a hole, and where the log ends.
type fetched struct {
	messages   []message
	begin, end int64
}

// errLogMoved says that the offset is not in the log.
var errLogMoved = errors.New("the offset is not in the log any more, or not yet")

// fetch reads messages from an offset on, up to an end that is not passed (0: as many as come).
func (r *reader) fetch(ctx context.Context, partition int, offset, until int64, wait time.Duration) (fetched, error) {
	return r.some(ctx, partition, offset, until, wait, fetchMost)
}

// some is fetch of some bytes, and of one batch of messages at least.
func (r *reader) some(ctx context.Context, partition int, offset, until int64, wait time.Duration, most int64) (fetched, error) {
	res, err := r.client.Fetch(ctx, &kgo.FetchRequest{Topic: r.topic, Partition: partition, Offset: offset, MinBytes: 1,
		MaxBytes: most, MaxWait: wait})
	if err == nil {
		err = res.Error
	}
	if errors.Is(err, kgo.OffsetOutOfRange) {
		return fetched{}, errLogMoved
	}
	if err != nil {
		return fetched{}, fmt.Errorf("read %s, partition %d: %w", r.topic, partition, bus.Classify(err))
	}
	out := fetched{begin: res.LogStartOffset, end: res.HighWatermark}
	for next := offset; until == 0 || next < until; {
		rec, err := res.Records.ReadRecord()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			if len(out.messages) > 0 {
				return out, nil // the rest comes again
			}
			return out, fmt.Errorf("read %s, partition %d, offset %d: %w", r.topic, partition, next, err)
		}
		if rec.Offset < offset { // the batch begins earlier
			continue
		}
		for ; next < rec.Offset && (until == 0 || next < until); next++ {
			out.messages = append(out.messages, message{offset: next, hole: true, time: rec.Time})
		}
		if until != 0 && next >= until {
			break
		}
		m, err := read(rec)
		if err != nil {
			return out, err
		}
		out.messages = append(out.messages, m)
		next++
	}
	return out, nil
}

func read(rec *kgo.Record) (message, error) {
	m := message{offset: rec.Offset, time: rec.Time}
	var err error
	if m.value, err = kgo.ReadAll(rec.Value); err != nil {
		return m, fmt.Errorf("read a message: %w", err)
	}
	h, err := bus.ParseHeader(rec.Headers)
	switch {
	case err != nil:
		m.bad = "is no message of an edge: " + err.Error()
	case h.Format != bus.FormatProtobuf:
		m.bad = "is in format " + h.Format + ", which does not hold all of a record"
	}
	m.header = h
	return m, nil
}

// element is the message as the pipeline gets it.
func (m *message) element(repeat bool) pipeline.Element {
	e := pipeline.Element{Payload: m.value, Len: int64(len(m.value)), Repeat: repeat}
	switch {
	case repeat:
		e.Payload, e.Len = nil, 0
	case m.bad != "":
		e.Dead, e.Hash = m.bad, record.HashPayload(m.value)
	default:
		e.Hash = m.header.ID.Hash()
	}
	return e
}

// judge holds messages against what was passed.
type judge struct {
	open   bool
	passed map[string]bus.Passed
	days   map[string]int32
	// claimed is the day of the last claim that a lineage had messages in; spoke are those that had some since.
	claimed map[string]int32
	spoke   map[string]bool
}

func newJudge(s *state) (*judge, error) {
	j := &judge{open: s.Open, passed: map[string]bus.Passed{}, days: map[string]int32{}, claimed: map[string]int32{}, spoke: map[string]bool{}}
	for lineage, m := range s.Seen {
		p, err := s.passed(lineage)
		if err != nil {
			return nil, err
		}
		j.passed[lineage], j.days[lineage], j.claimed[lineage] = p, m.Day, m.Claimed
	}
	return j, nil
}

func (j *judge) clone() *judge {
	return &judge{open: j.open, passed: maps.Clone(j.passed), days: maps.Clone(j.days), claimed: maps.Clone(j.claimed), spoke: maps.Clone(j.spoke)}
}

// see judges a message and, unless it is to be held, takes it in.
func (j *judge) see(m *message) bus.Verdict {
	if m.hole {
		return bus.Repeat
	}
	if m.bad != "" {
		return bus.Take // it becomes a dead letter
	}
	p, known := j.passed[m.header.Lineage]
	v := p.Judge(&m.header)
	if v == bus.Gap && !known && j.open {
		v = bus.Take // what came before it was never this group's
	}
	if v == bus.Take {
		j.passed[m.header.Lineage] = bus.Passed{Position: m.header.Position, Number: m.header.Number}
		j.days[m.header.Lineage], j.spoke[m.header.Lineage] = dayOf(m.time), true
	}
	return v
}

// forgetAfter is how many days a lineage must have been silent to be forgotten: longer than any request is on its way. One
// that speaks up again later is then taken as it comes. It must have been silent by two clocks: that of the messages, which is
// an edge's, and that of the workers at their claims. One edge, or one worker, whose clock is ahead makes nobody forget. Both
// are kept with what was claimed, so that whoever judges again forgets the same.
const forgetAfter = 14

func dayOf(t time.Time) int32 { return int32(t.Unix() / 86400) }

// seen is what is kept of the judge, as of a claim made at that time.
func (j *judge) seen(at time.Time) (out map[string]seen, open bool) {
	newest, now := int32(0), dayOf(at)
	for lineage, d := range j.days {
		if newest = max(newest, d); j.spoke[lineage] || j.claimed[lineage] == 0 {
			j.claimed[lineage] = dayOf(at)
		}
		now = max(now, j.claimed[lineage])
	}
	clear(j.spoke)
	out, open = map[string]seen{}, j.open
	for lineage, p := range j.passed {
		if j.days[lineage] < newest-forgetAfter && j.claimed[lineage] < now-forgetAfter {
			open = true
			continue
		}
		out[lineage] = seen{Position: p.Position.String(), Number: p.Number, Day: j.days[lineage], Claimed: j.claimed[lineage]}
	}
	return out, open
}
