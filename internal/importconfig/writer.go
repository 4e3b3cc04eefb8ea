package importconfig

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml"
)

// reference is a text in which ${...} is a reference of ours; in every other text it is not.
type reference string

// writer gathers the sections of a sluice.yaml.
type writer struct {
	source, pipeline, log yaml.MapSlice
	sinks                 []*sink
}

// sink is a section of sinks.
type sink struct {
	name string
	keys yaml.MapSlice
}

func put(m *yaml.MapSlice, key string, value any) {
	switch v := value.(type) {
	case reference:
		value = string(v)
	case string:
		if v == "" {
			return
		}
		value = literal(v)
	case []string:
		if len(v) == 0 {
			return
		}
		v = slices.Clone(v)
		for i := range v {
			v[i] = literal(v[i])
		}
		value = v
	case []int:
		if len(v) == 0 {
			return
		}
	case yaml.MapSlice:
		if len(v) == 0 {
			return
		}
	}
	*m = append(*m, yaml.MapItem{Key: key, Value: value})
}

func putTrue(m *yaml.MapSlice, key string, on bool) {
	if on {
		put(m, key, true)
	}
}

// literal keeps a text from becoming a reference.
func literal(s string) string { return strings.ReplaceAll(s, "${", "$${") }

// variable is the name of the variable that overrides a key of ours.
func variable(path string) string {
	return "SLUICE_" + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return r - 'a' + 'A'
		}
		if r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, path)
}

// plain is a text on one line, without characters that a terminal would obey.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}

// maxName leaves room for a number behind it; a sink's name has 63 characters at most.
const maxName = 56

// add makes a sink under a free name.
func (w *writer) add(wanted, kind string) *sink {
	base := strings.Map(func(r rune) rune {
		if r = unicode.ToLower(r); r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, wanted)
	base = strings.Trim(base[:min(len(base), maxName)], "-")
	if base == "" {
		base = kind
	}
	name := base
	for i := 2; slices.ContainsFunc(w.sinks, func(s *sink) bool { return s.name == name }); i++ {
		name = fmt.Sprintf("%s-%d", base, i)
	}
	s := &sink{name: name}
	put(&s.keys, "type", kind)
	w.sinks = append(w.sinks, s)
	return s
}

// YAML is the sluice.yaml; its end repeats what has no equal, and the secrets to set, as comments.
func (r *Result) YAML() (string, error) {
	var doc, sinks yaml.MapSlice
	for _, s := range r.out.sinks {
		put(&sinks, s.name, s.keys)
	}
	put(&doc, "region", "default")
	put(&doc, "sources", yaml.MapSlice{{Key: "main", Value: r.out.source}})
	put(&doc, "pipeline", r.out.pipeline)
	put(&doc, "state", yaml.MapSlice{{Key: "dir", Value: "./state"}})
	put(&doc, "sinks", sinks)
	put(&doc, "log", r.out.log)
	text, err := yaml.MarshalWithOptions(doc, yaml.Indent(2), yaml.IndentSequence(true))
	if err != nil {
		return "", fmt.Errorf("write the configuration: %w", err)
	}
	var b strings.Builder
	b.WriteString("# Made from a configuration of tyk-pump. Look it over, then: sluice check --connect\n")
	b.Write(text)
	if len(r.Secrets) > 0 {
		b.WriteString("\n# Variables to set:\n")
	}
	for _, s := range r.Secrets {
		fmt.Fprintf(&b, "#   %s gets the secret of %s\n", s.Variable, s.From)
	}
	b.WriteString("\n# Not carried over, or to look at:\n")
	for _, u := range r.Unmapped {
		fmt.Fprintf(&b, "#   %s: %s\n", u.Key, u.Reason)
	}
	return b.String(), nil
}
