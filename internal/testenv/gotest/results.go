package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// event is one line of `go test -json`.
type event struct {
	Action     string
	Package    string
	ImportPath string // of a build, instead of Package
	Test       string // empty: the event is about the package
	Output     string
	Elapsed    float64 // seconds
}

// line is a line of output and the test that wrote it.
type line struct{ test, text string }

// running is what is known of a package whose tests run.
type running struct {
	lines []line
	open  map[string]bool // tests that have not ended
	bad   map[string]bool // tests that failed
}

type skip struct{ pkg, test, why string }

// failure is a test that failed or never ended, or a package that failed by
// itself: then test is empty.
type failure struct {
	pkg, test string
	said      []string // how its output begins
}

type finished struct {
	name    string
	elapsed time.Duration
}

// results gathers the events of a run and prints, package by package, what go
// test would have printed.
type results struct {
	out                  io.Writer
	packages             map[string]*running
	passed, failedTests  int
	skipped              []skip
	failures             []failure
	good, tests          []finished
	badPackages, without []string
	brokenBuilds         []string
}

func newResults(out io.Writer) *results {
	return &results{out: out, packages: map[string]*running{}}
}

func (r *results) failed() bool {
	return r.failedTests+len(r.badPackages)+len(r.brokenBuilds) > 0
}

// read consumes all events. A line that is no event is printed as it is.
func (r *results) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		text, err := lines.ReadString('\n')
		if text != "" {
			var e event
			if json.Unmarshal([]byte(text), &e) == nil {
				r.take(e)
			} else {
				fmt.Fprint(r.out, text)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read from go test: %w", err)
		}
	}
}

func (r *results) take(e event) {
	switch e.Action {
	case "build-output":
		fmt.Fprint(r.out, e.Output)
		return
	case "build-fail":
		r.brokenBuilds = append(r.brokenBuilds, e.ImportPath)
		return
	}
	p := r.packages[e.Package]
	if p == nil {
		p = &running{open: map[string]bool{}, bad: map[string]bool{}}
		r.packages[e.Package] = p
	}
	switch {
	case e.Action == "output":
		p.lines = append(p.lines, line{e.Test, e.Output})
	case e.Action == "run":
		p.open[e.Test] = true
	case e.Test != "":
		r.testEnded(p, e)
	case e.Action == "pass" || e.Action == "fail" || e.Action == "skip":
		r.packageEnded(p, e)
	}
}

func (r *results) testEnded(p *running, e event) {
	switch e.Action {
	case "pass":
		r.passed++
	case "fail":
		r.failedTests++
		p.bad[e.Test] = true
	case "skip":
		r.skipped = append(r.skipped, skip{e.Package, e.Test, p.reason(e.Test)})
	default:
		return // pause, cont, bench
	}
	if !strings.Contains(e.Test, "/") {
		r.tests = append(r.tests, finished{e.Package + " " + e.Test, seconds(e.Elapsed)})
	}
	delete(p.open, e.Test)
}

func (r *results) packageEnded(p *running, e event) {
	p.print(r.out)
	delete(r.packages, e.Package)
	switch e.Action {
	case "pass":
		r.good = append(r.good, finished{e.Package, seconds(e.Elapsed)})
	case "fail":
		r.badPackages = append(r.badPackages, e.Package)
		r.failures = append(r.failures, p.failures(e.Package)...)
	case "skip":
		r.without = append(r.without, e.Package)
	}
}

// print prints the output of the package itself, and of the tests that failed
// or, after a crash, never ended.
func (p *running) print(out io.Writer) {
	for _, l := range p.lines {
		own := l.test == "" && l.text != "PASS\n"
		if own || p.failing(l.test) && !isMarker(l.text) {
			fmt.Fprint(out, l.text)
		}
	}
}

// failing tells whether a test failed or, after a crash, never ended.
func (p *running) failing(test string) bool { return p.bad[test] || p.open[test] }

// reason returns why a test was skipped: what it said last.
func (p *running) reason(test string) string {
	why := ""
	for _, l := range p.lines {
		if l.test == test && !isMarker(l.text) && !strings.Contains(l.text, "--- SKIP") {
			why = strings.TrimSpace(l.text)
		}
	}
	return why
}

func isMarker(text string) bool {
	return strings.HasPrefix(text, "=== ")
}

// slowest is how many packages, and as many tests, the summary names by their time.
const slowest = 12

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// printSlowest names those that took longest.
func printSlowest(b *strings.Builder, all []finished) {
	slices.SortStableFunc(all, func(x, y finished) int { return cmp.Compare(y.elapsed, x.elapsed) })
	for _, f := range all[:min(slowest, len(all))] {
		fmt.Fprintf(b, "  %6.1fs %s\n", f.elapsed.Seconds(), f.name)
	}
}

// summary says how the run went. With strict, skipped tests are failures.
func (r *results) summary(took time.Duration, note string, strict bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%d tests passed, %d failed, %d skipped; %d packages ok, %d failed, %d without tests; %v\n",
		r.passed, r.failedTests, len(r.skipped), len(r.good), len(r.badPackages), len(r.without), took.Round(time.Second))
	printSlowest(&b, r.good)
	printSlowest(&b, r.tests)
	for _, s := range r.skipped {
		fmt.Fprintf(&b, "SKIPPED %s %s: %s\n", s.pkg, s.test, s.why)
	}
	printFailures(&b, r.failures)
	for _, name := range slices.Concat(r.brokenBuilds, r.badPackages) {
		fmt.Fprintf(&b, "FAILED %s\n", name)
	}
	if note != "" {
		fmt.Fprintln(&b, note)
	}
	switch {
	case r.failed():
		fmt.Fprintln(&b, "FAIL")
	case strict && len(r.skipped) > 0:
		fmt.Fprintln(&b, "FAIL: tests were skipped, which CI=true does not allow")
	default:
		fmt.Fprintln(&b, "PASS")
	}
	return b.String()
}
