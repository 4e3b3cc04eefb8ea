package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/pipeline"
	"sluice/internal/record"
)

// FuzzText: whatever a string holds, its cell is one physical line of printable bytes that encoding/csv reads, and the
// text comes back.
func FuzzText(f *testing.F) {
	for _, s := range []string{"", "plain", "\x00", "a,b", "\"", "\\", "\\x41", "\xff", "é\x80", "=1", "\uff1d", " @", "\r\n"} {
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, s string, neutral bool) {
		cell := appendText(nil, s, neutral)
		if bytes.ContainsFunc(cell, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
			t.Fatalf("control bytes in %q", cell)
		}
		read, err := csv.NewReader(strings.NewReader("x," + string(cell) + "\n")).Read()
		if err != nil || len(read) != 2 {
			t.Fatalf("%q: %v", cell, err)
		}
		ours, err := splitLine(nil, "x,"+string(cell))
		if err != nil || len(ours) != 2 || ours[1] != read[1] {
			t.Fatalf("%q: encoding/csv reads %q, we %q (%v)", cell, read, ours, err)
		}
		if got, err := unescape(ours[1]); err != nil || got != s {
			t.Fatalf("%q came back as %q (%v)", s, got, err)
		}
		var p any
		if p, err = parseJSON(string(appendJSONString(nil, s))); err != nil || p != s {
			t.Fatalf("%q came back from JSON as %q (%v)", s, p, err)
		}
	})
}

// FuzzRoundTrip: any record comes back from its row, without loss.
func FuzzRoundTrip(f *testing.F) {
	f.Add("a", "b\x00", "\xff", int64(-1), int64(1700000000), 1.5, true)
	f.Add("", ",", "\"", int64(1)<<62, int64(-62135596800), math.Copysign(0, -1), false)
	f.Fuzz(func(t *testing.T, a, b, c string, n, sec int64, x float64, flag bool) {
		r := full()
		r.TimeStamp, r.ExpireAt = time.Unix(sec, n&0x3fffffff%1e9).UTC(), time.Unix(n, 0).UTC()
		r.Method, r.Host, r.Path, r.RawPath, r.RawResponse, r.OrgID = a, b, c, a+b, b+c, c+a
		r.Tags, r.Geo.City.Names = []string{a, b, c}, map[string]string{a: b, c: a}
		r.ContentLength, r.Network.BytesOut, r.ResponseCode, r.Hour = n, -n, int32(n), int32(n>>32)
		r.Geo.Location.Latitude, r.Geo.City.GeoNameID, r.TrackPath = x, uint32(n), flag
		r.GraphQL.Variables, r.GraphQL.RootFields, r.GraphQL.HasErrors = b, []string{c}, flag
		r.GraphQL.Types = map[string][]string{a: {b}, b: nil}
		r.GraphQL.Errors = []record.GraphQLError{{Message: c, Path: []any{a, n, flag}}}
		r.MCP.PrimitiveName = a
		if !flag {
			r.GraphQL, r.MCP, r.Tags, r.Geo.City.Names = record.GraphQLStats{}, record.MCPStats{}, nil, nil
		}
		want := row(r, uint32(n))
		enc := Encoder{Neutral: flag}
		line := enc.AppendRow(nil, &want)
		if bytes.IndexByte(line, '\n') != len(line)-1 {
			t.Fatalf("more than one line: %q", line)
		}
		got := decodeAll(t, append(AppendHeader(nil), line...))[0]
		if x != x {
			want.Record.Geo.Location.Latitude, got.Record.Geo.Location.Latitude = 0, 0
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatal(d)
		}
	})
}

