package config

import (
	"strconv"
	"strings"
)

// place is where a key is in the file.
type place struct {
	line, col int
	node      *node
}

// placesOf finds where every key is: a single value at the value, a mapping or list at its key.
func placesOf(root *node) map[string]place {
	out := map[string]place{}
	var walk func(path string, n *node, at place)
	walk = func(path string, n *node, at place) {
		at.node = n
		if n.scalar() && n.line > 0 {
			at.line, at.col = n.line, n.col
		}
		out[path] = at
		for _, e := range n.entries {
			walk(join(path, e.key), e.value, place{line: e.line, col: e.col})
		}
		for i, item := range n.items {
			walk(path+"["+strconv.Itoa(i)+"]", item, place{line: item.line, col: item.col})
		}
	}
	walk("", root, place{})
	return out
}

// nearestPlace is the place of a key, or of what should hold it, or the beginning of the file.
func nearestPlace(places map[string]place, key string) (p place, exact bool) {
	for path := key; path != ""; path = parent(path) {
		if p, ok := places[path]; ok {
			return p, path == key
		}
	}
	return place{line: 1, col: 1, node: &node{}}, false
}

func parent(path string) string {
	return path[:max(0, strings.LastIndexAny(path, ".["))]
}
