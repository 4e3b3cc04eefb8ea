package archive

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestHoursTellOrphansAndReplaced(t *testing.T) {
	s, m := newMemStore(), &registry{}
	g := gathererOver(t, s, small(t))
	for i := range uint32(3) {
		mustAdd(t, g, batchOf(m, g, 1, i*10, i*10+10, func(uint32) time.Time { return nine.Add(time.Duration(i) * 12 * time.Hour) }))
		mustFlush(t, g, m)
	}
	b := batchOf(m, g, 1, 30, 40, sameHour)
	b.Shape.Record.Region = "us/east 1%"
	mustAdd(t, g, b)
	mustFlush(t, g, m)

	dir := Partition("p/", "eu-west-1", nine)
	s.objects[dir+"crashed.csv.zst"] = memObject{body: []byte("half")}
	var old *Manifest
	for o, err := range List(t.Context(), s, "p/", time.Time{}, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		old = o
		break
	}
	big := *old
	big.Object, big.Replaces = "compacted.csv.zst", []string{old.Name()}
	line, err := big.Encode()
	if err != nil {
		t.Fatal(err)
	}
	s.objects[dir+"compacted.manifest.json"] = memObject{body: line}
	s.objects[dir+"compacted.csv.zst"] = s.objects[old.Key]

	var regions []string
	var hours []Hour
	for h, err := range Hours(t.Context(), s, "p/", time.Time{}, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		regions = append(regions, h.Region)
		hours = append(hours, h)
	}
	if !slices.Equal(regions, []string{"eu-west-1", "eu-west-1", "eu-west-1", "us/east 1%"}) {
		t.Fatalf("regions %q", regions)
	}
	h := hours[0]
	if len(h.Manifests) != 1 || h.Manifests[0].Name() != "compacted" || len(h.Replaced) != 1 || len(h.Orphans) != 1 ||
		h.Orphans[0].Key != dir+"crashed.csv.zst" || len(h.Objects) != 3 || !h.Time.Equal(nine.Truncate(time.Hour)) {
		t.Errorf("hour %+v", h)
	}
	if n := len(archived(t, s)); n != 40 {
		t.Errorf("%d rows", n)
	}

	bounds := []struct {
		from, to time.Time
		want     int
	}{
		{nine, nine.Add(time.Second), 2}, {nine.Add(time.Second), time.Time{}, 2}, {time.Time{}, nine, 0},
		{nine.Add(12 * time.Hour), nine.Add(24 * time.Hour), 1}, {nine.Add(24 * time.Hour), time.Time{}, 1},
	}
	for _, c := range bounds {
		n := 0
		for _, err := range List(t.Context(), s, "p/", c.from, c.to) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != c.want {
			t.Errorf("%d objects from %s to %s, want %d", n, c.from, c.to, c.want)
		}
	}
}

func TestVerifyFindsDamage(t *testing.T) {
	for _, kind := range []Compression{Zstd, Gzip, None} {
		s, m := newMemStore(), &registry{}
		o := small(t)
		o.Layout.Compression = kind
		g := gathererOver(t, s, o)
		mustAdd(t, g, batchOf(m, g, 1, 0, 50, sameHour))
		mustFlush(t, g, m)
		var man *Manifest
		for x, err := range List(t.Context(), s, "p/", time.Time{}, time.Time{}) {
			if man = x; err != nil {
				t.Fatal(err)
			}
		}
		if err := Verify(t.Context(), s, man); err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		good := s.objects[man.Key].body
		damaged := [][]byte{nil, good[:len(good)/2], append(slices.Clone(good), good...), slices.Clone(good)}
		damaged[3][len(good)/2] ^= 1
		plain, err := decompress(kind, bytes.NewReader(good))
		if err != nil {
			t.Fatal(err)
		}
		var content bytes.Buffer
		if _, err := content.ReadFrom(plain); err != nil {
			t.Fatal(err)
		}
		lines := bytes.SplitAfter(content.Bytes(), []byte("\n"))
		damaged = append(damaged, compressed(t, kind, bytes.Join(slices.Delete(slices.Clone(lines), 5, 6), nil)))
		for i, b := range damaged {
			s.objects[man.Key] = memObject{body: b}
			if err := Verify(t.Context(), s, man); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s, damage %d: %v", kind, i, err)
			}
		}
		delete(s.objects, man.Key)
		if err := Verify(t.Context(), s, man); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s, object gone: %v", kind, err)
		}
	}
}

// TestBombIsRefused: what a small object unfolds to is bounded by what its manifest says.
func TestBombIsRefused(t *testing.T) {
	content := append(AppendHeader(nil), bytes.Repeat([]byte("a"), 64<<20)...)
	m := &Manifest{Compression: Zstd, Bytes: 10 << 10, Records: 1, SHA256: strings.Repeat("0", 64)}
	r, err := NewReader(bytes.NewReader(compressed(t, Zstd, content)), m)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); !errors.Is(err, ErrCorrupt) || r.bytes > m.Bytes+1 {
		t.Errorf("%d bytes were read: %v", r.bytes, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}
