package pipeline

import (
	"math"
	"testing"
	"time"
)

// TestForecastFollowsTheRates: what waits is foreseen to end by the difference of what is taken and what comes, or never.
func TestForecastFollowsTheRates(t *testing.T) {
	for _, c := range []struct {
		name        string
		comes, goes uint64 // a second
		want        float64
	}{
		{"a worker catches up", 100, 300, (10_000 - 60*200.0) / 200}, // by then nothing waits
		{"slowly", 100, 150, (10_000 - 60*50.0) / 50},
		{"a store is too slow", 300, 100, NeverCatchesUp},
		{"nothing is taken", 5, 0, NeverCatchesUp},
	} {
		var f Forecast
		at, waiting, taken := time.Unix(1e9, 0), uint64(10_000), uint64(0)
		var got float64
		for range 61 {
			s := []SourceStatus{{Name: "bus", Lists: []ListStatus{{Name: "t/0", Waiting: waiting, Taken: taken}}}}
			f.Note(s, at)
			got = s[0].Lists[0].CatchUp
			at = at.Add(time.Second)
			n := min(c.goes, waiting+c.comes)
			waiting, taken = waiting+c.comes-n, taken+n
		}
		if want := max(c.want, 0); c.want != NeverCatchesUp && math.Abs(got-want) > 1+want/50 || c.want == NeverCatchesUp && got != NeverCatchesUp {
			t.Errorf("%s: %.1f s, want %.1f", c.name, got, c.want)
		}
	}
	var f Forecast
	s := []SourceStatus{{Name: "bus", Lists: []ListStatus{{Name: "t/0", Waiting: 5}}}}
	f.Note(s, time.Unix(1e9, 0))
	f.Note(s, time.Unix(1e9, 0))
	if got := s[0].Lists[0].CatchUp; got != 0 {
		t.Errorf("of one moment nothing is foreseen: %f", got)
	}
}
