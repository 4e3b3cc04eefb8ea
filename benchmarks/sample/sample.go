// Package sample makes the records that benchmarks work on: what a gateway wrote, chosen for the size that gateways in
// the field write, with times of their own so that no two are equal.
package sample

import (
	"cmp"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sluice/internal/record"
	"sluice/internal/record/reference"
)

// Size is the size of a record, in bytes, that all goals are about.
const Size = 1441

// templates is how many captured records are taken, those whose size is nearest to Size.
const templates = 200

// Options bend the records. Zero leaves a dimension as it was captured.
type Options struct {
	Start time.Time // of the first record; each next one is a millisecond later
	Paths int       // distinct paths
	Keys  int       // distinct API keys
	APIs  int
	Orgs  int
}

// Maker makes payloads. It is not safe for concurrent use.
type Maker struct {
	opts Options
	from []record.Record
	buf  []byte
}

// Root is the directory of this module.
func Root() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find go.mod: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}

// Captured are the payloads that a gateway wrote in a format, as they came.
func Captured(f record.Format) ([][]byte, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	return reference.ReadFrames(filepath.Join(root, "internal", "record", "testdata", "vectors", "gateway-"+f.String()+".bin"))
}

// Nearest are up to n captured requests, those that aggregates count, nearest in size to Size.
func Nearest(f record.Format, n int) ([][]byte, error) {
	all, err := Captured(f)
	if err != nil {
		return nil, err
	}
	var d record.Decoder
	var r record.Record
	all = slices.DeleteFunc(all, func(p []byte) bool {
		return d.Decode(f, p, &r) != nil || r.OrgID == "" || r.ResponseCode < 0 || r.GraphQL.IsGraphQL || r.MCP.IsMCP
	})
	slices.SortStableFunc(all, func(a, b []byte) int { return cmp.Compare(distance(a), distance(b)) })
	if len(all) == 0 {
		return nil, errors.New("no captured record is an ordinary request")
	}
	return all[:min(n, len(all))], nil
}

func distance(p []byte) int { return max(len(p)-Size, Size-len(p)) }

// New returns a maker.
func New(o Options) (*Maker, error) {
	payloads, err := Nearest(record.Msgpack, templates)
	if err != nil {
		return nil, err
	}
	m := &Maker{opts: o, from: make([]record.Record, len(payloads))}
	for i, p := range payloads {
		if err := record.Decode(record.Msgpack, p, &m.from[i]); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Next is the payload with number i, valid until the next call. Its size is Size, give or take a few bytes.
func (m *Maker) Next(i int) []byte {
	r := m.from[i%len(m.from)]
	r.TimeStamp = m.opts.Start.Add(time.Duration(i) * time.Millisecond)
	if n := m.opts.Paths; n > 0 {
		r.Path = fmt.Sprintf("/v1/resources/%d", i%n)
		r.RawPath = r.Path
	}
	if n := m.opts.Keys; n > 0 {
		r.APIKey = fmt.Sprintf("key%08d", i%n)
	}
	if n := m.opts.APIs; n > 0 {
		r.APIID = fmt.Sprintf("api%05d", i/7%n)
	}
	if n := m.opts.Orgs; n > 0 {
		r.OrgID = fmt.Sprintf("org%05d", i/3%n)
	}
	m.buf = record.AppendMsgpack(m.buf[:0], &r)
	if short := Size - len(m.buf); short != 0 {
		r.RawResponse = fit(r.RawResponse, len(r.RawResponse)+short)
		m.buf = record.AppendMsgpack(m.buf[:0], &r)
	}
	return m.buf
}

// fit cuts or repeats base64 text to a length.
func fit(s string, n int) string {
	if n <= len(s) {
		return s[:max(n, 0)]
	}
	return s + strings.Repeat("QUJD", (n-len(s)+3)/4)[:n-len(s)]
}
