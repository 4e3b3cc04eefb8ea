package points

import (
	"fmt"
	"io"
	"strings"
)

// Page writes the list of steps in Markdown.
func (f *Found) Page(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Crash points\n\n" +
		"Generated from the source by `go test ./internal/crash/points -update`; do not edit.\n\n" +
		"Every step that changes what outlives the process: a store, Redis, the disk. A program built with `-tags crashpoints`\n" +
		"kills itself before or after each, by `SLUICE_CRASH=\"before redis/claim\"` or `SLUICE_CRASH=\"after archive/object:3\"` for the\n" +
		"third pass, and the suite in `cmd/sluice` does so at all of them\n" +
		"([decision](../decisions/0015-crash-points.md)). The program that is shipped has none of it.\n\n" +
		"| step | where | what it does |\n| --- | --- | --- |\n")
	for _, s := range f.Steps {
		calls := make([]string, len(s.Calls))
		for i, c := range s.Calls {
			calls[i] = "`" + c[strings.LastIndex(c, "/")+1:] + "`"
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s |\n", s.Name, strings.TrimPrefix(s.In, "sluice/"), strings.Join(calls, ", "))
	}
	fmt.Fprintf(&b, "\n%d steps, %d points.\n", len(f.Steps), 2*len(f.Steps))
	_, err := io.WriteString(w, b.String())
	return err
}
