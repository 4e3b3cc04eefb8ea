package points

import (
	"bytes"
	"flag"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "write the generated page anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Every durable step of the program has its two points, and the page lists them.
func TestEveryDurableStepHasItsPoints(t *testing.T) {
	f, err := Load("../../..", Exempt, "./...")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range f.Problems {
		t.Error(p)
	}
	var page bytes.Buffer
	if err := f.Page(&page); err != nil {
		t.Fatal(err)
	}
	const file = "../../../docs/reference/crash-points.md"
	if *update {
		if err := os.WriteFile(file, page.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(have), page.String()); diff != "" {
		t.Errorf("%s is behind the source; go test ./internal/crash/points -update writes it anew:\n%s", file, diff)
	}
}

func TestStepsWithoutPointsAreFound(t *testing.T) {
	exempt := []Exemption{
		{"sluice/internal/crash/points/testdata/steps.exempted", "os.Remove", "it is the test's"},
		{"sluice/internal/crash/points/testdata/steps.bare", "os.Rename", "of another call"},
	}
	f, err := Load(".", exempt, "./testdata/steps")
	if err != nil {
		t.Fatal(err)
	}
	var names, problems []string
	for _, s := range f.Steps {
		names = append(names, s.Name+" "+strings.Join(s.Calls, " "))
	}
	wantNames := []string{"test/good os.Remove", "test/good os.Remove", "test/joined os.File.Sync"}
	if diff := cmp.Diff(wantNames, names); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	lines := map[string]int{}
	for _, p := range f.Problems {
		where, what, _ := strings.Cut(strings.TrimPrefix(p, "internal/crash/points/testdata/steps/steps.go:"), ": ")
		what, _, _ = strings.Cut(what, ": ")
		problems = append(problems, where+" "+what)
		lines[where]++
	}
	source, err := os.ReadFile("testdata/steps/steps.go")
	if err != nil {
		t.Fatal(err)
	}
	// how many problems each function has
	want := map[string]int{"bare": 1, "onlyBefore": 2, "twoNames": 3, "returnsBetween": 3, "later": 3, "around": 2, "again": 1, "value": 1}
	got := map[string]int{}
	in := ""
	for i, line := range strings.Split(string(source), "\n") {
		if rest, ok := strings.CutPrefix(line, "func "); ok {
			in, _, _ = strings.Cut(rest, "(")
		}
		if n := lines[strconv.Itoa(i+1)]; n > 0 {
			got[in] += n
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems by function (-want +got):\n%s\n%s", diff, strings.Join(problems, "\n"))
	}
	if !strings.Contains(strings.Join(f.Problems, "\n"), "exemption of sluice/internal/crash/points/testdata/steps.bare") {
		t.Errorf("an exemption that nothing needs is not said: %q", f.Problems)
	}
}
