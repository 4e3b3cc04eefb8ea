package main

import (
	"strings"
	"testing"
)

func TestRules(t *testing.T) {
	tests := []struct {
		from, imports string
		broken        string // part of the rule; empty for a good import
	}{
		{"internal/pipeline", "sluice/internal/record", ""},
		{"internal/pipeline", "sluice/sinks/mongoagg", "the pipeline knows no concrete source and no sink"},
		{"internal/pipeline", "sluice/sources/redislist", "the pipeline knows no concrete source and no sink"},
		{"internal/pipeline", "sluice/internal/config", "it imports only schemas"},
		{"internal/record", "sluice/internal/pipeline", "it imports only schemas, internal/record, internal/units"},
		{"internal/record", "sluice/schemas", ""},
		{"internal/traffic", "sluice/internal/pipeline", ""},
		{"sinks/csv", "sluice/internal/archive", ""},
		{"sinks/csv", "sluice/internal/mongo", ""},
		{"sinks/csv", "sluice/sinks/s3csv", "sinks never import each other"},
		{"sinks/csv", "sluice/sinks/csv/internal/rows", ""},
		{"sinks/csv", "sluice/internal/config", "it imports only"},
		{"sinks/csv", "sluice/internal/testenv", "made for tests only"},
		{"sinks/csv", "sluice/sinks/sinktest", "made for tests only"},
		{"sinks/csv", "testing", "testing package"},
		{"sinks/sinktest", "testing", ""},
		{"sinks/sinktest", "sluice/sinks/csv", "sinks never import each other"},
		{"sources/kafka", "sluice/sources/redislist", "sources never import each other"},
		{"internal/mongo", "sluice/internal/pipeline", ""},
		{"internal/mongo", "sluice/sinks/csv", "a shared helper imports only"},
		{"internal/config", "sluice/sinks/csv", ""},
		{"internal/config", "sluice/internal/console", "it imports only"},
		{"internal/console", "sluice/internal/config", ""},
		{"cmd/sluice", "sluice/internal/console", ""},
		{"cmd/sluice", "sluice/internal/record/reference", "made for tests only"},
		{"benchmarks", "sluice/internal/testenv", ""},
		{"internal/fault", "sluice/internal/testenv/launch", ""},
		{"aggregate", "sort", ""},
		{"aggregate", "net/netip", ""},
		{"aggregate", "net/http/httptrace", "no I/O"},
		{"aggregate", "os", "no I/O"},
		{"aggregate", "github.com/minio/highwayhash", ""},
		{"aggregate", "go.mongodb.org/mongo-driver/mongo", "not listed"},
		{"internal/record", "net", "no I/O"},
		{"internal/record", "github.com/vmihailenco/msgpack/v5", ""},
		{"internal/record/reference", "os", ""},
		{"internal/archive", "os", ""},
	}
	for _, test := range tests {
		t.Run(test.from+" "+test.imports, func(t *testing.T) {
			got := check([]pkg{{ImportPath: module + "/" + test.from, Imports: []string{test.imports}}})
			switch {
			case test.broken == "" && len(got) > 0:
				t.Errorf("a good import is refused: %v", got)
			case test.broken != "" && (len(got) != 1 || !strings.Contains(got[0], test.broken)):
				t.Errorf("got %v, want one line with %q", got, test.broken)
			}
		})
	}
}

func TestTestsMayUseWhatIsMadeForThem(t *testing.T) {
	got := check([]pkg{{
		ImportPath:   "sluice/sinks/csv",
		TestImports:  []string{"testing", "sluice/internal/testenv", "os"},
		XTestImports: []string{"sluice/sinks/sinktest"},
	}})
	if len(got) > 0 {
		t.Errorf("refused: %v", got)
	}
	got = check([]pkg{{ImportPath: "sluice/sinks/csv", XTestImports: []string{"sluice/sinks/discard"}}})
	if len(got) != 1 || !strings.Contains(got[0], "sinks/csv imports sinks/discard: sinks never import each other") {
		t.Errorf("a test that imports another sink: %v", got)
	}
}
