package config

import (
	"slices"
	"strings"
)

// nearest is the known word that a mistyped one most likely means, empty if none is near.
func nearest(word string, known []string) string {
	best, bestDistance := "", max(1, len(word)/3)+1
	for _, k := range known {
		if d := distance(simple(word), simple(k)); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

// simple leaves out what people mix up: case, and _ against -.
func simple(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", "_") }

// distance is the number of single-character edits between two words.
func distance(a, b string) int {
	if max(len(a), len(b)) > 64 { // no key is that long, and the work is quadratic
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// cureUnknown says what to do about a word that is not known.
func cureUnknown(word string, known []string) string {
	if s := nearest(word, known); s != "" {
		return "did you mean " + s + "?"
	}
	k := slices.Clone(known)
	slices.Sort(k)
	return "known are " + strings.Join(k, ", ")
}
