package main

import (
	"encoding/json"
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func results() []result {
	return []result{
		{"discard", 10, 1}, {"backlog 10000, csv", 10_000, 0.1}, {"backlog 1000000, csv", 1_000_000, 4},
		{"aggregate, 10 paths", 100_000, 0.4}, {"aggregate, 100000 paths", 100_000, 5}, {"idle", 0, 0.02},
		{"1 sinks: aggregate", 100_000, 0.4}, {"2 sinks: aggregate raw", 100_000, 1},
	}
}

func TestPlotHasAPointForEachResult(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	data, err := json.Marshal(results())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(in, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := draw(in, out); err != nil {
		t.Fatal(err)
	}
	plot, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	circles := 0
	for d := xml.NewDecoder(strings.NewReader(string(plot))); ; {
		tok, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := tok.(xml.StartElement); ok && e.Name.Local == "circle" {
			circles++
		}
	}
	if circles != 6 {
		t.Errorf("%d points, want 6", circles)
	}
	if !strings.Contains(string(plot), `cx="282.0" cy="130.0"`) { // a million, 4 µs each, where 10 µs are at the top
		t.Errorf("the last point is elsewhere:\n%s", plot)
	}
}

func TestPlotWithoutResultsFails(t *testing.T) {
	in := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(in, []byte(`[]`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := draw(in, in+".svg"); err == nil {
		t.Error("a plot of nothing")
	}
}
