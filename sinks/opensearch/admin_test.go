package opensearch

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestSpan(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse("2006-01-02T15", s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct {
		pattern, index, from, to string
	}{
		{"a-{yyyy.MM.dd}", "a-2026.01.31", "2026-01-31T00", "2026-02-01T00"},
		{"a-{yyyy.MM.dd.HH}", "a-2026.01.31.23", "2026-01-31T23", "2026-02-01T00"},
		{"a-{yyyy-MM}-x", "a-2026-12-x", "2026-12-01T00", "2027-01-01T00"},
		{"a-{yyyy}", "a-2026", "2026-01-01T00", "2027-01-01T00"},
		{"a-{yyyy.MM.dd}", "a-2026.02.30", "", ""},
		{"a-{yyyy.MM.dd}", "a-2026.01.31-more", "", ""},
		{"a-{yyyy.MM.dd}", "a-2026.01", "", ""},
		{"a-{yyyy.MM.dd}", "b-2026.01.31", "", ""},
		{"a-{yyyy.MM.dd}", "a-20x6.01.31", "", ""},
		{"a-{MM.dd}", "a-01.31", "", ""},
		{"a-{yyyy.dd}", "a-2026.31", "", ""},
		{"a", "a", "", ""},
	} {
		p, err := parsePattern(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		from, to, ok := p.span(c.index)
		if ok != (c.from != "") || ok && (!from.Equal(at(c.from)) || !to.Equal(at(c.to))) {
			t.Errorf("%s of %s: %s to %s, %v", c.index, c.pattern, from, to, ok)
		}
	}
}

// TestSpanHoldsWhatNameWrites: the span of a record's index holds the record's time.
func TestSpanHoldsWhatNameWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, err := parsePattern(rapid.SampledFrom([]string{"a-{yyyy.MM.dd}", "a{yyyy}-{MM}-b", "x_{yyyyMMddHH}", "a-{dd.MM.yyyy}"}).Draw(t, "pattern"))
		if err != nil {
			t.Fatal(err)
		}
		at := time.Unix(rapid.Int64Range(-1e9, 1e11).Draw(t, "time"), 0)
		name, err := p.name(at)
		if err != nil {
			t.Fatal(err)
		}
		from, to, ok := p.span(name)
		if !ok || at.Before(from) || !at.Before(to) {
			t.Fatalf("%s at %s: %s to %s, %v", name, at.UTC(), from, to, ok)
		}
	})
}
