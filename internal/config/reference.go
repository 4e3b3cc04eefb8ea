package config

import (
	"fmt"
	"io"
	"strings"
)

// section is a part of the reference: a heading and its keys.
type section struct {
	title string
	intro string
	rows  []row
}

// row is one key.
type row struct {
	key      string
	typ      string
	dflt     string // as written in the file; empty for none
	required bool
	secret   bool
	doc      string
}

// Reference writes every key with type, default and meaning as plain text.
func Reference(w io.Writer) error {
	var b strings.Builder
	for i, s := range sections() {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "%s\n\n%s\n", strings.ToUpper(s.title), wrap(s.intro, ""))
		for _, r := range s.rows {
			fmt.Fprintf(&b, "\n%s  (%s)\n%s\n", r.key, strings.Join(r.facts(), ", "), wrap(r.doc, "    "))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// ReferenceMarkdown writes the same as Markdown, for docs/reference.
func ReferenceMarkdown(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Configuration reference\n\n" +
		"Generated from the program's own types, like the output of `sluice config reference`; a test keeps it current.\n\n" +
		introduction)
	for _, s := range sections() {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| key | type | default | meaning |\n| --- | --- | --- | --- |\n", s.title, s.intro)
		for _, r := range s.rows {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", r.key, cell(r.typCell()), cell(r.dfltCell()), cell(r.doc))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

const introduction = `One static file, never written by the program. Unknown keys are errors. Sizes are written like 5GiB, 8MiB or 500kB;
durations like 200ms, 30s, 90d or 3y (a day has 24 hours, a year 365 days).

A value may hold references, which are resolved after the file was parsed, so that their content never changes its
structure:

| reference | value |
| --- | --- |
| ` + "`${NAME}`" + ` | the environment variable NAME, which must be set |
| ` + "`${NAME:-x}`" + ` | the same, or x where it is unset or empty |
| ` + "`${file:/path}`" + ` | the content of a file, without white space at its ends |
| ` + "`${aws-sm:id}`" + ` | a secret of AWS Secrets Manager; ` + "`${aws-sm:id#key}`" + ` is one key of a secret that is JSON |
| ` + "`${aws-ssm:name}`" + ` | a parameter of AWS Systems Manager Parameter Store |
| ` + "`$${`" + ` | a plain ` + "`${`" + ` |

Inside ` + "`[ ]` and `{ }`" + ` a reference needs quotes. What comes from a reference is never shown.

Any key that holds one value, or a list of them, can also be set from the environment: ` + "`sinks.raw.uri`" + ` as
` + "`SLUICE_SINKS_RAW_URI`" + `, upper case, every other character as ` + "`_`" + `, lists with commas. The value is taken as it is and counts
more than the file. Names of sources and sinks are those of the file. A variable that names no key is a warning.
`

func (r row) facts() []string {
	out := []string{r.typ}
	switch {
	case r.required:
		out = append(out, "required")
	case r.dflt != "":
		out = append(out, "default "+r.dflt)
	}
	if r.secret {
		out = append(out, "secret")
	}
	return out
}

func (r row) typCell() string {
	if r.secret {
		return r.typ + ", secret"
	}
	return r.typ
}

func (r row) dfltCell() string {
	switch {
	case r.required:
		return "required"
	case r.dflt == "":
		return ""
	}
	return "`" + r.dflt + "`"
}

func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;").Replace(s)
}

// wrap breaks a text into lines of at most 100 characters.
func wrap(text, indent string) string {
	var b strings.Builder
	column := 0
	for _, word := range strings.Fields(text) {
		switch {
		case column == 0:
			b.WriteString(indent)
			column = len(indent)
		case column+1+len(word) > 100:
			b.WriteString("\n" + indent)
			column = len(indent)
		default:
			b.WriteString(" ")
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}
