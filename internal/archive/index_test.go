package archive

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// gets counts the manifests that are read.
type gets struct {
	*memStore
	manifests atomic.Int64
}

func (g *gets) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	if strings.HasSuffix(key, manifestExt) {
		g.manifests.Add(1)
	}
	return g.memStore.Get(ctx, key)
}

// reads lists everything through the index and wants each row once, and so many manifests read.
func (h *hoard) reads(when string, manifests int) {
	h.t.Helper()
	under := &gets{memStore: h.s}
	var n int64
	for m, err := range List(h.t.Context(), NewIndexed(under, "p/", false), "p/", time.Time{}, time.Time{}) {
		if err != nil {
			h.t.Fatal(err)
		}
		n += m.Records
	}
	if int(n) != len(h.want) || int(under.manifests.Load()) != manifests {
		h.t.Errorf("%s: %d records of %d, %d manifests read one by one, want %d", when, n, len(h.want), under.manifests.Load(), manifests)
	}
}

func (h *hoard) index() {
	h.t.Helper()
	if err := WriteIndex(h.t.Context(), h.s, "p/", "eu-west-1", nine); err != nil {
		h.t.Fatal(err)
	}
}

func (h *hoard) indexKeys() (keys []string) {
	for key := range h.s.objects {
		if strings.HasPrefix(key, "p/"+indexDir) {
			keys = append(keys, key)
		}
	}
	return keys
}

// TestIndexSparesReadsAndHidesNothing: what comes late, is joined or deleted is seen at once; a damaged index costs time
// alone.
func TestIndexSparesReadsAndHidesNothing(t *testing.T) {
	h := newHoard(t)
	for i := range 20 {
		h.add(lineages[i%3], 3)
	}
	h.reads("without an index", 20)
	h.index()
	h.reads("indexed", 0)
	h.add(lineages[0], 2)
	h.reads("one comes late", 1)
	check := NewIndexed(h.s, "p/", true)
	for _, err := range Hours(t.Context(), check, "p/", time.Time{}, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := check.Missed("eu-west-1", nine); n != 1 {
		t.Errorf("the index lacks %d, want 1", n)
	}
	h.index()
	if n := len(h.indexKeys()); n != 1 {
		t.Errorf("%d indexes", n)
	}
	h.reads("indexed again", 0)
	if err := h.compact(h.s); err != nil {
		t.Fatal(err)
	}
	h.reads("joined", 1)
	h.sweep()
	h.reads("swept", 1)

	key := h.indexKeys()[0]
	good := h.s.objects[key]
	for name, body := range map[string][]byte{"cut off": good.body[:len(good.body)/2], "empty": {}, "other": bytes.Repeat([]byte("x"), 100)} {
		h.s.objects[key] = memObject{body: body}
		h.reads(name, 1)
	}
	if err := DropIndex(t.Context(), h.s, "p/", "eu-west-1", nine); err != nil || len(h.indexKeys()) != 0 {
		t.Errorf("%d indexes are left, %v", len(h.indexKeys()), err)
	}
}

// TestIndexThatLies: one that was changed is noticed, and for who deletes it does not count at all.
func TestIndexThatLies(t *testing.T) {
	h := newHoard(t)
	h.add(lineages[0], 5)
	h.index()
	key := h.indexKeys()[0]
	plain, err := decompress(Zstd, bytes.NewReader(h.s.objects[key].body))
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(plain)
	if err != nil {
		t.Fatal(err)
	}
	lie := bytes.Replace(all, []byte(`\"records\":5`), []byte(`\"records\":9`), 1)
	if bytes.Equal(lie, all) {
		t.Fatal("nothing was changed")
	}
	if _, err := parseIndex(bytes.NewReader(lie)); err == nil {
		t.Error("a changed index is believed")
	}
	if _, err := parseIndex(bytes.NewReader(all)); err != nil {
		t.Error(err)
	}
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte("{}\n"))
	f.Add([]byte(strings.Repeat("0", 64) + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := parseIndex(bytes.NewReader(b)); err == nil && m == nil {
			t.Error("neither an index nor an error")
		}
	})
}
