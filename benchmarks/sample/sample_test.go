package sample_test

import (
	"strings"
	"testing"
	"time"

	"sluice/benchmarks/sample"
	"sluice/internal/record"
)

func TestRecordsHaveTheSizeAndDiffer(t *testing.T) {
	m, err := sample.New(sample.Options{Start: time.Unix(1_790_000_000, 0), Paths: 10, Keys: 40, APIs: 3, Orgs: 2})
	if err != nil {
		t.Fatal(err)
	}
	seen, paths := map[string]bool{}, map[string]bool{}
	const n = 1000
	for i := range n {
		p := m.Next(i)
		if d := len(p) - sample.Size; d < -8 || d > 8 {
			t.Fatalf("record %d has %d bytes", i, len(p))
		}
		var r record.Record
		if err := record.Decode(record.Msgpack, p, &r); err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
		seen[string(p)], paths[strings.Clone(r.Path)] = true, true
	}
	if len(seen) != n || len(paths) != 10 {
		t.Fatalf("%d distinct records, %d distinct paths", len(seen), len(paths))
	}
}
