package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"

	"sluice/benchmarks/sample"
)

const stagesName = "stages"

// stages runs the benchmarks of single stages and takes the medians of what they say, as `Decode/msgpack ns/op`.
func (b *bench) stages(ctx context.Context, rounds int) (result, error) {
	out := result{Name: stagesName}
	root, err := sample.Root()
	if err != nil {
		return out, err
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", ".", "-cpu", "1", "-benchmem", "-count", strconv.Itoa(rounds), "./benchmarks")
	cmd.Dir = root
	var errs bytes.Buffer
	cmd.Stderr = &errs
	text, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("run the benchmarks of stages: %w\n%s%s", err, tail(string(text)), tail(errs.String()))
	}
	out.Extra = parseBenchmarks(text)
	for _, kind := range []string{"discard", "csv", "fold+csv"} {
		one, two := out.Extra["Pipeline/"+kind+"/cores=1 ns/record"], out.Extra["Pipeline/"+kind+"/cores=2 ns/record"]
		if two > 0 {
			out.Extra["two cores against one: "+kind] = one / two
		}
	}
	return out, nil
}

// parseBenchmarks reads what go test prints: the median of each figure, by the benchmark's name and the unit.
func parseBenchmarks(text []byte) map[string]float64 {
	all := map[string][]float64{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") {
			continue
		}
		name := strings.TrimPrefix(f[0], "Benchmark")
		for i := 2; i+1 < len(f); i += 2 {
			if v, err := strconv.ParseFloat(f[i], 64); err == nil {
				all[name+" "+f[i+1]] = append(all[name+" "+f[i+1]], v)
			}
		}
	}
	out := map[string]float64{}
	for name, v := range all {
		out[name] = median(v, func(f float64) float64 { return f })
	}
	return out
}
