package mongoagg

import (
	"testing"

	"sluice/internal/pipeline"
	"sluice/internal/record"
	"sluice/sinks/sinktest"
)

func TestContract(t *testing.T) {
	t.Parallel()
	sinktest.Run(t, func(t *testing.T) sinktest.Harness {
		s := shared(t)
		c := s.config()
		return sinktest.Harness{
			Open: func(t testing.TB) pipeline.Sink { return s.closed(t, c) },
			Check: func(t testing.TB, delivered []sinktest.Delivered) {
				var rs []*record.Record
				for _, d := range delivered {
					rs = append(rs, d.Item.Record)
				}
				s.holds(t, c, rs)
			},
		}
	})
}
