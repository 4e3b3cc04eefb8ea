package spool

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/archive/dirstore"
	"sluice/internal/pipeline"
	"sluice/internal/record"
)

var id = pipeline.SpoolID{Lineage: "0123456789abcdef0123456789abcdef", Sink: "raw"}

func batch(from, to uint32) *pipeline.SpoolBatch {
	b := &pipeline.SpoolBatch{SpoolHead: pipeline.SpoolHead{
		Source: "main", List: "list", Format: record.Protobuf, Claim: pipeline.ClaimID{Epoch: pipeline.Epoch{Ms: 5, Rand: 6}, Number: 7},
		ClaimTime: time.Unix(1700000000, 5e6).UTC(), ClaimLen: 10_000, From: from, To: to, Shape: []byte(`{"record":{"region":"r"}}`),
	}}
	for i := from; i < to; i++ {
		payload := bytes.Repeat([]byte{byte(i)}, int(i%100)*10)
		b.Elements = append(b.Elements, pipeline.Element{Payload: payload, Len: int64(len(payload)) + int64(i%2), Hash: uint64(i) * 0x9e3779b97f4a7c15})
	}
	return b
}

func position(index uint32) pipeline.Position {
	return pipeline.Position{Claim: pipeline.ClaimID{Epoch: pipeline.Epoch{Ms: 5, Rand: 6}, Number: 7}, Index: index}
}

func open(t testing.TB) (*Spool, string) {
	t.Helper()
	dir := t.TempDir()
	store, err := dirstore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return New(store, "", "dir:home"), dir
}

func put(t testing.TB, s *Spool, b *pipeline.SpoolBatch) uint32 {
	t.Helper()
	to, err := s.Put(t.Context(), id, b)
	if err != nil {
		t.Fatal(err)
	}
	return to
}

func TestUseCountsWhatLiesThere(t *testing.T) {
	s, _ := open(t)
	for _, from := range []uint32{0, 1000, 2000} {
		put(t, s, batch(from, from+1000))
	}
	left := batch(0, 10) // of an earlier claim, that a crash left
	left.Claim.Number--
	put(t, s, left)
	n, size, first, err := s.Use(t.Context(), id, position(1500))
	if err != nil || n != 3 || first != position(0) {
		t.Errorf("%d batches from %s, %v", n, first, err)
	}
	if n, all, _, err := s.Use(t.Context(), id, pipeline.Position{}); err != nil || n != 4 || all <= size || size < 3*40_000 {
		t.Errorf("%d batches with %d bytes, %d of them named, %v", n, all, size, err)
	}
	if n, size, _, err := s.Use(t.Context(), pipeline.SpoolID{Lineage: id.Lineage, Sink: "other"}, position(0)); n != 0 || size != 0 || err != nil {
		t.Errorf("another sink has %d batches, %d bytes, %v", n, size, err)
	}
}

func TestBatchComesBackAsItWas(t *testing.T) {
	s, _ := open(t)
	want := batch(1000, 3500)
	if to := put(t, s, want); to != 3500 {
		t.Errorf("it ends at %d", to)
	}
	put(t, s, batch(3500, 3501))
	var starts []pipeline.Position
	for p, err := range s.Starts(t.Context(), id) {
		if err != nil {
			t.Fatal(err)
		}
		starts = append(starts, p)
	}
	if d := cmp.Diff([]pipeline.Position{position(1000), position(3500)}, starts); d != "" {
		t.Error(d)
	}
	head, err := s.Head(t.Context(), id, position(1000))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want.SpoolHead, head); d != "" {
		t.Error(d)
	}
	var got []pipeline.Element
	for i := uint32(1000); i < 3500; {
		es, err := s.Read(t.Context(), id, position(1000), i, 900, 100_000)
		if err != nil {
			t.Fatal(err)
		}
		size := 0
		for _, e := range es[:len(es)-1] {
			size += len(e.Payload)
		}
		if len(es) > 900 || size > 100_000 {
			t.Fatalf("%d elements of %d bytes are beyond the bounds", len(es), size)
		}
		got, i = append(got, es...), i+uint32(len(es))
	}
	if d := cmp.Diff(want.Elements, got); d != "" {
		t.Error(d)
	}
	if err := s.Remove(t.Context(), id, position(1000)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Head(t.Context(), id, position(1000)); !errors.Is(err, pipeline.ErrNotSpooled) {
		t.Error(err)
	}
}

