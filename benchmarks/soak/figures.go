package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"sluice/benchmarks/sample"
	"sluice/internal/fault"
)

// Where results are kept, and what is made of them. Between the markers everything is rendered.
const (
	resultsFile = "benchmarks/soak/results.jsonl"
	document    = "docs/guarantees.md"
	beginMark   = "<!-- figures of the soak: `go run ./benchmarks/soak -figures` -->"
	endMark     = "<!-- end of the figures of the soak -->"
)

func writeFigures() error {
	root, err := sample.Root()
	if err != nil {
		return err
	}
	name := filepath.Join(root, document)
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	next, err := rendered(root, string(text))
	if err != nil {
		return err
	}
	return os.WriteFile(name, []byte(next), 0o644)
}

// rendered is the document with the figures of the kept results.
func rendered(root, text string) (string, error) {
	head, rest, ok := strings.Cut(text, beginMark)
	_, tail, closed := strings.Cut(rest, endMark)
	if !ok || !closed {
		return "", fmt.Errorf("%s has no place for the figures", document)
	}
	b, err := os.ReadFile(filepath.Join(root, resultsFile))
	if err != nil {
		return "", err
	}
	results, err := readResults(bytes.NewReader(b))
	if err != nil {
		return "", err
	}
	return head + beginMark + "\n\n" + figuresOf(results) + "\n" + endMark + tail, nil
}

// readResults reads the kept runs.
func readResults(r io.Reader) (out []verdict, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		v := newVerdict()
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", resultsFile, len(out)+1, err)
		}
		out = append(out, v)
	}
	return out, lines.Err()
}

func figuresOf(results []verdict) string {
	var runs, cases []verdict
	for _, v := range results {
		if v.Case == "" {
			runs = append(runs, v)
		} else {
			cases = append(cases, v)
		}
	}
	var b strings.Builder
	b.WriteString("Schedules drawn from a seed:\n\n")
	runTable(&b, runs)
	b.WriteString("\nFaults of these schedules; in brackets what they met:\n\n")
	kindTable(&b, runs)
	b.WriteString("\nDirected cases:\n\n")
	caseTable(&b, cases)
	return b.String()
}

func runTable(b *strings.Builder, runs []verdict) {
	b.WriteString("| seed | pumps | spool, sinks | seconds | records | dead letters | uptimes | faults | hits | in the spool at most | MiB early, late, peak | goroutines | lost | doubled | other violations |\n" +
		"| --- " + strings.Repeat("| --- ", 14) + "|\n")
	var all verdict
	for _, v := range runs {
		mix := v.Shape.Spool
		if mix == "" {
			mix = "none"
		}
		if v.Shape.Local {
			mix += ", csv and sqlite too"
		}
		if v.Shape.Mode != "" {
			mix += ", Redis with " + strings.ToUpper(v.Shape.Mode)
		}
		seed := fmt.Sprint(v.Seed)
		if v.Race {
			seed += ", race detector"
		}
		if v.Only != "" {
			seed += " `-only '" + strings.ReplaceAll(v.Only, "|", "\\|") + "'`"
		}
		fmt.Fprintf(b, "| %s | %d | %s | %.0f | %s | %d | %d | %d | %s | %d | %d, %d, %d | %d | %d | %d | %d |\n", seed, v.Pumps, mix, v.Seconds,
			thousands(int64(v.Records)), v.Poisoned, v.Uptimes, v.Injected, thousands(v.Hits), v.Spooled, v.Gauge.EarlyRSS>>20,
			v.Gauge.LateRSS>>20, v.Gauge.PeakRSS>>20, v.Gauge.Routines, v.Losses, v.Doubles, len(v.Violations))
		all.Seconds += v.Seconds
		all.Records += v.Records
		all.Poisoned += v.Poisoned
		all.Uptimes += v.Uptimes
		all.Injected += v.Injected
		all.Hits += v.Hits
		all.Losses += v.Losses
		all.Doubles += v.Doubles
		all.Violations = append(all.Violations, v.Violations...)
	}
	fmt.Fprintf(b, "| all %d | | | %s | %s | %d | %s | %s | %s | | | | %d | %d | %d |\n", len(runs), thousands(int64(all.Seconds)),
		thousands(int64(all.Records)), all.Poisoned, thousands(int64(all.Uptimes)), thousands(int64(all.Injected)), thousands(all.Hits),
		all.Losses, all.Doubles, len(all.Violations))
}

