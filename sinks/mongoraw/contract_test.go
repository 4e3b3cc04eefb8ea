package mongoraw

import (
	"log/slog"
	"testing"

	"sluice/internal/pipeline"
	"sluice/internal/record"
	"sluice/sinks/sinktest"
)

// TestContract runs the contract of sinks over both layouts, uptime records included.
func TestContract(t *testing.T) {
	for _, layout := range []string{LayoutCapped, LayoutPerOrg} {
		t.Run(layout, func(t *testing.T) {
			sinktest.Run(t, func(t *testing.T) sinktest.Harness { return harness(t, layout) })
		})
	}
}

func harness(t *testing.T, layout string) sinktest.Harness {
	s := shared(t)
	return sinktest.Harness{
		Open: func(t testing.TB) pipeline.Sink {
			sink, err := New("raw", s.config(layout), slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			return sink
		},
		Effects: func(t testing.TB) map[string]int {
			effects := map[string]int{}
			for _, name := range s.names(t) {
				for _, doc := range s.documents(t, name) {
					effects[record.ID(doc.Lookup("_id").ObjectID()).String()]++
				}
			}
			return effects
		},
		Wants: func(it *pipeline.Item) bool {
			return it.Uptime != nil || !it.Record.MCP.IsMCP && it.Record.ResponseCode != -1
		},
	}
}
