package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestGoalsAreJudged(t *testing.T) {
	all := judge([]result{
		{Name: "discard", Ratio: 1}, {Name: "csv, none", Ratio: 0.59}, {Name: "csv, zstd", Ratio: 1, Missing: []string{"x"}},
		{Name: "idle", RSS: 40.1, Extra: map[string]float64{"% of a core": 0.5}}, {Name: "start to first record", Wall: 0.07},
		{Name: largeName, Extra: map[string]float64{"document bytes": 2_100_000}},
	})
	got := map[string]string{}
	for i := range all {
		got[all[i].work] = all[i].saw() + ", " + all[i].verdict
	}
	for work, want := range map[string]string{
		"Redis to `discard`": "1 x the floor, reached", "Redis to `csv`, none": "0.59 x the floor, missed",
		"Redis to `csv`, zstd": "-, not measured", "idle": "0.5 % of a core, reached", "idle, memory": "40.1 MiB, missed",
		"start to first record settled": "70 ms, reached", "a large aggregate document: its size": "2.1 MB, no bound",
	} {
		if got[work] != want {
			t.Errorf("%s: %q, want %q", work, got[work], want)
		}
	}
}

// Every goal names a scenario that there is, else it would never be measured.
func TestGoalsHaveScenarios(t *testing.T) {
	names := map[string]bool{}
	for _, s := range scenarios(flags{rounds: 1}) {
		names[s.name] = true
	}
	for _, g := range goals() {
		if !names[g.from] {
			t.Errorf("%s: there is no scenario %q", g.work, g.from)
		}
	}
}

func TestGoalsAreWrittenBetweenTheirMarks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.md")
	page := "before\n" + goalsBegin + "\nold\n" + goalsEnd + "\nafter\n"
	if err := os.WriteFile(path, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := writeGoals(path, judge([]result{{Name: "discard", Ratio: 0.5}})); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(path)
	got := string(data)
	if err != nil || !strings.HasPrefix(got, "before\n"+goalsBegin) || !strings.HasSuffix(got, goalsEnd+"\nafter\n") ||
		strings.Contains(got, "old") || !strings.Contains(got, "| Redis to `discard` | >= 1 x the floor | 0.5 x the floor | **missed** |") {
		t.Error(err, got)
	}
	if err := writeGoals(filepath.Join(t.TempDir(), "none"), nil); err == nil {
		t.Error("a page that is not there was written")
	}
	if err := os.WriteFile(path, []byte("no marks"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeGoals(path, nil); err == nil {
		t.Error("a page without marks was written")
	}
}

func TestBenchmarksAreParsed(t *testing.T) {
	got := parseBenchmarks([]byte(`goos: linux
BenchmarkDecode/msgpack 	 100	 300.0 ns/op	4803.33 MB/s	 0 B/op	 0 allocs/op
BenchmarkDecode/msgpack 	 100	 260.0 ns/op	4803.33 MB/s	 0 B/op	 0 allocs/op
BenchmarkDecode/msgpack 	 100	 900.0 ns/op	4803.33 MB/s	 0 B/op	 2 allocs/op
BenchmarkPipeline/fold+csv/cores=1 	 2	 2500 ns/record
PASS
`))
	for name, want := range map[string]float64{"Decode/msgpack ns/op": 300, "Decode/msgpack allocs/op": 0, "Pipeline/fold+csv/cores=1 ns/record": 2500} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s: %v, want %v", name, v, want)
		}
	}
}

func TestStagesAreListedBelowTheTable(t *testing.T) {
	var b strings.Builder
	if err := printTable(&b, []result{{Name: stagesName, Extra: map[string]float64{"a": 1, "b": 2}}, {Name: "idle"}}); err != nil {
		t.Fatal(err)
	}
	table, stages, ok := strings.Cut(b.String(), "\nstages:\n")
	if !ok || !strings.Contains(table, "idle") || strings.Contains(table, stagesName) || stages != "  a 1.00\n  b 2.00\n" {
		t.Error(b.String())
	}
}