func TestBatchThatIsThereIsAdoptedIfItIsTheSame(t *testing.T) {
	s, _ := open(t)
	put(t, s, batch(0, 500))
	for _, to := range []uint32{300, 500, 800} {
		if got := put(t, s, batch(0, to)); got != 500 {
			t.Errorf("a batch up to %d beside one up to 500 ends at %d", to, got)
		}
	}
	other := batch(0, 300)
	other.Elements[200].Hash++
	if _, err := s.Put(t.Context(), id, other); !errors.Is(err, errDamaged) {
		t.Errorf("another batch of the same name: %v", err)
	}
}

// Whatever byte is changed, and wherever the batch is cut off, no element comes back that was not put in.
func TestDamageIsFound(t *testing.T) {
	s, dir := open(t)
	want := batch(0, 40)
	put(t, s, want)
	name := filepath.Join(dir, id.Lineage, id.Sink, position(0).String()+suffix)
	good, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(good); at += 97 {
		bad := bytes.Clone(good)
		bad[at] ^= 0x10
		for _, data := range [][]byte{bad, good[:at]} {
			if err := os.WriteFile(name, data, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := s.Read(t.Context(), id, position(0), 0, 40, 1<<30)
			if !errors.Is(err, errDamaged) {
				t.Fatalf("damage at %d of %d (%d bytes are left): %v", at, len(good), len(data), err)
			}
			if at%970 > 0 { // a write waits for the disk
				continue
			}
			if _, err := s.Put(t.Context(), id, want); !errors.Is(err, errDamaged) {
				t.Fatalf("damage at %d is adopted: %v", at, err)
			}
		}
	}
}

func TestFullAndReadOnlyDirectory(t *testing.T) {
	s, dir := open(t)
	if err := os.RemoveAll(filepath.Join(dir, ".tmp")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".tmp"), nil, 0o400); err != nil { // as root a mode would not do
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), id, batch(0, 5)); err == nil {
		t.Error("nothing could be written, and nothing was said")
	}
	for p := range s.Starts(t.Context(), id) {
		t.Errorf("there is a batch %s", p)
	}
}

func TestCancelledWriteLeavesNothing(t *testing.T) {
	s, _ := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Put(ctx, id, batch(0, 5)); err == nil {
		t.Error("written although nobody waits")
	}
	for p := range s.Starts(t.Context(), id) {
		t.Errorf("there is a batch %s", p)
	}
}

func FuzzRead(f *testing.F) {
	for _, b := range []*pipeline.SpoolBatch{batch(0, 1), batch(5, 25)} {
		data, err := encode(b)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(magic + strings.Repeat("\xff", 40)))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := newReader(io.NopCloser(bytes.NewReader(data)))
		if err != nil {
			if !errors.Is(err, errDamaged) {
				t.Errorf("%v is not called damage", err)
			}
			return
		}
		for i := r.head.From; i < r.head.To; i++ {
			e, err := r.element()
			if err != nil {
				if !errors.Is(err, errDamaged) {
					t.Errorf("%v is not called damage", err)
				}
				return
			}
			if len(e.Payload) > len(data) {
				t.Errorf("%d bytes came out of %d", len(e.Payload), len(data))
			}
		}
	})
}

// TestBatchOfAnotherLayout: a newer one is not damaged, stays, and is not written over; what has no layout is damaged.
func TestBatchOfAnotherLayout(t *testing.T) {
	s, dir := open(t)
	put(t, s, batch(0, 10))
	names, err := filepath.Glob(filepath.Join(dir, "*", "*", "*"+suffix))
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	data, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	for begin, newer := range map[string]bool{"SLUSPL2\n": true, "SLUSPL9\n": true, "SLUSPL0\n": false, "SLUSPLx\n": false, "SLUSPL2x": false} {
		changed := append([]byte(begin), data[len(magic):]...)
		if err := os.WriteFile(names[0], changed, 0o600); err != nil {
			t.Fatal(err)
		}
		_, head := s.Head(t.Context(), id, position(0))
		_, read := s.Read(t.Context(), id, position(0), 0, 10, 1<<20)
		_, write := s.Put(t.Context(), id, batch(0, 10))
		for what, err := range map[string]error{"head": head, "read": read, "put": write} {
			if errors.Is(err, pipeline.ErrNewer) != newer || errors.Is(err, errDamaged) == newer {
				t.Errorf("%q: %s: %v", begin, what, err)
			}
		}
		if now, err := os.ReadFile(names[0]); err != nil || !bytes.Equal(now, changed) {
			t.Errorf("%q was touched: %v", begin, err)
		}
	}
}
