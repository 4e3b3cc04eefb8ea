package sinktest

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"sluice/internal/pipeline"
	"sluice/internal/record"
)

// List is a Redis list's worth of claims of one stream, in order.
type List struct {
	Stream  pipeline.StreamID
	Kind    pipeline.Kind
	Claims  []Claim
	Members *Members // of the sink under test
}

// Claim is one claim with all its items.
type Claim struct {
	ID    pipeline.ClaimID
	Time  time.Time
	Items []pipeline.Item // one an index, from 0 on
}

// NewList makes an empty list of analytics records. Equal names have equal lineages.
func NewList(name string) *List {
	h := record.MakeID(time.Unix(0, 0), new(record.Ordinals).Next(0, []byte(name)))
	return &List{
		Stream:  pipeline.StreamID{Source: "main", List: name, Lineage: h.String() + "00000000"},
		Members: &Members{},
	}
}

// Add appends the items as a claim of their own and gives them their indices and record IDs.
func (l *List) Add(items []pipeline.Item) {
	n := uint32(len(l.Claims) + 1)
	c := Claim{
		ID:    pipeline.ClaimID{Epoch: pipeline.Epoch{Ms: 1_795_427_000_000, Rand: 7}, Number: n},
		Time:  time.UnixMilli(1_795_427_100_000 + int64(n)*1000).UTC(),
		Items: slices.Clone(items),
	}
	var ids record.Ordinals
	for i := range c.Items {
		it := &c.Items[i]
		it.Index = uint32(i)
		at := c.Time
		if it.Record != nil {
			at = it.Record.TimeStamp
		} else if it.Uptime != nil {
			at = it.Uptime.TimeStamp
		}
		it.ID = record.MakeID(at, ids.Next(it.Index, it.Raw))
	}
	l.Claims = append(l.Claims, c)
}

func (l *List) delivered() (out []Delivered) {
	for _, c := range l.Claims {
		for _, it := range c.Items {
			out = append(out, Delivered{l.Stream, c.ID, it})
		}
	}
	return out
}

// Captured decodes the captured records of a gateway, in their order. Positions and IDs are not set.
func Captured(t testing.TB, f record.Format) []pipeline.Item {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(moduleDir(t), "internal", "record", "testdata", "vectors", "gateway-"+f.String()+".bin"))
	if err != nil {
		t.Fatal(err)
	}
	var dec record.Decoder
	var out []pipeline.Item
	for len(data) >= 4 {
		n := binary.BigEndian.Uint32(data)
		it := pipeline.Item{Raw: data[4 : 4+n], Record: new(record.Record)}
		if err := dec.Decode(f, it.Raw, it.Record); err != nil {
			t.Fatal(err)
		}
		out = append(out, it)
		data = data[4+n:]
	}
	if len(out) < 2000 {
		t.Fatalf("only %d captured records", len(out))
	}
	return out
}

// Uptimes makes n uptime records.
func Uptimes(n int) []pipeline.Item {
	out := make([]pipeline.Item, n)
	for i := range out {
		at := time.Date(2026, 11, 23, 9, 43, i%60, 0, time.UTC)
		out[i] = pipeline.Item{
			Raw: binary.BigEndian.AppendUint32([]byte("uptime"), uint32(i)),
			Uptime: &record.Uptime{URL: "http://upstream.test/", RequestTime: int64(i), ResponseCode: 200, Day: 23, Month: 11,
				Year: 2026, Hour: 9, Minute: 43, TimeStamp: at, ExpireAt: at.AddDate(1, 0, 0), APIID: "a", OrgID: "default"},
		}
	}
	return out
}

// moduleDir finds the checkout from a test's working directory.
func moduleDir(t testing.TB) string {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the working directory")
		}
	}
}
