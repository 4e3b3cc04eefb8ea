package opensearch

import (
	"log/slog"
	"testing"

	"sluice/internal/pipeline"
	"sluice/sinks/sinktest"
)

func TestContract(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Harness {
		s := shared(t)
		return sinktest.Harness{
			Open: func(t testing.TB) pipeline.Sink {
				sink, err := New("search", s.config(), slog.New(slog.DiscardHandler))
				if err != nil {
					t.Fatal(err)
				}
				return sink
			},
			Effects: func(t testing.TB) map[string]int {
				effects := map[string]int{}
				for _, h := range s.search(t, "") {
					effects[h.ID]++
				}
				return effects
			},
		}
	})
}
