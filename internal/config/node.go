package config

import "strconv"

// nodeKind is the form of a value in the file.
type nodeKind uint8

const (
	nullNode nodeKind = iota
	boolNode
	numberNode
	textNode
	listNode
	mapNode
)

// String names the kind in messages.
func (k nodeKind) String() string {
	return [...]string{"nothing", "true or false", "a number", "text", "a list", "a mapping"}[k]
}

// node is a value of the file with its position.
type node struct {
	kind      nodeKind
	text      string // of a scalar, as written
	line, col int    // 0 when it is not in the file
	items     []*node
	entries   []entry

	// free: the text may become any type, since it comes from a reference or an override and has none of its own.
	free bool
	// hidden: some of the text comes from a reference; parts are the pieces that do.
	hidden bool
	parts  []string
	// broken: a problem with the node is reported already.
	broken bool
	// pending: the text has references to AWS that are not resolved yet.
	pending bool
	// from is the environment variable that overrode the value.
	from string
}

type entry struct {
	key       string
	line, col int
	value     *node
}

func (n *node) scalar() bool { return n.kind <= textNode }

// get is the value of a key, nil if there is none.
func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	for _, e := range n.entries {
		if e.key == key {
			return e.value
		}
	}
	return nil
}

// set puts a value at a key, in place of what is there.
func (n *node) set(key string, value *node) {
	for i, e := range n.entries {
		if e.key == key {
			n.entries[i].value = value
			return
		}
	}
	n.entries = append(n.entries, entry{key: key, value: value})
}

// each calls f for every scalar below n with its path.
func (n *node) each(path string, f func(path string, n *node)) {
	if n == nil {
		return
	}
	switch n.kind {
	case mapNode:
		for _, e := range n.entries {
			e.value.each(join(path, e.key), f)
		}
	case listNode:
		for i, item := range n.items {
			item.each(path+"["+strconv.Itoa(i)+"]", f)
		}
	default:
		f(path, n)
	}
}

// join appends a key to a path. Keys that would be unclear in a path are quoted.
func join(path, key string) string {
	if !plainKey(key) {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

func plainKey(key string) bool {
	for _, r := range key {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '-', r == '*':
		default:
			return false
		}
	}
	return key != ""
}
