package opensearch

import (
	"strings"
	"testing"
	"time"
)

func TestIndexName(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 59, 59, 999, time.FixedZone("x", 5*3600)) // 00:59 UTC
	for _, tt := range []struct{ pattern, name, wildcard, template string }{
		{"tyk_analytics-{yyyy.MM.dd}", "tyk_analytics-2026.03.04", "tyk_analytics-*", "sluice-tyk_analytics"},
		{"a-{yyyy}.{MM}", "a-2026.03", "a-*", "sluice-a"},
		{"a-{yyyyMMddHH}-b", "a-2026030400-b", "a-*-b", "sluice-a--b"},
		{"plain", "plain", "plain", "sluice-plain"},
	} {
		name, err := IndexName(tt.pattern, at)
		if err != nil || name != tt.name {
			t.Errorf("IndexName(%q) = %q, %v", tt.pattern, name, err)
		}
		p, err := parsePattern(tt.pattern)
		if err != nil || p.wildcard() != tt.wildcard || p.templateName() != tt.template {
			t.Errorf("%q: wildcard %q, template %q, %v", tt.pattern, p.wildcard(), p.templateName(), err)
		}
	}
	for pattern, want := range map[string]string{
		"":                       "is missing",
		"Tyk-{yyyy}":             "capital",
		"-a":                     "begins with",
		".a":                     "begins with",
		"a b":                    "character",
		"a*":                     "character",
		"a-{yyyy/MM}":            "character",
		"a-{}":                   "empty braces",
		"a-{YYYY}":               "in braces",
		"a-{yyyy.ww}":            "in braces",
		"a-{yyyy":                "without }",
		"a-yyyy}":                "without {",
		"a-{{yyyy}}":             "in braces",
		"{yyyy}-a":               "begins with a time",
		strings.Repeat("a", 256): "longer",
		"ÄÖ":                     "capital",
	} {
		if _, err := IndexName(pattern, at); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("IndexName(%q) = %v, want an error with %q", pattern, err, want)
		}
	}
	for _, year := range []int{-1, 10_000} {
		if name, err := IndexName("a-{yyyy}", time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)); err == nil {
			t.Errorf("the year %d became %q", year, name)
		}
	}
}

// TestNamer: what is remembered of the last record changes nothing, also before 1970.
func TestNamer(t *testing.T) {
	p, err := parsePattern("a-{yyyyMMddHH}")
	if err != nil {
		t.Fatal(err)
	}
	n := namer{pattern: p}
	for _, unix := range []int64{3599, 0, -1, -3600, -3601, 3600, 7199, 7200, -1, 0} {
		at := time.Unix(unix, 0)
		want, _ := p.name(at)
		if got, err := n.name(at); err != nil || got != want {
			t.Errorf("%v: %q, want %q", at.UTC(), got, want)
		}
	}
}

func FuzzIndexName(f *testing.F) {
	f.Add("tyk_analytics-{yyyy.MM.dd}", int64(1795427026))
	f.Add("a{}b}{HH", int64(-1))
	f.Fuzz(func(t *testing.T, pattern string, unix int64) {
		name, err := IndexName(pattern, time.Unix(unix, 0))
		if err == nil && checkName(name) != nil {
			t.Fatalf("%q made %q: %v", pattern, name, checkName(name))
		}
	})
}
