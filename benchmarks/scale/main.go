// Command scale computes, from the figures that docs/performance.md and docs/scaling.md state, what a region needs at a rate of records, and
// writes that into docs/scaling.md:
//
//	go run ./benchmarks/scale          # from the root of the module
//
// A figure that is measured anew there changes the model with it; a test holds the two together.
package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
)

const (
	performancePage = "docs/performance.md"
	scalingPage     = "docs/scaling.md"

	begin = "<!-- computed: go run ./benchmarks/scale -->\n"
	end   = "<!-- end -->\n"
)

func main() {
	if err := run("."); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

func run(root string) error {
	performance, err := os.ReadFile(root + "/" + performancePage)
	if err != nil {
		return err
	}
	scaling, err := os.ReadFile(root + "/" + scalingPage)
	if err != nil {
		return err
	}
	page, err := computed(string(performance), string(scaling))
	if err != nil {
		return err
	}
	return os.WriteFile(root+"/"+scalingPage, []byte(page), 0o644)
}

// computed is the scaling page with its model as the figures of both pages make it.
func computed(performance, scaling string) (string, error) {
	f, err := figuresOf(performance, scaling)
	if err != nil {
		return "", err
	}
	before, rest, ok1 := strings.Cut(scaling, begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		return "", fmt.Errorf("%s has no lines %q and %q", scalingPage, begin, end)
	}
	return before + begin + f.tables() + end + after, nil
}

// figures are microseconds of CPU a record, but for bytes.
type figures struct {
	edge, worker float64
	clients      float64 // of the four stores, beyond reading and decoding
	broker       float64 // in and out, without replicas
	topic        float64 // bytes a record in the topic
	mongod       float64 // raw and aggregates
	aggregates   float64 // of mongod, aggregates alone
	search       float64 // OpenSearch, one shard without replicas
}

// figuresOf finds the figures where the pages state them.
func figuresOf(performance, scaling string) (f figures, err error) {
	find := func(page, text, pattern string) (out []float64) {
		m := regexp.MustCompile(pattern).FindStringSubmatch(text)
		if m == nil {
			err = errors.Join(err, fmt.Errorf("%s does not state %s", page, pattern))
			return make([]float64, 9)
		}
		for _, s := range m[1:] {
			n, e := strconv.ParseFloat(strings.ReplaceAll(s, ",", ""), 64)
			err = errors.Join(err, e)
			out = append(out, n)
		}
		return out
	}
	bus := find(scalingPage, scaling, `\n\| 12 \| ([\d.]+) \| ([\d.]+) \|`)
	f.edge, f.worker = bus[0], bus[1]
	zstd := find(scalingPage, scaling, `\n\| zstd \|[^|]*\|[^|]*\| ([\d.]+), ([\d.]+) \| ([\d.]+) \|`)
	f.broker, f.topic = (zstd[0]+zstd[1])*1e6/100_000, zstd[2]
	all := find(performancePage, performance, `\n\| aggregate, raw, OpenSearch, archive \| ([\d,]+) \| ([\d.]+) \|`)
	none := find(performancePage, performance, "\n\\| `discard` \\| ([\\d,]+) \\| ([\\d.]+) \\|")
	f.clients = (all[1]/all[0] - none[1]/none[0]) * 1e6
	mongod := find(performancePage, performance, `a million records\*\*: ([\d.]+) CPU seconds of mongod for raw and aggregates, ([\d.]+) of them for aggregates`)
	f.mongod, f.aggregates = mongod[0], mongod[1]
	f.search = find(performancePage, performance, `a million records\*\*: some ([\d.]+) CPU seconds`)[0]
	return f, err
}

// rates are in records a second.
var rates = []float64{10_000, 100_000, 1_000_000}

// busy is the part of a machine's cores that may be used at the mean rate, machine how many cores it has.
const (
	busy    = 0.5
	machine = 8
)

func (f *figures) tables() string {
	var b strings.Builder
	fmt.Fprintf(&b, "CPU of a record, in microseconds: edge %s, worker %s, the clients of the four stores %s more, broker in and out %s a replica, mongod %s "+
		"for raw records and aggregates (aggregates alone %s), OpenSearch %s a copy. In the topic a record has %s bytes.\n\n",
		number(f.edge), number(f.worker), number(f.clients), number(f.broker), number(f.mongod), number(f.aggregates), number(f.search), number(f.topic))
	b.WriteString("| records a second | edges, cores | workers, cores | partitions, at least | brokers, cores a replica | topic, MB/s a replica | mongod, cores a member: raw and aggregates | aggregates alone | OpenSearch, cores a copy |\n")
	b.WriteString("| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, r := range rates {
		cores := func(us float64) string { return number(r * us / 1e6) }
		fmt.Fprintf(&b, "| %s | %s | %s | %.0f | %s | %s | %s | %s | %s |\n", thousands(r), cores(f.edge), cores(f.worker+f.clients),
			math.Ceil(r*(f.worker+f.clients)/1e6/busy), cores(f.broker), number(r*f.topic/1e6), cores(f.mongod), cores(f.aggregates), cores(f.search))
	}
	fmt.Fprintf(&b, "\nWhere a store saturates, on machines of %d cores of which half is used at the mean rate, and what that makes of each:\n\n", machine)
	b.WriteString("| store | one machine takes, records a second | machines at 10,000 | 100,000 | 1,000,000 |\n| --- | --- | --- | --- | --- |\n")
	for _, s := range []struct {
		name string
		us   float64
	}{
		{"MongoDB, raw and aggregates: primaries", f.mongod}, {"MongoDB, aggregates alone: primaries", f.aggregates},
		{"OpenSearch, without replicas: data nodes", f.search}, {"OpenSearch, one replica: data nodes", 2 * f.search},
		{"Kafka, three replicas: brokers, three at least", 3 * f.broker},
	} {
		one := machine * busy / s.us * 1e6
		fmt.Fprintf(&b, "| %s | %s |", s.name, thousands(math.Floor(one/1000)*1000))
		for _, r := range rates {
			fmt.Fprintf(&b, " %.0f |", math.Ceil(r/one))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// number has two digits that count.
func number(v float64) string {
	switch {
	case v >= 9.95:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 0.095:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

func thousands(v float64) string {
	s := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
