package main

import (
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func pages(t *testing.T) (performance, scaling string) {
	t.Helper()
	a, err := os.ReadFile("../../" + performancePage)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile("../../" + scalingPage)
	if err != nil {
		t.Fatal(err)
	}
	return string(a), string(b)
}

// TestModelIsOfTheFigures: the model in docs/scaling.md is what the figures on both pages make of it.
func TestModelIsOfTheFigures(t *testing.T) {
	performance, scaling := pages(t)
	want, err := computed(performance, scaling)
	if err != nil {
		t.Fatal(err)
	}
	if want != scaling {
		t.Errorf("%s is behind the figures: go run ./benchmarks/scale", scalingPage)
	}
}

func TestComputation(t *testing.T) {
	performance := "\n| `discard` | 300,000 | 0.30 |\n| aggregate, raw, OpenSearch, archive | 100,000 | 2.10 |\n" +
		"a million records**: 40 CPU seconds of mongod for raw and aggregates, 1.0 of them for aggregates\na million records**: some 50 CPU seconds\n"
	scaling := "\n| zstd | x | y | 0.40, 0.60 | 100 |\n\n| 12 | 10 | 20 | 3 |\n" + begin + "old\n" + end + "behind\n"
	got, err := computed(performance, scaling)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| 10,000 | 0.1 | 0.4 | 1 | 0.1 | 1.0 | 0.4 | 0.01 | 0.5 |\n",
		"| 1,000,000 | 10 | 40 | 80 | 10 | 100 | 40 | 1.0 | 50 |\n",
		"| MongoDB, raw and aggregates: primaries | 100,000 | 1 | 1 | 10 |\n",
		"| OpenSearch, one replica: data nodes | 40,000 | 1 | 3 | 25 |\n",
		end + "behind\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if strings.Contains(got, "old") {
		t.Error("what was there before is left")
	}
	if _, err := computed(strings.Replace(performance, "mongod", "something", 1), scaling); err == nil {
		t.Error("a figure that is gone is not missed")
	}
	if _, err := computed(performance, strings.Replace(scaling, end, "", 1)); err == nil {
		t.Error("a page without its place is not refused")
	}
}
