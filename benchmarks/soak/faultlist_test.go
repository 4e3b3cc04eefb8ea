package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sluice/benchmarks/sample"
	"sluice/internal/record"
	"sluice/internal/testenv"
)

// reference is a name in a row of the table of faults; it is of the kind that was named last.
var reference = regexp.MustCompile("(case|schedule|test) |`([^`]+)`")

// faultRows are those of the document's table of faults.
func faultRows(t *testing.T, root string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, document))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "<!-- faults -->\n")
	table, _, whole := strings.Cut(table, "<!-- end of faults -->")
	rows := strings.Split(strings.TrimSpace(table), "\n")
	if !whole || len(rows) < 40 {
		t.Fatalf("%d rows in the table of faults", len(rows))
	}
	return rows[2:]
}

// What the document names for each fault is there, and every directed case is named for one.
func TestEveryFaultIsMet(t *testing.T) {
	root, err := sample.Root()
	if err != nil {
		t.Fatal(err)
	}
	rows := faultRows(t, root)
	var cases []string
	for _, c := range scenarios() {
		cases = append(cases, c.name)
	}
	named := map[string]bool{}
	for _, row := range rows {
		cells := strings.Split(strings.Trim(row, "|"), "|")
		if len(cells) != 2 {
			t.Errorf("%d cells: %s", len(cells), row)
			continue
		}
		kind, found := "", 0
		for _, m := range reference.FindAllStringSubmatch(cells[1], -1) {
			if m[1] != "" {
				kind = m[1]
				continue
			}
			ok := false
			switch name := m[2]; kind {
			case "case":
				ok = slices.Contains(cases, name)
				named[name] = true
			case "schedule":
				ok = slices.Contains(namesOfFaults(), name)
			case "test":
				dir, test, _ := strings.Cut(name, " ")
				ok = testenv.HasTest(t, filepath.Join(root, dir), test)
			}
			if !ok {
				t.Errorf("%s: there is no %s %q", cells[0], kind, m[2])
			}
			found++
		}
		if found == 0 {
			t.Errorf("nothing is named that meets %s", cells[0])
		}
	}
	for _, c := range cases {
		if !named[c] {
			t.Errorf("the table of faults does not name the case %q", c)
		}
	}
}

// Every fault that a case or a schedule meets has a figure among the kept results: it was injected, it met something, and the promise
// held.
func TestEveryFaultHasAFigure(t *testing.T) {
	root, err := sample.Root()
	if err != nil {
		t.Fatal(err)
	}
	kept, err := os.Open(filepath.Join(root, resultsFile))
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	results, err := readResults(kept)
	if err != nil {
		t.Fatal(err)
	}
	met := map[string]int64{}
	for _, v := range results {
		if len(v.Violations) > 0 {
			t.Errorf("case %q, seed %d: %q", v.Case, v.Seed, v.Violations)
		}
		if v.Case != "" {
			met[v.Case] += v.Hits
		}
		for k, n := range v.Met {
			met[k] += n
		}
	}
	for _, row := range faultRows(t, root) {
		kind, figures, wanted := "", int64(0), false
		_, by, _ := strings.Cut(strings.Trim(row, "|"), "|")
		for _, m := range reference.FindAllStringSubmatch(by, -1) {
			if m[1] != "" {
				kind = m[1]
			} else if kind != "test" {
				wanted = true
				figures += met[m[2]]
			}
		}
		if wanted && figures == 0 {
			t.Errorf("no kept run has met: %s", row)
		}
	}
}

// Every load has what callers and clocks can make up, within what a short soak pushes.
func TestTheLoadHasWhatCallersMakeUp(t *testing.T) {
	g := newGenerator(nil, 1)
	keys, years := map[string]bool{}, map[int]bool{}
	for range 4000 {
		keys[g.record(record.Msgpack).rec.APIKey] = true
	}
	for range 20 {
		years[g.absurd(record.Msgpack).rec.TimeStamp.Year()] = true
	}
	for _, k := range odd {
		if !keys[k] {
			t.Errorf("no record has the key %q", k)
		}
	}
	for _, y := range []int{1, 9999} {
		if !years[y] {
			t.Errorf("no record is of year %d", y)
		}
	}
	for what, is := range map[string]func(string) bool{"is empty": func(s string) bool { return s == "" },
		"holds NUL": func(s string) bool { return strings.Contains(s, "\x00") }, "holds a dot": func(s string) bool { return strings.Contains(s, ".") },
		"holds $":      func(s string) bool { return strings.Contains(s, "$") },
		"is not UTF-8": func(s string) bool { return strings.ToValidUTF8(s, "") != s }} {
		if !slices.ContainsFunc(odd, is) {
			t.Errorf("no key %s", what)
		}
	}
}
