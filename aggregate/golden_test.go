package aggregate_test

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/aggregate/recount"
	"sluice/internal/record"
	"sluice/sinks/sinktest"
)

// golden reads what the incumbent wrote for a capture.
func golden(t *testing.T, f record.Format, track bool) []recount.Tree {
	t.Helper()
	name := "testdata/golden/" + f.String() + "/tyk_analytics_aggregates"
	if !track {
		name += "_tracked"
	}
	b, err := os.ReadFile(name + ".jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	docs, err := recount.FromExtendedJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return docs
}

func captured(t *testing.T, f record.Format) (rs []*record.Record) {
	t.Helper()
	for _, it := range sinktest.Captured(t, f) {
		rs = append(rs, it.Record)
	}
	return rs
}

// withoutNUL leaves out what the incumbent cannot write at all.
func withoutNUL(rs []*record.Record) []*record.Record {
	return slices.DeleteFunc(slices.Clone(rs), func(r *record.Record) bool { return strings.Contains(r.Path, "\x00") })
}

func options(track bool) recount.Options {
	return recount.Options{Bucket: time.Hour, ExpireAfter: 100 * 365 * 24 * time.Hour, TrackAllPaths: track}
}

func each(t *testing.T, f func(t *testing.T, format record.Format, track bool)) {
	for _, format := range []record.Format{record.Msgpack, record.Protobuf} {
		for _, track := range []bool{true, false} {
			name := format.String() + " tracked only"
			if track {
				name = format.String() + " all paths"
			}
			t.Run(name, func(t *testing.T) { f(t, format, track) })
		}
	}
}

func sorted(docs []recount.Tree) []recount.Tree {
	for _, d := range docs {
		recount.SortLists(d)
	}
	return docs
}

// The oracle, told to make the incumbent's mistakes, predicts every value that the incumbent wrote.
func TestRecountPredictsTheIncumbent(t *testing.T) {
	each(t, func(t *testing.T, f record.Format, track bool) {
		rs, o := captured(t, f), options(track)
		if track {
			rs = withoutNUL(rs)
		}
		o.Incumbent = true
		want, got := golden(t, f, track), recount.Documents(rs, o)
		if d := cmp.Diff(sorted(want), sorted(got)); d != "" {
			t.Errorf("golden (-) against the recount (+):\n%.4000s", d)
		}
	})
}

// Without the mistakes, nothing differs from what the incumbent wrote but the fields that it gets wrong.
func TestRecountDiffersFromTheIncumbentInItsMistakesOnly(t *testing.T) {
	each(t, func(t *testing.T, f record.Format, track bool) {
		rs := captured(t, f)
		if track {
			rs = withoutNUL(rs)
		}
		want, got := golden(t, f, track), recount.Documents(rs, options(track))
		differ := map[string]int{}
		wrong := cmp.FilterPath(func(p cmp.Path) bool {
			name := fieldName(p)
			switch name {
			case "expireAt", "lasttime", "minlatency", "minupstreamlatency", "requesttime":
				return name != "requesttime" || strings.Contains(p.GoString(), `"lists"`)
			}
			return false
		}, cmp.Comparer(func(a, b any) bool {
			if a != b {
				differ["some"]++
			}
			return true
		}))
		if d := cmp.Diff(sorted(want), sorted(got), wrong); d != "" {
			t.Errorf("golden (-) against the recount (+):\n%.4000s", d)
		}
		if differ["some"] == 0 {
			t.Error("no mistake is corrected: the comparison sees nothing")
		}
	})
}

func fieldName(p cmp.Path) string {
	for i := len(p) - 1; i >= 0; i-- {
		if m, ok := p[i].(cmp.MapIndex); ok {
			return m.Key().String()
		}
	}
	return ""
}
