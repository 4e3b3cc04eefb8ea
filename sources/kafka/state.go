package kafka

import (
	"bytes"
	"compress/flate"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	bus "sluice/internal/kafka"
	"sluice/internal/pipeline"
)

// state is what a group knows of a partition. It is the metadata of the committed offset, so that it changes with it in one
// step, and only by who owns the partition. The offset that is committed is the first one of the oldest open claim.
type state struct {
	Version int                   `json:"v"`
	Lineage string                `json:"lineage"` // of this partition as a stream of this group
	Epoch   pipeline.Epoch        `json:"epoch"`
	N       uint32                `json:"n"`     // of the last claim
	Start   int64                 `json:"start"` // offset that the group began with
	Open    bool                  `json:"open"`  // there were messages before it: a lineage may begin in its middle
	Seen    map[string]seen       `json:"seen"`  // by lineage, as of the committed offset
	Claims  []claim               `json:"claims"`
	Shapes  map[string]string     `json:"shapes"`
	Sinks   map[string]sinkLedger `json:"sinks"`
	Members map[string]members    `json:"members"`
	Lost    uint64                `json:"lost"` // messages that an operator gave up

	base int64 // the committed offset
}

// seen is bus.Passed as text.
type seen struct {
	Position string `json:"p"`
	Number   uint64 `json:"n"`
	Day      int32  `json:"d"`           // of the last message's own time, in days since 1970: by the edge's clock, or the brokers'
	Claimed  int32  `json:"c,omitempty"` // when that was claimed, by the worker's clock; 0: by a version that did not keep it
}

// claim is a run of offsets whose shape is fixed.
type claim struct {
	Number  uint32            `json:"n"`
	First   int64             `json:"f"`
	Len     uint32            `json:"l"`
	Ms      int64             `json:"t"`
	Shape   string            `json:"k"`
	Sinks   []string          `json:"s"`
	Cursors map[string]uint32 `json:"c"`
}

// sinkLedger is what became of what a sink was owed; what is pending follows from the cursors.
type sinkLedger struct {
	Taken       uint64 `json:"t"`
	Effective   uint64 `json:"e"`
	Duplicates  uint64 `json:"r"`
	Filtered    uint64 `json:"f"`
	DeadLetters uint64 `json:"d"`
}

type members struct {
	From string `json:"f"`
	To   string `json:"t"`
	Tag  string `json:"g"`
}

const stateVersion = 1

// newState begins with an offset.
func newState(start int64, open bool, now time.Time) *state {
	var b [20]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	s := &state{Version: stateVersion, Lineage: hex.EncodeToString(b[:16]), Start: start, Open: open, base: start,
		Epoch: pipeline.Epoch{Ms: uint64(now.UnixMilli()), Rand: binary.BigEndian.Uint32(b[16:])}}
	s.fill()
	return s
}

// fill makes the maps that are nil.
func (s *state) fill() {
	if s.Seen == nil {
		s.Seen = map[string]seen{}
	}
	if s.Shapes == nil {
		s.Shapes = map[string]string{}
	}
	if s.Sinks == nil {
		s.Sinks = map[string]sinkLedger{}
	}
	if s.Members == nil {
		s.Members = map[string]members{}
	}
	for i := range s.Claims {
		if s.Claims[i].Cursors == nil {
			s.Claims[i].Cursors = map[string]uint32{}
		}
	}
}

// maxMetadata is what brokers take with an offset unless told otherwise (offset.metadata.max.bytes).
const maxMetadata = 4096

// encode writes the state as text: JSON, deflated, in base64.
func (s *state) encode() (string, error) {
	data, err := json.Marshal(s)
	if err != nil {
		return "", fmt.Errorf("encode the state of a partition: %w", err)
	}
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.DefaultCompression)
	if err != nil {
		return "", fmt.Errorf("encode the state of a partition: %w", err)
	}
	if _, err := w.Write(data); err != nil {
		return "", fmt.Errorf("encode the state of a partition: %w", err)
	}
	if err := w.Close(); err != nil {
		return "", fmt.Errorf("encode the state of a partition: %w", err)
	}
	return base64.RawStdEncoding.EncodeToString(b.Bytes()), nil
}

// maxState bounds what is unpacked.
const maxState = 4 << 20

