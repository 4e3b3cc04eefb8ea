package mongoagg

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"sluice/aggregate/recount"
	"sluice/internal/pipeline"
	"sluice/internal/record"
	"sluice/sinks/sinktest"
)

// Both captures go through the sink. Everything in MongoDB is as recounted; and where the incumbent makes no mistake, as
// the incumbent wrote it.
func TestGolden(t *testing.T) {
	for _, f := range []record.Format{record.Msgpack, record.Protobuf} {
		for _, track := range []bool{true, false} {
			name := f.String() + " tracked only"
			if track {
				name = f.String() + " all paths"
			}
			t.Run(name, func(t *testing.T) { goldenThrough(t, f, track) })
		}
	}
}

func goldenThrough(t *testing.T, f record.Format, track bool) {
	s := shared(t)
	c := s.config()
	c.TrackAllPaths = track
	l := sinktest.NewList("analytics-tyk-system-analytics")
	items := sinktest.Captured(t, f)
	if track { // the incumbent cannot write these
		items = slices.DeleteFunc(items, func(it pipeline.Item) bool { return strings.Contains(it.Record.Path, "\x00") })
	}
	l.Add(items[:1000])
	l.Add(items[1000:])
	must(t, sinktest.NewDriver(s.open(t, c)).Deliver(t.Context(), l))
	s.holds(t, c, recordsOf(l))

	name := "testdata/golden/" + f.String() + "/" + mixedName
	if !track {
		name += "_tracked"
	}
	b, err := os.ReadFile(name + ".jsonl.gz")
	must(t, err)
	golden, err := recount.FromExtendedJSON(bytes.NewReader(b))
	must(t, err)
	got := s.trees(t, mixedName)
	for _, d := range slices.Concat(golden, got) {
		recount.SortLists(d)
	}
	wrong := gocmp.FilterPath(mistaken, gocmp.Ignore())
	if d := gocmp.Diff(golden, got, wrong); d != "" {
		t.Errorf("golden (-) against what is stored (+):\n%.3000s", d)
	}
}

// mistaken are the fields that the incumbent gets wrong.
func mistaken(p gocmp.Path) bool {
	m, ok := p.Last().(gocmp.MapIndex)
	if !ok {
		return false
	}
	switch m.Key().String() {
	case "expireAt", "lasttime", "minlatency", "minupstreamlatency":
		return true
	case "requesttime":
		return strings.Contains(p.GoString(), `"lists"`)
	}
	return false
}
