package importconfig

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// document is an object whose keys are marked as they are read, so that none is passed over in silence.
type document struct {
	values map[string]any
	path   string
	read   map[string]bool
	sub    []*document
}

func newDocument(path string, values map[string]any) *document {
	return &document{values: values, path: path, read: map[string]bool{}}
}

func (d *document) key(key string) string {
	if d.path == "" {
		return key
	}
	return d.path + "." + key
}

// under is an object below a key; one that is not there is empty.
func (d *document) under(key string) *document {
	values, ok := d.values[key].(map[string]any)
	if ok || d.values[key] == nil {
		d.read[key] = true
	}
	s := newDocument(d.key(key), values)
	d.sub = append(d.sub, s)
	return s
}

// text is a scalar as text; empty when it is not there.
func (d *document) text(key string) string {
	t, ok := scalar(d.values[key])
	if ok {
		d.read[key] = true
	}
	return t
}

func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case nil:
		return "", true
	case string:
		return strings.TrimSpace(v), true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}

func (d *document) flag(key string) bool {
	b, err := strconv.ParseBool(d.text(key))
	return err == nil && b
}

// number is a whole number above 0, or 0. One that is something else stays unread.
func (d *document) number(key string) int64 {
	n, err := strconv.ParseInt(d.text(key), 10, 64)
	if err != nil && d.text(key) != "" || n < 0 {
		d.read[key] = false
	}
	return max(n, 0)
}

// list is an array of scalars as texts; a text with commas, as variables and some keys have it, is one too.
func (d *document) list(key string) (out []string) {
	add := func(s string) {
		if s != "" {
			out = append(out, s)
		}
	}
	switch v := d.values[key].(type) {
	case []any:
		d.read[key] = true
		for _, e := range v {
			s, ok := scalar(e)
			if !ok {
				d.read[key] = false
			}
			add(s)
		}
	default:
		for s := range strings.SplitSeq(d.text(key), ",") {
			add(strings.TrimSpace(s))
		}
	}
	return out
}

// unread notes every key that nothing was made of, unless it asks for nothing.
func (c *converter) unread(d *document) {
	for _, key := range slices.Sorted(maps.Keys(d.values)) {
		if d.read[key] || silent(d.values[key]) {
			continue
		}
		reason, ok := reasons[key]
		if !ok {
			reason = "has no equal and is left out"
		}
		c.Note(d.key(key), reason)
	}
	for _, s := range d.sub {
		c.unread(s)
	}
}

// silent tells whether a value asks for nothing.
func silent(v any) bool {
	switch v := v.(type) {
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	s, _ := scalar(v)
	return s == "" || s == "0" || s == "false"
}
