package main

import (
	"encoding/json"
	"fmt"
	"os"
)

// baseline is what the repository holds of a former run: ratios, which carry over from one machine to another better than
// times do.
type baseline map[string]float64 // scenario: ratio to the floor

// noise is how much a ratio may fall before it counts as a regression. On two busy cores two pairs
// of one run were seen to differ by a sixth, and by a quarter where a run takes no longer than a tenth of a second.
const noise = 0.25

// least is the ratio below which none is kept: what costs so much waits for its store, and costs more the longer it waits.
const least = 0.05

func readBaseline(path string) (baseline, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var b baseline
	if err := json.Unmarshal(data, &b); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return b, nil
}

func baselineOf(results []result) baseline {
	b := make(baseline)
	for _, r := range results {
		if r.Ratio >= least {
			b[r.Name] = float64(int(r.Ratio*1000+0.5)) / 1000
		}
	}
	return b
}

// regressions names the scenarios whose ratio fell by more than the noise.
func regressions(old baseline, results []result) (bad []string) {
	for _, r := range results {
		if was, ok := old[r.Name]; ok && r.Ratio > 0 && r.Ratio < was*(1-noise) {
			bad = append(bad, fmt.Sprintf("%s: ratio %.3f, was %.3f", r.Name, r.Ratio, was))
		}
	}
	return bad
}
