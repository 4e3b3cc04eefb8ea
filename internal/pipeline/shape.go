package pipeline

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"sync"

	"sluice/internal/record"
)

// ClaimShape is what shapes the effects of a claim's records, as it is recorded with the claim.
type ClaimShape struct {
	Record RecordShape          `json:"record"` // without filters: those are each sink's own
	Sinks  map[string]SinkShape `json:"sinks"`  // all that are owed, by name
}

// SinkShape is the part of one sink.
type SinkShape struct {
	Type    string          `json:"type"`
	Filters *Filters        `json:"filters,omitempty"`
	Shape   json.RawMessage `json:"shape,omitempty"`
}

// Encode gives the canonical JSON (map keys sorted) and the key that addresses it.
func (c ClaimShape) Encode() (key string, data []byte, err error) {
	data, err = json.Marshal(c)
	if err != nil {
		return "", nil, fmt.Errorf("encode the shape of a claim: %w", err)
	}
	return hashKey(data), data, nil
}

// Narrowed is what a claim owes of which only some sinks are to have the records, and which went through masks before. Its
// records were accepted where they were first claimed.
func (o Owed) Narrowed(takes func(sink string) bool, masked []Mask) (Owed, error) {
	var cs ClaimShape
	if err := json.Unmarshal(o.JSON, &cs); err != nil {
		return Owed{}, fmt.Errorf("read the shape of a claim: %w", err)
	}
	out := Owed{}
	for _, name := range o.Sinks {
		if takes(name) {
			out.Sinks = append(out.Sinks, name)
		} else {
			delete(cs.Sinks, name)
		}
	}
	cs.Record.Masks = slices.DeleteFunc(slices.Clone(cs.Record.Masks), func(m Mask) bool {
		return slices.ContainsFunc(masked, func(x Mask) bool { return x.Field == m.Field })
	})
	cs.Record.Accept = Accept{Past: math.MaxInt64, Future: math.MaxInt64}
	var err error
	out.Key, out.JSON, err = cs.Encode()
	return out, err
}

func hashKey(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// shaped is a ClaimShape ready for use.
type shaped struct {
	record RecordShape
	masker *record.Masker // nil when nothing is masked
	sinks  map[string]shapedSink
}

type shapedSink struct {
	kind    string
	filters *filterSet // nil when every record passes
	shape   Shape
}

// shapes compiles and remembers claim shapes; a handful exist at a time. It may be used concurrently.
type shapes struct {
	mu   sync.Mutex
	made map[string]*shaped
}

// keptShapes bounds what is remembered: shapes change with the configuration only.
const keptShapes = 64

func (s *shapes) get(data []byte) (*shaped, error) {
	key := hashKey(data)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := s.made[key]; ok {
		return c, nil
	}
	c, err := compileShape(data)
	if err != nil {
		return nil, err
	}
	if s.made == nil || len(s.made) >= keptShapes {
		s.made = make(map[string]*shaped)
	}
	s.made[key] = c
	return c, nil
}

func compileShape(data []byte) (*shaped, error) {
	var cs ClaimShape
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields() // a newer program's: it may hide what we would show
	if err := dec.Decode(&cs); err != nil {
		return nil, fmt.Errorf("read the shape recorded with a claim: %w", err)
	}
	out := &shaped{record: cs.Record, sinks: make(map[string]shapedSink, len(cs.Sinks))}
	if len(cs.Record.Masks) > 0 {
		rules := make([]record.MaskRule, len(cs.Record.Masks))
		for i, m := range cs.Record.Masks {
			rules[i] = record.MaskRule{Field: m.Field, Action: m.Action}
		}
		m, err := record.NewMasker(rules)
		if err != nil {
			return nil, fmt.Errorf("masks recorded with a claim: %w", err)
		}
		out.masker = m
	}
	for name, s := range cs.Sinks {
		rs := cs.Record
		rs.Filters = s.Filters
		own, err := json.Marshal(struct {
			Record RecordShape
			Sink   SinkShape
		}{rs, s})
		if err != nil {
			return nil, fmt.Errorf("shape of sink %s: %w", name, err)
		}
		out.sinks[name] = shapedSink{
			kind:    s.Type,
			filters: newFilterSet(s.Filters),
			shape:   Shape{Key: hashKey(own), JSON: slices.Clone(s.Shape), Record: rs},
		}
	}
	return out, nil
}

// masks tells whether a record is other than its payload says.
func (s *shaped) masks() bool { return s.masker != nil || s.record.DropBodies }
