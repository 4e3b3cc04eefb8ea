package archive

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"sluice/internal/pipeline"
)

// Manifest says what an object holds. It is one line of JSON and lies beside the object. Equal rows have equal
// manifests.
type Manifest struct {
	Version     int               `json:"version"` // FormatVersion
	Object      string            `json:"object"`  // the object's name, in the manifest's own directory
	Records     int64             `json:"records"`
	Bytes       int64             `json:"bytes"`  // of the uncompressed content, header row included
	SHA256      string            `json:"sha256"` // of the same, in hex
	First       time.Time         `json:"first"`  // earliest and latest time of a record
	Last        time.Time         `json:"last"`
	Positions   []Range           `json:"positions"` // what was gathered from; rows of these in other hours lie there
	Columns     []string          `json:"columns"`
	Replaces    []string          `json:"replaces"` // names, without endings, in the same directory that count no more
	Filters     *pipeline.Filters `json:"filters"`  // which records the sink got; null: all
	Masks       []pipeline.Mask   `json:"masks"`
	DropBodies  bool              `json:"drop_bodies"`
	Accept      pipeline.Accept   `json:"accept"`
	Compression Compression       `json:"compression"`
	Region      string            `json:"region"`
	Source      string            `json:"source"`
	List        string            `json:"list"`
	Lineage     string            `json:"lineage"`
	Erased      int64             `json:"erased,omitempty"`     // records that were taken out for good
	Anonymised  int64             `json:"anonymised,omitempty"` // records whose person cannot be told any more
	Imported    string            `json:"imported,omitempty"`   // kind of store that the rows were read from; empty: a gateway's list

	Key    string `json:"-"` // the object's key, set by ParseManifest
	Origin int    `json:"-"` // which of several archives that are read together it lies in, set by who reads them
}

// Range is a run of positions of one lineage: what lies in it and in the object's hour is in the object, but for what
// the filters left out and what became a dead letter.
type Range struct {
	Lineage string `json:"lineage"`
	From    string `json:"from"`
	To      string `json:"to"`
}

// meets tells whether two ranges have positions in common.
func (r Range) meets(o Range) bool { return r.Lineage == o.Lineage && r.From < o.To && o.From < r.To }

// within tells whether o has all of a range.
func (r Range) within(o Range) bool {
	return r.Lineage == o.Lineage && o.From <= r.From && r.To <= o.To
}

// MaxManifest bounds a manifest's bytes.
const MaxManifest = 4 << 20

// Encode writes the manifest as one line.
func (m *Manifest) Encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(m); err != nil {
		return nil, fmt.Errorf("encode the manifest of %s: %w", m.Object, err)
	}
	return b.Bytes(), nil
}

// ParseManifest reads the manifest that lies under key.
func ParseManifest(key string, b []byte) (*Manifest, error) {
	m := new(Manifest)
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("read manifest %s: %w", key, err)
	}
	if err := m.check(key); err != nil {
		return nil, fmt.Errorf("read manifest %s: %w", key, err)
	}
	m.Key = key[:len(key)-len(path.Base(key))] + m.Object
	return m, nil
}

func (m *Manifest) check(key string) error {
	name, ok := strings.CutSuffix(path.Base(key), manifestExt)
	switch {
	case !ok:
		return fmt.Errorf("its name does not end with %s", manifestExt)
	case m.Version < 1 || m.Version > FormatVersion:
		return fmt.Errorf("version %d, this version of sluice reads up to %d", m.Version, FormatVersion)
	case !m.Compression.Valid():
		return fmt.Errorf("%q is not a compression", m.Compression)
	case m.Object != name+m.Compression.Ext():
		return fmt.Errorf("it names object %q, not %q", m.Object, name+m.Compression.Ext())
	case m.Records < 0 || m.Bytes < 0 || len(m.SHA256) != 64:
		return fmt.Errorf("records %d, bytes %d and SHA-256 %q do not make sense", m.Records, m.Bytes, m.SHA256)
	}
	for _, r := range m.Positions {
		from, err := pipeline.ParsePosition(r.From)
		if err != nil {
			return err
		}
		to, err := pipeline.ParsePosition(r.To)
		if err != nil {
			return err
		}
		if from.Compare(to) > 0 {
			return fmt.Errorf("positions from %s to %s", from, to)
		}
	}
	return nil
}

// Name is the object's name without its ending.
func (m *Manifest) Name() string { return strings.TrimSuffix(m.Object, m.Compression.Ext()) }

// ManifestKey is the manifest's own key.
func (m *Manifest) ManifestKey() string {
	return strings.TrimSuffix(m.Key, m.Compression.Ext()) + manifestExt
}

// Complete tells whether the object lacks nothing that was taken: no filter chose its rows, no mask changed them and no
// body was dropped, nobody's records were erased; and that it comes from a list and not from a store that had lost some of
// what records say. A rebuild refuses others.
func (m *Manifest) Complete() bool {
	return m.Filters == nil && len(m.Masks) == 0 && !m.DropBodies && m.Erased == 0 && m.Anonymised == 0 && m.Imported == ""
}

// same tells whether two manifests stand for the same rows.
func (m *Manifest) same(o *Manifest) bool {
	return m.Object == o.Object && m.SHA256 == o.SHA256 && m.Records == o.Records && m.Bytes == o.Bytes &&
		slices.Equal(m.Positions, o.Positions)
}
