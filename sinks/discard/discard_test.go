package discard

import (
	"testing"

	"sluice/internal/pipeline"
)

func TestCounts(t *testing.T) {
	s, err := New("nowhere", Defaults(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if r, err := s.Write(t.Context(), &pipeline.Batch{Items: make([]pipeline.Item, 7)}); err != nil || r.Filtered > 0 {
			t.Fatal(r, err)
		}
	}
	if s.Records() != 21 || !s.Takes(pipeline.Uptime) || len(s.Shape()) == 0 {
		t.Errorf("%d records", s.Records())
	}
	if p := Defaults().Validate(); len(p) > 0 || Defaults().Target() != "" {
		t.Error(p)
	}
}
