package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is everything that is wrong with a configuration, sorted by line. It holds no secrets.
type Error struct {
	File     string
	Problems []Problem
}

// Problem is one thing that is wrong: where, which key, what, and how to cure it.
type Problem struct {
	Line, Col int    // from 1; 0 when the problem is not in the file (an override, a key that is not there)
	Key       string // full path, like sinks.raw.uri; empty for the file itself
	What      string
	Cure      string
}

// Error gives a line for each problem: file:line:col: key: what; cure.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.format(e.File)
	}
	return strings.Join(lines, "\n")
}

func (p Problem) format(file string) string {
	var b strings.Builder
	if file != "" {
		b.WriteString(file)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", p.Line, p.Col)
		}
		b.WriteString(": ")
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.What)
	if p.Cure != "" {
		b.WriteString("; " + p.Cure)
	}
	return b.String()
}

// sortProblems orders by line; what has no line comes first. Equal ones are one.
func sortProblems(ps []Problem) []Problem {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col), cmp.Compare(a.Key, b.Key), cmp.Compare(a.What, b.What))
	})
	return slices.Compact(ps)
}

// Warning is something that does not stop the start.
type Warning struct {
	Name string // the environment variable or key
	Text string
}

// String is the warning in a line.
func (w Warning) String() string { return w.Name + ": " + w.Text }
