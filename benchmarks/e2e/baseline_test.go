package main

import (
	"path/filepath"
	"testing"
)

func TestRegressionBeyondNoiseIsFound(t *testing.T) {
	before := []result{{Name: "a", Ratio: 1}, {Name: "b", Ratio: 0.5}, {Name: "idle"}, {Name: "waits", Ratio: 0.01}}
	path := filepath.Join(t.TempDir(), "baseline.json")
	if err := writeJSON(path, baselineOf(before)); err != nil {
		t.Fatal(err)
	}
	old, err := readBaseline(path)
	if err != nil || len(old) != 2 {
		t.Fatal(old, err)
	}
	now := []result{{Name: "a", Ratio: 0.85}, {Name: "b", Ratio: 0.37}, {Name: "idle"}, {Name: "new", Ratio: 0.1}}
	if bad := regressions(old, now); len(bad) != 1 || bad[0] != "b: ratio 0.370, was 0.500" {
		t.Fatal(bad)
	}
	if bad := regressions(old, before); bad != nil {
		t.Fatal(bad)
	}
}
