package mongoagg

import (
	"testing"
	"time"

	"sluice/sinks/sinktest"
)

// The larger a document, the longer its derived fields rest; what ends derives all of them at once.
func TestLargeDocumentsAreDerivedLessOften(t *testing.T) {
	for mapBytes, want := range map[int]time.Duration{0: 0, deriveSmall: 0, deriveSmall + 1: 2 * deriveEvery, 1 << 20: 5 * deriveEvery,
		8 << 20: maxRest} {
		if got := (&document{mapBytes: mapBytes}).rest(); got != want {
			t.Errorf("a document of %d bytes rests for %s, want %s", mapBytes, got, want)
		}
	}
	s := shared(t)
	ctx := t.Context()
	sink, l := s.open(t, s.config()), listOf("a", made(newRand(1), 50))
	now := time.Now()
	sink.now = func() time.Time { return now }
	_, err := sink.Flush(ctx, false) // sweeps
	must(t, err)
	_, err = sink.Add(ctx, sinktest.Batch(sink, l, &l.Claims[0], 0, 50))
	must(t, err)
	dirty := func() (n int) {
		for _, d := range sink.docs {
			d.mapBytes = 1 << 20
			if d.dirty {
				n++
			}
		}
		return n
	}
	now = now.Add(deriveEvery)
	_, err = sink.Flush(ctx, false)
	must(t, err)
	if n := dirty(); n != 0 {
		t.Fatalf("%d new documents were not derived", n)
	}
	mark := func() {
		for _, d := range sink.docs {
			d.dirty, d.mapBytes = true, 1<<20
		}
	}
	mark()
	for _, step := range []struct {
		after time.Duration
		clean bool
	}{{deriveEvery, false}, {3 * deriveEvery, false}, {2 * deriveEvery, true}} {
		now = now.Add(step.after)
		_, err = sink.Flush(ctx, false)
		must(t, err)
		if n := dirty(); (n == 0) != step.clean {
			t.Errorf("%s later %d documents are behind", step.after, n)
		}
	}
	mark()
	now = now.Add(time.Second)
	_, err = sink.Flush(ctx, true)
	must(t, err)
	if n := dirty(); n != 0 {
		t.Errorf("at the end %d documents are behind", n)
	}
}
