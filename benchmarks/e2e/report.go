package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

// result is a row of the table. Medians, where there was more than one round.
type result struct {
	Name    string             `json:"name"`
	Records int                `json:"records,omitempty"`
	Wall    float64            `json:"wall_seconds,omitempty"`
	CPU     float64            `json:"cpu_seconds,omitempty"`     // of sluice, user and system
	Rate    float64            `json:"records_per_cpu,omitempty"` // per CPU second
	Floor   float64            `json:"floor_records_per_cpu,omitempty"`
	Ratio   float64            `json:"ratio_to_floor,omitempty"` // of records per CPU second
	RSS     float64            `json:"rss_peak_mib,omitempty"`
	Allocs  float64            `json:"allocations_per_record,omitempty"`
	Garbage float64            `json:"allocated_bytes_per_record,omitempty"`
	Extra   map[string]float64 `json:"extra,omitempty"`
	Missing []string           `json:"missing,omitempty"` // servers without which it was not run
}

func printTable(w io.Writer, results []result) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "scenario\trecords\twall s\tCPU s\trecords/CPU s\tratio to floor\tRSS MiB\tallocs/record\tB/record\t\t")
	for _, r := range results {
		if r.Name == stagesName { // too many figures for a row
			continue
		}
		if len(r.Missing) > 0 {
			fmt.Fprintf(t, "%s\tnot run: no %s\t\t\t\t\t\t\t\t\t\n", r.Name, strings.Join(r.Missing, ", "))
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%.2f\t%s\t%s\t%s\t%.0f\t%s\t%s\t%s\t\n", r.Name, number("%.0f", float64(r.Records)), r.Wall,
			number("%.2f", r.CPU), number("%.0f", r.Rate), number("%.2f", r.Ratio), r.RSS,
			number("%.2f", r.Allocs), number("%.0f", r.Garbage), extras(r.Extra))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, r := range results {
		if r.Name == stagesName {
			fmt.Fprintf(w, "\nstages:\n  %s\n", strings.ReplaceAll(extras(r.Extra), ", ", "\n  "))
		}
	}
	return nil
}

func number(format string, v float64) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf(format, v)
}

func extras(m map[string]float64) string {
	var parts []string
	for k, v := range m {
		parts = append(parts, fmt.Sprintf("%s %.2f", k, v))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}
