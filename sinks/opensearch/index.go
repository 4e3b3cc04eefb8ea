package opensearch

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// pattern is an index name with places for the time.
type pattern []piece

// piece is text, or one of the tokens of time.
type piece struct {
	text  string
	token bool
}

// tokens of time and an example each, as long as any value.
var tokens = []string{"yyyy", "MM", "dd", "HH"}

// maxIndexName is OpenSearch's limit, in bytes.
const maxIndexName = 255

// IndexName is the index of a record of that time: pattern with each {...} replaced by the time in UTC.
func IndexName(pattern string, t time.Time) (string, error) {
	p, err := parsePattern(pattern)
	if err != nil {
		return "", err
	}
	return p.name(t)
}

// parsePattern reads an index pattern and holds it against OpenSearch's rules for index names.
func parsePattern(s string) (pattern, error) {
	var p pattern
	for rest := s; rest != ""; {
		text, behind, found := strings.Cut(rest, "{")
		if strings.Contains(text, "}") {
			return nil, errors.New("has a } without {")
		}
		if text != "" {
			p = append(p, piece{text: text})
		}
		if !found {
			break
		}
		inner, after, closed := strings.Cut(behind, "}")
		if !closed {
			return nil, errors.New("has a { without }")
		}
		pieces, err := parseTime(inner)
		if err != nil {
			return nil, err
		}
		p, rest = append(p, pieces...), after
	}
	if len(p) > 0 && p[0].token {
		return nil, errors.New("begins with a time, so that nothing tells its indices from others")
	}
	example, err := p.name(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC))
	if err != nil {
		return nil, err
	}
	return p, checkName(example)
}

// parseTime reads what stands between braces: tokens, and between them whatever is not a letter.
func parseTime(s string) (p pattern, err error) {
	for s != "" {
		n := 0
		for _, t := range tokens {
			if strings.HasPrefix(s, t) {
				n = len(t)
			}
		}
		if n > 0 {
			p, s = append(p, piece{text: s[:n], token: true}), s[n:]
			continue
		}
		if c := s[0]; c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '{' {
			return nil, fmt.Errorf("has %q in braces, where only yyyy, MM, dd and HH can be", s)
		}
		p, s = append(p, piece{text: s[:1]}), s[1:]
	}
	if len(p) == 0 {
		return nil, errors.New("has empty braces")
	}
	return p, nil
}

// checkName holds an index name against OpenSearch's rules.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("is missing")
	case name != strings.ToLower(name):
		return errors.New("has capital letters, which no index name may have")
	case strings.ContainsAny(name, "\\/*?\"<>| ,#:\x00"):
		return errors.New(`has a character that no index name may have: \ / * ? " < > | , # : or a space`)
	case strings.ContainsAny(name[:1], "-_+."):
		return errors.New("begins with - _ + or a dot")
	case len(name) > maxIndexName:
		return fmt.Errorf("is longer than %d bytes", maxIndexName)
	}
	return nil
}

func (p pattern) name(t time.Time) (string, error) {
	t = t.UTC()
	if y := t.Year(); y < 0 || y > 9999 {
		return "", fmt.Errorf("the year %d makes no index name", y)
	}
	var b []byte
	for _, x := range p {
		switch {
		case !x.token:
			b = append(b, x.text...)
		case x.text == "yyyy":
			b = appendPadded(b, t.Year(), 4)
		case x.text == "MM":
			b = appendPadded(b, int(t.Month()), 2)
		case x.text == "dd":
			b = appendPadded(b, t.Day(), 2)
		case x.text == "HH":
			b = appendPadded(b, t.Hour(), 2)
		}
	}
	return string(b), nil
}

func appendPadded(b []byte, n, width int) []byte {
	digits := strconv.Itoa(n)
	for range width - len(digits) {
		b = append(b, '0')
	}
	return append(b, digits...)
}

// wildcard matches every index of the pattern.
func (p pattern) wildcard() string {
	var b strings.Builder
	for _, x := range p {
		if x.token {
			b.WriteString("*")
		} else {
			b.WriteString(x.text)
		}
	}
	w := b.String()
	for _, sep := range []string{"*.*", "*-*", "*_*", "**"} { // one star for the whole time
		for strings.Contains(w, sep) {
			w = strings.ReplaceAll(w, sep, "*")
		}
	}
	return w
}

// templateName is the name of the index template of the pattern.
func (p pattern) templateName() string {
	return "sluice-" + strings.Trim(strings.ReplaceAll(p.wildcard(), "*", ""), "-_.")
}

// namer names indices, remembering the last hour: the records of a batch have mostly the same.
type namer struct {
	pattern pattern
	hour    int64
	last    string
}

func (n *namer) name(t time.Time) (string, error) {
	hour := t.Unix() / 3600
	if t.Unix() < 0 {
		hour = -1 // before 1970 hours are not remembered
	}
	if n.last != "" && hour >= 0 && hour == n.hour {
		return n.last, nil
	}
	name, err := n.pattern.name(t)
	if err == nil {
		n.hour, n.last = hour, name
	}
	return name, err
}
