package archive

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

// stopped is a store that a process has before it is frozen: writes of manifests are kept, and sent later.
type stopped struct {
	*memStore
	key, sha string
	body     []byte
}

var errFrozen = errors.New("frozen")

func (s *stopped) PutIfAbsent(ctx context.Context, key string, body io.ReadSeeker, size int64, sha string) (Info, bool, error) {
	if !strings.HasSuffix(key, manifestExt) {
		return s.memStore.PutIfAbsent(ctx, key, body, size, sha)
	}
	b, err := io.ReadAll(body)
	s.key, s.sha, s.body = key, sha, b
	return Info{}, false, errors.Join(err, errFrozen)
}

// TestLateManifestTakesNothingAway: a process that joins objects is frozen before its manifest. Another one gives its
// object up, writes only one of the inputs anew and deletes what that replaced. Then the manifest arrives.
func TestLateManifestTakesNothingAway(t *testing.T) {
	h := newHoard(t)
	h.add(lineages[0], 3)
	h.add(lineages[1], 3)
	frozen := &stopped{memStore: h.s}
	if err := h.compact(frozen); !errors.Is(err, errFrozen) {
		t.Fatal(err)
	}
	gone := lineages[0] + position(1, 1).String()
	delete(h.want, gone)
	err := h.rewriter(h.s).Rewrite(t.Context(), "eu-west-1", nine, func(r *Row) Fate {
		if r.Stream.Lineage+r.Position.String() == gone {
			return Drop
		}
		return Keep
	}, func(int64) {})
	if err != nil {
		t.Fatal(err)
	}
	h.check("after the rewrite")
	h.sweep()
	_, created, err := h.s.PutIfAbsent(t.Context(), frozen.key, strings.NewReader(string(frozen.body)), int64(len(frozen.body)), frozen.sha)
	if err != nil || !created {
		t.Fatal(created, err)
	}
	h.check("after the late manifest")
	h.sweep()
	h.check("at the end")
}

// TestSpooledRangeComesBackAfterJoining: an hour is joined while a batch of it lies in the archive sink's own spool. Whether its
// range was in the store already, in part or not at all, its rows count once.
func TestSpooledRangeComesBackAfterJoining(t *testing.T) {
	for _, stored := range []bool{false, true} {
		h := newHoard(t)
		h.add(lineages[0], 3)
		h.add(lineages[1], 3)
		reg := h.regs[lineages[0]]
		deliver := func() {
			o := small(t)
			o.Layout.Compression = None
			g := gathererOver(t, h.s, o)
			b := batchOf(reg, g, 1, 3, 6, sameHour)
			b.Stream.Lineage = lineages[0]
			mustAdd(t, g, b)
			if _, err := g.Flush(t.Context(), true); err != nil {
				t.Fatal(err)
			}
		}
		want := func() {
			for i := uint32(3); i < 6; i++ {
				h.want[lineages[0]+position(1, i).String()] = true
			}
		}
		if stored { // the crash came before it was settled
			deliver()
			want()
		}
		if err := h.compact(h.s); err != nil {
			t.Fatal(err)
		}
		h.check("joined")
		h.sweep()
		deliver()
		want()
		h.check("come back")
		if err := h.compact(h.s); err != nil {
			t.Fatal(err)
		}
		h.check("joined again")
		h.sweep()
		h.check("at the end")
		if n := len(h.hour().Manifests); n != 1 {
			t.Errorf("%d objects are left", n)
		}
	}
}

// stopAfter is a store that fails from one put on; the first put of a manifest that fails may come late.
type stopAfter struct {
	*memStore
	left int
	kept stopped
}

func (s *stopAfter) PutIfAbsent(ctx context.Context, key string, body io.ReadSeeker, size int64, sha string) (Info, bool, error) {
	if s.left--; s.left > 0 {
		return s.memStore.PutIfAbsent(ctx, key, body, size, sha)
	}
	if s.left == 0 && strings.HasSuffix(key, manifestExt) {
		s.kept.memStore = s.memStore
		return s.kept.PutIfAbsent(ctx, key, body, size, sha)
	}
	return Info{}, false, errFrozen
}

// late sends the manifest that was kept.
func (s *stopAfter) late(t *testing.T) {
	t.Helper()
	if s.kept.key == "" {
		return
	}
	if _, _, err := s.memStore.PutIfAbsent(t.Context(), s.kept.key, strings.NewReader(string(s.kept.body)), int64(len(s.kept.body)), s.kept.sha); err != nil {
		t.Fatal(err)
	}
}