// decodeState reads what encode wrote.
func decodeState(text string, base int64) (*state, error) {
	packed, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return nil, errors.New("the metadata of the committed offset is not this program's: use a consumer group of its own")
	}
	data, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), maxState))
	if err != nil {
		return nil, fmt.Errorf("unpack the metadata of the committed offset: %w", err)
	}
	s := &state{base: base}
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("read the metadata of the committed offset: %w", err)
	}
	if s.Version != stateVersion {
		return nil, pipeline.Fatal(fmt.Errorf("the metadata of the committed offset has version %d, this program knows %d", s.Version, stateVersion))
	}
	s.fill()
	return s, s.check()
}

// check refuses what would make offsets of others out of positions.
func (s *state) check() error {
	next := s.base
	for i := range s.Claims {
		c := &s.Claims[i]
		if c.First != next || c.Len == 0 || s.Shapes[c.Shape] == "" {
			return errors.New("the metadata of the committed offset does not fit together")
		}
		next += int64(c.Len)
	}
	for lineage := range s.Seen {
		if _, err := s.passed(lineage); err != nil {
			return err
		}
	}
	return nil
}

func (s *state) passed(lineage string) (bus.Passed, error) {
	m, ok := s.Seen[lineage]
	if !ok {
		return bus.Passed{}, nil
	}
	p, err := pipeline.ParsePosition(m.Position)
	return bus.Passed{Position: p, Number: m.Number}, err
}

// next is the first offset that no claim has.
func (s *state) next() int64 {
	if n := len(s.Claims); n > 0 {
		return s.Claims[n-1].First + int64(s.Claims[n-1].Len)
	}
	return s.base
}

func (s *state) id(c *claim) pipeline.ClaimID {
	return pipeline.ClaimID{Epoch: s.Epoch, Number: c.Number}
}

// find is the open claim of that ID, or nil.
func (s *state) find(id pipeline.ClaimID) *claim {
	for i := range s.Claims {
		if s.id(&s.Claims[i]) == id {
			return &s.Claims[i]
		}
	}
	return nil
}

// add records a claim of n messages behind the others.
func (s *state) add(n uint32, now time.Time, owed pipeline.Owed) *claim {
	first := s.next()
	s.N++
	s.Shapes[owed.Key] = string(owed.JSON)
	s.Claims = append(s.Claims, claim{Number: s.N, First: first, Len: n, Ms: now.UnixMilli(), Shape: owed.Key,
		Sinks: owed.Sinks, Cursors: map[string]uint32{}})
	for _, name := range owed.Sinks {
		l := s.Sinks[name]
		l.Taken += uint64(n)
		s.Sinks[name] = l
	}
	return &s.Claims[len(s.Claims)-1]
}

// done tells whether every sink that the claim owes has settled it.
func (c *claim) done() bool {
	return !slices.ContainsFunc(c.Sinks, func(name string) bool { return c.Cursors[name] < c.Len })
}

// sweep drops shapes that no claim names.
func (s *state) sweep() {
	maps.DeleteFunc(s.Shapes, func(key, _ string) bool {
		return !slices.ContainsFunc(s.Claims, func(c claim) bool { return c.Shape == key })
	})
}

// settle moves a sink's cursor over ranges. It answers false, and changes nothing, when they do not follow it.
func (s *state) settle(sink string, ranges []pipeline.Settled) bool {
	fits := func(r *pipeline.Settled) bool {
		c := s.find(r.Claim)
		return c != nil && slices.Contains(c.Sinks, sink) && c.Cursors[sink] == r.From && r.From < r.To && r.To <= c.Len
	}
	cursors := map[uint32]uint32{}
	for i := range ranges {
		r := ranges[i]
		if at, ok := cursors[r.Claim.Number]; ok && at == r.From {
			r.From = s.find(r.Claim).Cursors[sink]
		}
		if !fits(&r) {
			return false
		}
		cursors[r.Claim.Number] = r.To
	}
	l := s.Sinks[sink]
	for _, r := range ranges {
		s.find(r.Claim).Cursors[sink] = r.To
		l.Effective += r.Counts.Effective
		l.Duplicates += r.Counts.Duplicates
		l.Filtered += r.Counts.Filtered
		l.DeadLetters += r.Counts.DeadLetters
	}
	s.Sinks[sink] = l
	last := ranges[len(ranges)-1]
	if m, ok := s.Members[sink]; ok && m.To <= (pipeline.Position{Claim: last.Claim, Index: last.To}).String() {
		delete(s.Members, sink)
	}
	return true
}

// settled tells whether a sink has settled all of a range.
func (s *state) settled(sink string, r *pipeline.Settled) bool {
	c := s.find(r.Claim)
	return c == nil && r.Claim.Number <= s.N || c != nil && c.Cursors[sink] >= r.To
}
