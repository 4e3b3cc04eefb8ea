// Command plot draws what a record costs against backlog, dimensions and sinks, from the results that `make bench` leaves:
//
//	go run ./benchmarks/plot [-in .bin/bench.json] [-out docs/images/cost.svg]
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
)

func main() {
	in := flag.String("in", ".bin/bench.json", "results, a `file` that benchmarks/e2e -json wrote")
	out := flag.String("out", "docs/images/cost.svg", "`file` to draw")
	flag.Parse()
	if err := draw(*in, *out); err != nil {
		fmt.Fprintln(os.Stderr, "plot:", err)
		os.Exit(1)
	}
}

// result is what is of interest here of a row of benchmarks/e2e.
type result struct {
	Name    string  `json:"name"`
	Records int     `json:"records"`
	CPU     float64 `json:"cpu_seconds"`
}

func draw(in, out string) error {
	data, err := os.ReadFile(in)
	if err != nil {
		return err
	}
	var results []result
	if err := json.Unmarshal(data, &results); err != nil {
		return fmt.Errorf("read %s: %w", in, err)
	}
	panels := panelsOf(results)
	for _, p := range panels {
		if len(p.points) < 2 {
			return fmt.Errorf("%s has fewer than two points of %q", in, p.title)
		}
	}
	return os.WriteFile(out, []byte(svg(panels)), 0o644)
}

// panelsOf sorts the results into the three questions.
func panelsOf(results []result) []panel {
	backlog := panel{title: "backlog, csv zstd", axis: "records waiting"}
	paths := panel{title: "aggregates, 100,000 records", axis: "distinct paths"}
	sinks := panel{title: "aggregate, raw, OpenSearch, archive", axis: "sinks, one after the other"}
	for _, r := range results {
		if r.Records == 0 || r.CPU == 0 {
			continue
		}
		cost := r.CPU / float64(r.Records) * 1e6
		if n, ok := between(r.Name, "backlog ", ","); ok {
			backlog.points = append(backlog.points, point{n, cost})
		}
		if n, ok := between(r.Name, "aggregate, ", " paths"); ok {
			paths.points = append(paths.points, point{n, cost})
		}
		if n, ok := between(r.Name, "", " sinks:"); ok {
			sinks.points = append(sinks.points, point{n, cost})
		}
	}
	return []panel{backlog, paths, sinks}
}

// between is the number that stands between two parts of a name.
func between(name, before, behind string) (float64, bool) {
	rest, ok := strings.CutPrefix(name, before)
	if !ok {
		return 0, false
	}
	digits, _, ok := strings.Cut(rest, behind)
	n, err := strconv.ParseFloat(digits, 64)
	return n, ok && err == nil
}
