package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/benchmarks/sample"
)

// The figures in the document are those of the kept results, all made by this version of the suite.
func TestTheDocumentHasTheKeptFigures(t *testing.T) {
	root, err := sample.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, document))
	if err != nil {
		t.Fatal(err)
	}
	want, err := rendered(root, string(text))
	if err != nil {
		t.Fatal(err)
	}
	if want != string(text) {
		t.Errorf("%s is not what `go run ./benchmarks/soak -figures` makes of %s", document, resultsFile)
	}
	f, err := os.Open(filepath.Join(root, resultsFile))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	results, err := readResults(f)
	if err != nil || len(results) == 0 {
		t.Fatalf("%d results, %v", len(results), err)
	}
	for i, v := range results {
		if v.Version != version {
			t.Errorf("line %d of %s is of version %d of the suite, which is at %d", i+1, resultsFile, v.Version, version)
		}
	}
}

func TestFiguresAddUp(t *testing.T) {
	a, b, c := newVerdict(), newVerdict(), newVerdict()
	a.Seed, a.Records, a.Losses, a.Faults["redis: frozen"], a.Met["redis: frozen"] = 7, 1500, 1, 2, 1
	b.Seed, b.Records, b.Faults["redis: frozen"], b.Met["redis: frozen"] = 8, 2500, 3, 3
	b.Violations = []string{"x"}
	c.Case, c.Records, c.Faults["kill -9"], c.Met["kill -9"] = scenarios()[0].name, 1234567, 100, 98
	got := figuresOf([]verdict{a, b, c})
	for _, want := range []string{"| frozen | 5 (4) |", "| all 2 | | | 0 | 4,000 |", "| 1 | 0 | 1 |\n", "| 1 | 1,234,567 | kill -9: 100 (98) |"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
}