// FuzzRow: foreign lines do not disturb the decoder, and what it reads it writes the same for ever.
func FuzzRow(f *testing.F) {
	var enc Encoder
	for i, r := range []*record.Record{full(), oneRecord()} {
		rw := row(r, uint32(i))
		f.Add(strings.TrimSuffix(string(enc.AppendRow(nil, &rw)), "\n"))
	}
	h, err := ParseHeader(strings.TrimSuffix(string(AppendHeader(nil)), "\n"))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, line string) {
		r, err := h.Row(line)
		if err != nil {
			return
		}
		var enc Encoder
		first := enc.AppendRow(nil, &r)
		again, err := h.Row(strings.TrimSuffix(string(first), "\n"))
		if err != nil {
			t.Fatalf("%v in %q", err, first)
		}
		if second := enc.AppendRow(nil, &again); !bytes.Equal(first, second) {
			t.Fatalf("%q, then %q", first, second)
		}
	})
}

// FuzzReader: foreign objects do not disturb the reader, and none of them passes for what a manifest says.
func FuzzReader(f *testing.F) {
	var enc Encoder
	rw := row(full(), 1)
	content := enc.AppendRow(AppendHeader(nil), &rw)
	for i, kind := range []Compression{Zstd, Gzip, None} {
		f.Add(uint8(i), compressed(f, kind, content))
	}
	sum := sha256.Sum256(content)
	f.Fuzz(func(t *testing.T, which uint8, object []byte) {
		m := &Manifest{
			Compression: []Compression{Zstd, Gzip, None}[which%3], Bytes: int64(len(content)), Records: 1,
			SHA256: hex.EncodeToString(sum[:]),
		}
		r, err := NewReader(bytes.NewReader(object), m)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("unexpected error %v", err)
			}
			return
		}
		defer func() { _ = r.Close() }()
		for err == nil {
			var got Row
			if got, err = r.Next(); err == nil && got.Record == nil {
				t.Fatal("a row without a record")
			}
		}
		if err == io.EOF {
			plain, bad := decompress(m.Compression, bytes.NewReader(object))
			if bad != nil {
				t.Fatal(bad)
			}
			if all, _ := io.ReadAll(io.LimitReader(plain, int64(len(content))+1)); !bytes.Equal(all, content) {
				t.Fatal("another object passes")
			}
		}
	})
}

// FuzzManifest: foreign manifests do not disturb, and lead to no other directory.
func FuzzManifest(f *testing.F) {
	f.Add("p/region=r/dt=2026-11-23/hour=09/n.manifest.json", []byte(`{"version":1,"object":"n.csv","compression":"none",`+
		`"sha256":"`+strings.Repeat("a", 64)+`"}`))
	f.Fuzz(func(t *testing.T, key string, b []byte) {
		m, err := ParseManifest(key, b)
		if err != nil {
			return
		}
		if m.ManifestKey() != key {
			t.Fatalf("the manifest at %q describes %q", key, m.Key)
		}
	})
}

// FuzzPosition: we read positions as the pipeline does.
func FuzzPosition(f *testing.F) {
	f.Add("018bcfe5680000000007-0000000003-0000000001")
	f.Add("018BCFE5680000000007-0000000003-9999999999")
	f.Fuzz(func(t *testing.T, s string) {
		want, wantErr := pipeline.ParsePosition(s)
		got, err := parsePosition(s)
		if (err == nil) != (wantErr == nil) || got != want {
			t.Fatalf("%q: %v, %v; the pipeline reads %v, %v", s, got, err, want, wantErr)
		}
	})
}

// FuzzMembers: a foreign tag does not disturb, and what is read is written without a space.
func FuzzMembers(f *testing.F) {
	f.Add(`{"v":1,"prefix":"a b/","compression":"zstd","region":"eu west"}`)
	f.Fuzz(func(t *testing.T, tag string) {
		m, err := parseMembers(tag)
		if err != nil {
			return
		}
		out, err := m.encode()
		if err != nil || strings.Contains(out, " ") {
			t.Fatalf("%q, %v", out, err)
		}
		again, err := parseMembers(out)
		if err != nil || again != m {
			t.Fatalf("%+v, then %+v, %v", m, again, err)
		}
	})
}

func compressed(t testing.TB, kind Compression, content []byte) []byte {
	t.Helper()
	var p packer
	var out []byte
	for _, half := range [][]byte{content[:len(content)/2], content[len(content)/2:]} {
		b, err := p.pack(kind, half)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b...)
	}
	return out
}
