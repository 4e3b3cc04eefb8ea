package recount

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
)

// FromExtendedJSON reads documents in canonical extended JSON, one a line, gzipped, as trees. Numbers of 32 bits become
// int64 like the others.
func FromExtendedJSON(r io.Reader) ([]Tree, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	var out []Tree
	dec := json.NewDecoder(bufio.NewReader(z))
	for dec.More() {
		var v map[string]any
		if err := dec.Decode(&v); err != nil {
			return nil, err
		}
		t, err := plain(v)
		if err != nil {
			return nil, err
		}
		out = append(out, t.(Tree))
	}
	return out, nil
}

func plain(v any) (any, error) {
	switch v := v.(type) {
	case []any:
		out := []any{}
		for _, e := range v {
			p, err := plain(e)
			if err != nil {
				return nil, err
			}
			out = append(out, p)
		}
		return out, nil
	case map[string]any:
		if len(v) == 1 {
			for k, e := range v {
				if p, ok, err := scalar(k, e); ok || err != nil {
					return p, err
				}
			}
		}
		out := Tree{}
		for k, e := range v {
			p, err := plain(e)
			if err != nil {
				return nil, err
			}
			out[k] = p
		}
		return out, nil
	case string:
		return v, nil
	}
	return nil, fmt.Errorf("%T is not canonical extended JSON", v)
}

func scalar(k string, e any) (any, bool, error) {
	s, text := e.(string)
	switch {
	case k == "$date":
		ms, ok, err := scalar("$numberLong", e.(map[string]any)["$numberLong"])
		if !ok || err != nil {
			return nil, false, err
		}
		return Millis(ms.(int64)), true, nil
	case !text:
		return nil, false, nil
	case k == "$numberInt", k == "$numberLong":
		n, err := strconv.ParseInt(s, 10, 64)
		return n, true, err
	case k == "$numberDouble":
		f, err := strconv.ParseFloat(s, 64)
		return f, true, err
	}
	return nil, false, nil
}

// SortLists puts all lists of a document into one order, by what the entries say of themselves, so that documents that
// differ in that only compare equal.
func SortLists(doc Tree) {
	lists, _ := doc["lists"].(Tree)
	for _, v := range lists {
		switch v := v.(type) {
		case []any:
			sortEntries(v)
		case Tree:
			for _, w := range v {
				sortEntries(w.([]any))
			}
		}
	}
}

func sortEntries(l []any) {
	slices.SortFunc(l, func(a, b any) int {
		return cmp.Or(cmp.Compare(a.(Tree)["identifier"].(string), b.(Tree)["identifier"].(string)),
			cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)))
	})
}
