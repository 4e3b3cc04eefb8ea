package importconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Error is a configuration that is not JSON, or no object.
type Error struct {
	Line, Column int // from 1, the column in characters
	What         string
}

func (e *Error) Error() string { return fmt.Sprintf("%d:%d: %s", e.Line, e.Column, e.What) }

// decode reads one JSON object. Keys come in lower case, since tyk-pump goes by them in any.
func decode(data []byte) (map[string]any, error) {
	bom := 0
	if bytes.HasPrefix(data, []byte("\xef\xbb\xbf")) {
		bom = 3
	}
	dec := json.NewDecoder(bytes.NewReader(data[bom:]))
	dec.UseNumber()
	fail := func(offset int64, what string) error {
		return place(data[bom:], offset, what)
	}
	if len(bytes.TrimSpace(data[bom:])) == 0 {
		return nil, fail(0, "the file is empty")
	}
	var v any
	if err := dec.Decode(&v); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return nil, fail(syntax.Offset-1, "not JSON: "+syntax.Error())
		}
		return nil, fail(int64(len(data)), "not JSON: it ends too early")
	}
	end := dec.InputOffset()
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		rest := data[int64(bom)+end:]
		return nil, fail(end+int64(len(rest)-len(bytes.TrimLeft(rest, " \t\r\n"))), "not JSON: something follows the end of it")
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fail(int64(len(data)-bom-len(bytes.TrimLeft(data[bom:], " \t\r\n"))), "not an object of keys and values")
	}
	return lower(m), nil
}

func place(data []byte, offset int64, what string) *Error {
	offset = min(max(offset, 0), int64(len(data)))
	before := data[:offset]
	line := bytes.LastIndexByte(before, '\n') + 1
	return &Error{Line: bytes.Count(before, []byte("\n")) + 1, Column: utf8.RuneCount(before[line:]) + 1, What: what}
}

// lower has all keys in lower case; of those that were different the last in order counts, so that results are repeatable.
func lower(m map[string]any) map[string]any {
	out := make(map[string]any, len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		v := m[key]
		if sub, ok := v.(map[string]any); ok {
			v = lower(sub)
		}
		out[strings.ToLower(key)] = v
	}
	return out
}
