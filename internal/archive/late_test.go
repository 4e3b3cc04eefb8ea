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
