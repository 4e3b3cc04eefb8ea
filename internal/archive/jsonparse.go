package archive

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds the nesting of a JSON cell: the 64 levels that the path of a GraphQL error may have, and those around it.
const maxDepth = 80

var errJSON = errors.New("not valid JSON")

// parseJSON reads a JSON cell. Objects become map[string]any, arrays []any, integers int64 (uint64 where they are
// larger), other numbers float64. A \udcHH that has no partner becomes the byte HH.
func parseJSON(s string) (any, error) {
	p := jsonParser{s: s}
	v, err := p.value(0)
	if err != nil {
		return nil, err
	}
	if p.space(); p.i != len(p.s) {
		return nil, errJSON
	}
	return v, nil
}

type jsonParser struct {
	s string
	i int
}

func (p *jsonParser) space() {
	for p.i < len(p.s) && strings.IndexByte(" \t\r\n", p.s[p.i]) >= 0 {
		p.i++
	}
}

// take skips white space and tells whether c comes next, and steps over it if so.
func (p *jsonParser) take(c byte) bool {
	p.space()
	if p.i < len(p.s) && p.s[p.i] == c {
		p.i++
		return true
	}
	return false
}

func (p *jsonParser) value(depth int) (any, error) {
	p.space()
	if depth > maxDepth || p.i >= len(p.s) {
		return nil, errJSON
	}
	switch p.s[p.i] {
	case '{':
		return p.object(depth)
	case '[':
		return p.array(depth)
	case '"':
		return p.str()
	}
	for word, v := range map[string]any{"null": nil, "true": true, "false": false} {
		if strings.HasPrefix(p.s[p.i:], word) {
			p.i += len(word)
			return v, nil
		}
	}
	return p.number()
}

func (p *jsonParser) object(depth int) (any, error) {
	p.i++
	m := map[string]any{}
	if p.take('}') {
		return m, nil
	}
	for {
		if p.space(); p.i >= len(p.s) || p.s[p.i] != '"' {
			return nil, errJSON
		}
		k, err := p.str()
		if err != nil {
			return nil, err
		}
		if !p.take(':') {
			return nil, errJSON
		}
		if m[k], err = p.value(depth + 1); err != nil {
			return nil, err
		}
		if p.take('}') {
			return m, nil
		}
		if !p.take(',') {
			return nil, errJSON
		}
	}
}

func (p *jsonParser) array(depth int) (any, error) {
	p.i++
	list := []any{}
	if p.take(']') {
		return list, nil
	}
	for {
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		if p.take(']') {
			return list, nil
		}
		if !p.take(',') {
			return nil, errJSON
		}
	}
}

func (p *jsonParser) number() (any, error) {
	start := p.i
	for p.i < len(p.s) && strings.IndexByte("+-.0123456789eE", p.s[p.i]) >= 0 {
		p.i++
	}
	text := p.s[start:p.i]
	if strings.ContainsAny(text, ".eE") {
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, errJSON
		}
		return f, nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return nil, errJSON
	}
	return n, nil
}

// str reads a string; p.i is at its opening quote.
func (p *jsonParser) str() (string, error) {
	p.i++
	end := strings.IndexAny(p.s[p.i:], `"\`)
	if end < 0 {
		return "", errJSON
	}
	if p.s[p.i+end] == '"' {
		s := p.s[p.i : p.i+end]
		p.i += end + 1
		return s, nil
	}
	var b []byte
	for p.i < len(p.s) {
		switch c := p.s[p.i]; c {
		case '"':
			p.i++
			return string(b), nil
		case '\\':
			var err error
			if b, err = p.escape(b); err != nil {
				return "", err
			}
		default:
			b = append(b, c)
			p.i++
		}
	}
	return "", errJSON
}

func (p *jsonParser) escape(b []byte) ([]byte, error) {
	if p.i+1 >= len(p.s) {
		return nil, errJSON
	}
	c := p.s[p.i+1]
	if c == 'u' {
		return p.unicode(b)
	}
	i := strings.IndexByte(`"\/bfnrt`, c)
	if i < 0 {
		return nil, fmt.Errorf("%w: \\%c is not an escape", errJSON, c)
	}
	p.i += 2
	return append(b, "\"\\/\b\f\n\r\t"[i]), nil
}

// unicode reads \uXXXX: a pair of surrogates is one rune, a lone low one of DC80 to DCFF is a byte.
func (p *jsonParser) unicode(b []byte) ([]byte, error) {
	r, ok := p.hex4()
	if !ok {
		return nil, errJSON
	}
	if !utf16.IsSurrogate(r) {
		return utf8.AppendRune(b, r), nil
	}
	if r >= 0xdc80 && r <= 0xdcff {
		return append(b, byte(r)), nil
	}
	if low, ok := p.hex4(); ok {
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			return utf8.AppendRune(b, pair), nil
		}
	}
	return nil, fmt.Errorf("%w: a lone surrogate", errJSON)
}

func (p *jsonParser) hex4() (rune, bool) {
	if p.i+6 > len(p.s) || p.s[p.i] != '\\' || p.s[p.i+1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range []byte(p.s[p.i+2 : p.i+6]) {
		h := hexValue(c)
		if h > 15 {
			return 0, false
		}
		r = r<<4 | rune(h)
	}
	p.i += 6
	return r, true
}
