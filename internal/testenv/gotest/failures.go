package main

import (
	"fmt"
	"strings"
)

// What the summary shows of failures: enough to tell their cause where the log
// above it was cut, and a page at most where everything fails.
const (
	linesOfFailure = 8
	widthOfFailure = 300
	mostFailures   = 40
)

// failures are the tests of a failed package that failed or never ended, each
// with the beginning of what it said. A test that failed only because of its
// subtests is left out. Where there is none, the package failed by itself.
func (p *running) failures(pkg string) []failure {
	var order []string
	said := map[string][]string{}
	for _, l := range p.lines {
		if l.test != "" && !p.failing(l.test) || isMarker(l.text) {
			continue
		}
		if _, known := said[l.test]; !known {
			order = append(order, l.test)
			said[l.test] = nil
		}
		if text := strings.TrimRight(l.text, "\n"); text != "" && !isVerdict(text) && len(said[l.test]) < linesOfFailure {
			said[l.test] = append(said[l.test], fmt.Sprintf("%.*s", widthOfFailure, text))
		}
	}
	var out []failure
	for _, test := range order {
		if test != "" && (len(said[test]) > 0 || !hasFailingSubtest(test, order)) {
			out = append(out, failure{pkg, test, said[test]})
		}
	}
	if len(out) == 0 {
		out = append(out, failure{pkg: pkg, said: said[""]})
	}
	return out
}

func hasFailingSubtest(test string, failing []string) bool {
	for _, other := range failing {
		if strings.HasPrefix(other, test+"/") {
			return true
		}
	}
	return false
}

// isVerdict tells whether a line only says that something failed.
func isVerdict(text string) bool {
	text = strings.TrimSpace(text)
	return text == "FAIL" || text == "PASS" || strings.HasPrefix(text, "--- ") || strings.HasPrefix(text, "FAIL\t") || strings.HasPrefix(text, "exit status ")
}

func printFailures(b *strings.Builder, all []failure) {
	for _, f := range all[:min(len(all), mostFailures)] {
		fmt.Fprintf(b, "FAILED %s\n", strings.TrimSpace(f.pkg+" "+f.test))
		for _, line := range f.said {
			fmt.Fprintf(b, "    %s\n", strings.TrimPrefix(line, "    "))
		}
	}
	if more := len(all) - mostFailures; more > 0 {
		fmt.Fprintf(b, "... and %d more\n", more)
	}
}
