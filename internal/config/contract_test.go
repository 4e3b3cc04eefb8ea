package config

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"sluice/internal/pipeline"
	"sluice/internal/units"
	"sluice/sources/redislist"
)

func contract(t *testing.T) *Config {
	t.Helper()
	c, warnings, err := Load(t.Context(), "testdata/contract.good.yaml", nil, nil)
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	return c
}

// TestContractFileHoldsTheDefaults: what the documented file says is what a file that says nothing gets, but for
// addresses and names.
func TestContractFileHoldsTheDefaults(t *testing.T) {
	c, d := contract(t), Defaults()
	d.Region, d.Sources, d.Sinks = c.Region, c.Sources, c.Sinks
	if diff := cmp.Diff(d, c, cmpopts.IgnoreUnexported(Config{}), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("differs from the defaults (-defaults +file):\n%s", diff)
	}
	if diff := cmp.Diff(redislist.Defaults(), c.Sources["main"].Settings); diff != "" {
		t.Errorf("source differs (-defaults +file):\n%s", diff)
	}
	// Addresses and names, and what OpenSearch takes from retention.search.
	own := map[string][]string{
		"dashboard": {"URI", "Database"},
		"raw":       {"URI", "Database"},
		"search":    {"URLs", "Index", "Keep"},
		"archive":   {"Bucket", "Prefix"},
	}
	for name, s := range c.Sinks {
		common := sinkDefaults()
		common.Type, common.Settings, common.OnFull = s.Type, s.Settings, Spool // the file's state is durable
		if diff := cmp.Diff(common.Filters, s.Filters); diff != "" || common.OnFull != s.OnFull || common.Timeout != s.Timeout || common.Retry != s.Retry {
			t.Errorf("%s: what every sink has is not the default", name)
		}
		k, ok := find(allKinds().sinks, s.Type)
		if !ok {
			t.Fatal(s.Type)
		}
		got := reflect.New(reflect.TypeOf(s.Settings)).Elem()
		got.Set(reflect.ValueOf(s.Settings))
		want := reflect.ValueOf(k.defaults())
		for _, f := range own[name] {
			got.FieldByName(f).Set(want.FieldByName(f))
		}
		if diff := cmp.Diff(want.Interface(), got.Interface()); diff != "" {
			t.Errorf("%s differs (-defaults +file):\n%s", name, diff)
		}
	}
}

func TestContractValues(t *testing.T) {
	c := contract(t)
	if c.Region != "eu-west-1" || len(c.Sources) != 1 || len(c.Sinks) != 4 || c.File() != "testdata/contract.good.yaml" {
		t.Errorf("region %q, %d sources, %d sinks", c.Region, len(c.Sources), len(c.Sinks))
	}
	if c.MemoryLimit() != 192<<20 || c.BufferLimit() != 96<<20 {
		t.Errorf("memory %d, buffers %d", c.MemoryLimit(), c.BufferLimit())
	}
	want := pipeline.RecordShape{Region: "eu-west-1", Accept: pipeline.Accept{Past: 1095 * units.Day, Future: units.Day}}
	if d := cmp.Diff(want, c.RecordShape()); d != "" {
		t.Error(d)
	}
	if c.Sinks["raw"].Filters.Pipeline() != nil {
		t.Error("no filters are not nil")
	}
}

func TestRecordShapeAndFilters(t *testing.T) {
	c, _, err := Load(t.Context(), "testdata/full.good.yaml", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := c.RecordShape()
	wantMasks := []pipeline.Mask{{Field: "ip_address", Action: "truncate"}, {Field: "api_key", Action: "hash"}}
	if d := cmp.Diff(wantMasks, s.Masks); d != "" || !s.DropBodies {
		t.Error(d, s.DropBodies)
	}
	want := &pipeline.Filters{OrgIDs: []string{"5e9d9544a1dcd60001d0ed20", "42"}, SkipResponseCodes: []int{404, -1}}
	if d := cmp.Diff(want, c.Sinks["raw"].Filters.Pipeline()); d != "" {
		t.Error(d)
	}
}

func TestHoldCovers(t *testing.T) {
	at := func(s string) time.Time {
		m, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	h := Hold{Org: "acme", From: Moment{at("2026-01-01T00:00:00Z")}, To: Moment{at("2026-02-01T00:00:00Z")}}
	for _, tt := range []struct {
		org, time string
		want      bool
	}{
		{"acme", "2026-01-01T00:00:00Z", true},
		{"acme", "2026-01-31T23:59:59Z", true},
		{"acme", "2026-02-01T00:00:00Z", false},
		{"acme", "2025-12-31T23:59:59Z", false},
		{"other", "2026-01-15T00:00:00Z", false},
	} {
		if got := h.Covers(tt.org, at(tt.time)); got != tt.want {
			t.Errorf("%s %s: %v", tt.org, tt.time, got)
		}
	}
	if all := (Hold{Org: "*"}); !all.Covers("x", at("1999-01-01T00:00:00Z")) {
		t.Error("a hold without bounds does not cover")
	}
}

// TestSearchKeep: OpenSearch leaves out what no rule keeps, and nothing where a rule keeps for ever.
func TestSearchKeep(t *testing.T) {
	const base = "region: r\nsources: {main: {type: redis}}\nsinks: {s: {type: opensearch, urls: ['http://h:1'] %s}}\nretention:\n  search: {keep: 10d}\n"
	for _, tt := range []struct{ extra, tail, want string }{
		{"", "", "10d"},
		{", keep: 5d", "", "5d"},
		{", keep: 0s", "", "0"},
		{"", "  organisations: {a: {search: {keep: 20d}}, b: {search: {keep: 1d}}, c: {raw: {keep: 99d}}}\n", "20d"},
		{"", "  organisations: {a: {search: {keep: 0s}}}\n", "0"},
		{"", "  holds: [{org: a, reason: r}]\n", "0"},
	} {
		c, _, err := load(t, replaceOnce(base, "%s", tt.extra)+tt.tail)
		if err != nil {
			t.Fatal(err)
		}
		got := reflect.ValueOf(c.Sinks["s"].Settings).FieldByName("Keep").Interface().(units.Duration)
		want, err := units.ParseDuration(tt.want)
		if err != nil || got != want {
			t.Errorf("%q %q: %v, want %v (%v)", tt.extra, tt.tail, got, want, err)
		}
	}
}
