package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
)

// goal is a row of the table of goals: what a run is held against.
type goal struct {
	work  string
	from  string                  // the result it is about
	value func(r *result) float64 // of that result
	unit  string                  // behind the number
	want  float64
	most  bool // want is the most that it may be, else the least
	open  bool // it has no bound: it is shown only
}

func ratio(r *result) float64 { return r.Ratio }
func cpu(r *result) float64   { return r.CPU }
func rss(r *result) float64   { return r.RSS }

func extra(name string) func(*result) float64 {
	return func(r *result) float64 { return r.Extra[name] }
}

// scaled is a value in another unit.
func scaled(by float64, f func(*result) float64) func(*result) float64 {
	return func(r *result) float64 { return by * f(r) }
}

// goals are those that the project was given, in their order.
func goals() []goal {
	const floor = " x the floor"
	us := func(name string) func(*result) float64 { return scaled(1e-3, extra(name+" ns/op")) }
	return []goal{
		{work: "decode a record, msgpack", from: stagesName, value: us("Decode/msgpack"), unit: " us", want: 0.8, most: true},
		{work: "the same, allocations", from: stagesName, value: extra("Decode/msgpack allocs/op"), want: 1, most: true},
		{work: "decode a record, protobuf", from: stagesName, value: us("Decode/protobuf"), unit: " us", want: 0.8, most: true},
		{work: "hash of a record ID", from: stagesName, value: extra("Hash ns/op"), unit: " ns", want: 250, most: true},
		{work: "aggregate a record, all paths", from: stagesName, value: us("Fold"), unit: " us", want: 1, most: true},
		{work: "the same, allocations", from: stagesName, value: extra("Fold allocs/op"), want: 1, most: true},
		{work: "Redis to `discard`", from: "discard", value: ratio, unit: floor, want: 1},
		{work: "Redis to `csv`, none", from: "csv, none", value: ratio, unit: floor, want: 0.6},
		{work: "Redis to `csv`, zstd", from: "csv, zstd", value: ratio, unit: floor, want: 0.35},
		{work: "all four stores", from: fourSinks, value: ratio, unit: floor, want: 0.08},
		{work: "trickle of 1,000/s for 60 s into aggregates, CPU", from: "trickle, 1000/s", value: cpu, unit: " s", want: 3, most: true},
		{work: "the same, mongod", from: "trickle, 1000/s", value: extra("mongod CPU s"), unit: " s", want: 4, most: true},
		{work: "memory, a million records waiting, `csv`", from: "backlog 1000000, csv", value: rss, unit: " MiB", want: 128, most: true},
		{work: "memory, four stores", from: fourSinks, value: rss, unit: " MiB", want: 256, most: true},
		{work: "two cores against one, source in memory, aggregates and archive", from: stagesName, value: extra("two cores against one: fold+csv"), unit: " x", want: 1.7},
		{work: "updates/s of aggregates at 10,000/s, 5 organisations, 11 lists", from: "rush, 10000/s, 11 lists", value: extra("updates/s of aggregates"), want: 10, most: true},
		{work: "a large aggregate document: its size", from: largeName, value: scaled(1e-6, extra("document bytes")), unit: " MB", open: true},
		{work: "the same: sent to mongod for each update", from: largeName, value: scaled(1e-3, extra("bytes sent an update")), unit: " kB", open: true},
		{work: "the same: CPU of mongod for each update", from: largeName, value: scaled(1e3, extra("mongod CPU s an update")), unit: " ms", open: true},
		{work: "one sink down, rate of the other by the clock", from: downName, value: extra("wall, alone/beside"), unit: " x", want: 0.95},
		{work: "the same, by CPU time", from: downName, value: extra("CPU, alone/beside"), unit: " x", want: 0.95},
		{work: "idle", from: "idle", value: extra("% of a core"), unit: " % of a core", want: 0.5, most: true},
		{work: "idle, memory", from: "idle", value: rss, unit: " MiB", want: 40, most: true},
		{work: "start to first record settled", from: "start to first record", value: func(r *result) float64 { return 1000 * r.Wall }, unit: " ms", want: 300, most: true},
	}
}

// judged is a goal and what was seen.
type judged struct {
	goal
	seen    float64
	verdict string
}

// What a verdict says.
const (
	reached     = "reached"
	missed      = "missed"
	shown       = "no bound"
	notMeasured = "not measured"
)

// judge holds results against the goals.
func judge(results []result) (out []judged) {
	byName := map[string]*result{}
	for i := range results {
		if len(results[i].Missing) == 0 {
			byName[results[i].Name] = &results[i]
		}
	}
	for _, g := range goals() {
		j := judged{goal: g, verdict: notMeasured}
		if r := byName[g.from]; r != nil {
			j.seen = g.value(r)
			j.verdict = g.verdict(j.seen)
		}
		out = append(out, j)
	}
	return out
}

func (g *goal) verdict(seen float64) string {
	switch {
	case g.open:
		return shown
	case g.most && seen <= g.want, !g.most && seen >= g.want:
		return reached
	}
	return missed
}

func (j *judged) wanted() string {
	switch {
	case j.open:
		return "-"
	case j.most:
		return fmt.Sprintf("<= %.4g%s", j.want, j.unit)
	}
	return fmt.Sprintf(">= %.4g%s", j.want, j.unit)
}

func (j *judged) saw() string {
	if j.verdict == notMeasured {
		return "-"
	}
	return fmt.Sprintf("%.3g%s", j.seen, j.unit)
}

func printGoals(w io.Writer, all []judged) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\ngoal\twanted\tseen\tverdict")
	for i := range all {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", all[i].work, all[i].wanted(), all[i].saw(), all[i].verdict)
	}
	return t.Flush()
}

// What lies between these lines of a page is written by this program.
const (
	goalsBegin = "<!-- goals: written by make bench, not by hand -->"
	goalsEnd   = "<!-- end of goals -->"
)

// writeGoals puts the table into a page, between its marks. A goal that was not measured keeps no former figure.
func writeGoals(path string, all []judged) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok := bytes.Cut(page, []byte(goalsBegin))
	_, after, end := bytes.Cut(rest, []byte(goalsEnd))
	if !ok || !end {
		return fmt.Errorf("%s has no lines %q and %q", path, goalsBegin, goalsEnd)
	}
	var b bytes.Buffer
	b.Write(before)
	b.WriteString(goalsBegin + "\n\n| work | goal | seen | verdict |\n| --- | --- | --- | --- |\n")
	for i := range all {
		j := &all[i]
		verdict := j.verdict
		if verdict == missed {
			verdict = "**missed**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", j.work, j.wanted(), j.saw(), verdict)
	}
	b.WriteString("\n" + goalsEnd)
	b.Write(after)
	return os.WriteFile(path, b.Bytes(), 0o644)
}