// columns are those to whom faults come between.
var columns = []string{"redis", "dashboard", "raw", "search", "archive", "pump"}

func kindTable(b *strings.Builder, runs []verdict) {
	faults, met := map[string]map[string]int{}, map[string]map[string]int64{}
	for _, v := range runs {
		for name, n := range v.Faults {
			where, kind, _ := strings.Cut(name, ": ")
			if faults[kind] == nil {
				faults[kind], met[kind] = map[string]int{}, map[string]int64{}
			}
			faults[kind][where] += n
			met[kind][where] += v.Met[name]
		}
	}
	b.WriteString("| fault | Redis | mongo-aggregate | mongo-raw | opensearch | s3-csv | a pump |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	for _, kind := range sortedKeys(faults) {
		b.WriteString("| " + kind + " |")
		for _, c := range columns {
			if n := faults[kind][c]; n > 0 {
				fmt.Fprintf(b, " %d (%s) |", n, thousands(met[kind][c]))
			} else {
				b.WriteString(" |")
			}
		}
		b.WriteString("\n")
	}
}

func caseTable(b *strings.Builder, runs []verdict) {
	b.WriteString("| case | what is done and demanded | runs | records | what was met | lost | doubled | other violations |\n" +
		"| --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, c := range scenarios() {
		all := newVerdict()
		n := 0
		for _, v := range runs {
			if v.Case != c.name {
				continue
			}
			n++
			all.Records += v.Records
			all.Losses += v.Losses
			all.Doubles += v.Doubles
			all.Violations = append(all.Violations, v.Violations...)
			for k := range v.Faults {
				all.Faults[k] += v.Faults[k]
				all.Met[k] += v.Met[k]
			}
		}
		var met []string
		for _, k := range sortedKeys(all.Faults) {
			met = append(met, fmt.Sprintf("%s: %d (%s)", k, all.Faults[k], thousands(all.Met[k])))
		}
		if n == 0 {
			fmt.Fprintf(b, "| %s | %s | 0 | | | | | |\n", c.name, c.means)
			continue
		}
		fmt.Fprintf(b, "| %s | %s | %d | %s | %s | %d | %d | %d |\n", c.name, c.means, n, thousands(int64(all.Records)), strings.Join(met, "; "),
			all.Losses, all.Doubles, len(all.Violations))
	}
}

// thousands writes a number with commas.
func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// namesOfFaults are those of a world with everything.
func namesOfFaults() (out []string) {
	w := &world{pumps: []*pump{{}}, mongo: make(mongoSet, 3), ways: map[string]*way{"redis": {}, "dashboard": {}, "raw": {},
		"search": {gate: new(fault.Gate)}, "archive": {gate: new(fault.Gate)}}}
	for _, k := range w.faults() {
		out = append(out, k.name)
	}
	return out
}

// writeList lists what there is.
func writeList(out io.Writer) error {
	var b strings.Builder
	b.WriteString("kinds of faults, in a schedule (-only):\n")
	seen := map[string]bool{}
	for _, k := range namesOfFaults() {
		if !seen[k] {
			seen[k] = true
			b.WriteString("  " + k + "\n")
		}
	}
	b.WriteString("directed cases (-case):\n")
	for _, c := range scenarios() {
		long := ""
		if c.long {
			long = " (not in `make test`)"
		}
		fmt.Fprintf(&b, "  %s%s\n      %s\n", c.name, long, c.means)
	}
	_, err := io.WriteString(out, b.String())
	return err
}
