package config

import (
	"fmt"

	"github.com/goccy/go-yaml/ast"
)

// maxNodes bounds the tree after aliases were put in: a few lines of aliases can stand for billions of values.
const maxNodes = 20_000

// converter turns the parser's tree into nodes: aliases and merge keys are put in, duplicate keys are found.
type converter struct {
	anchors  map[string]*node
	problems []Problem
	nodes    int
	full     bool
}

func (c *converter) report(at *node, key, what, cure string) {
	if len(c.problems) > 0 && c.full {
		return
	}
	c.problems = append(c.problems, Problem{Line: at.line, Col: at.col, Key: key, What: what, Cure: cure})
}

// room counts a node and tells whether it still fits.
func (c *converter) room(at *node) bool {
	if c.nodes++; c.nodes <= maxNodes {
		return true
	}
	if !c.full {
		c.full = true
		c.problems = nil
		c.report(at, "", fmt.Sprintf("the file stands for more than %d values", maxNodes), "use fewer aliases")
	}
	return false
}

func (c *converter) convert(a ast.Node, path string, depth int) *node {
	n := &node{}
	if a == nil {
		return n
	}
	n.line, n.col = position(a)
	if !c.room(n) {
		n.broken = true
		return n
	}
	if depth > maxDepth {
		return c.broken(n, path, "values are nested too deeply", "the deepest key has six levels")
	}
	switch a := a.(type) {
	case *ast.NullNode:
		n.kind = nullNode
	case *ast.BoolNode:
		n.kind, n.text = boolNode, a.Token.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		n.kind, n.text = numberNode, a.GetToken().Value
	case *ast.StringNode:
		n.kind, n.text = textNode, a.Value
	case *ast.LiteralNode:
		n.kind, n.text = textNode, a.Value.Value
	case *ast.SequenceNode:
		n.kind = listNode
		for i, v := range a.Values {
			n.items = append(n.items, c.convert(v, fmt.Sprintf("%s[%d]", path, i), depth+1))
		}
	case *ast.MappingNode:
		c.mapping(n, a.Values, path, depth)
	case *ast.MappingValueNode:
		c.mapping(n, []*ast.MappingValueNode{a}, path, depth)
	case *ast.AnchorNode:
		return c.anchor(a, path, depth)
	case *ast.AliasNode:
		return c.alias(n, a, path)
	case *ast.TagNode:
		return c.broken(n, path, "YAML tags (!...) are not used here", "remove the tag; quote the value to make it text")
	default:
		return c.broken(n, path, "this YAML construct is not used here", "write a plain value")
	}
	return n
}

func (c *converter) broken(n *node, path, what, cure string) *node {
	c.report(n, path, what, cure)
	n.broken = true
	return n
}

func (c *converter) anchor(a *ast.AnchorNode, path string, depth int) *node {
	n := c.convert(a.Value, path, depth+1)
	c.anchors[a.Name.GetToken().Value] = n
	return n
}

func (c *converter) alias(n *node, a *ast.AliasNode, path string) *node {
	name := a.Value.GetToken().Value
	target, ok := c.anchors[name]
	if !ok {
		return c.broken(n, path, fmt.Sprintf("there is no anchor &%s before this alias", name), "define the anchor first, or write the value out")
	}
	out := c.copy(target)
	out.line, out.col = n.line, n.col
	return out
}

// copy clones a node, so that what is put in twice is resolved and decoded by itself.
func (c *converter) copy(n *node) *node {
	out := *n
	if !c.room(n) {
		return &node{line: n.line, col: n.col, broken: true}
	}
	out.items, out.entries = nil, nil
	for _, item := range n.items {
		if c.full {
			break
		}
		out.items = append(out.items, c.copy(item))
	}
	for _, e := range n.entries {
		if c.full {
			break
		}
		e.value = c.copy(e.value)
		out.entries = append(out.entries, e)
	}
	return &out
}

func (c *converter) mapping(n *node, values []*ast.MappingValueNode, path string, depth int) {
	n.kind = mapNode
	seen := map[string]int{} // key to line
	var merges []*node
	for _, v := range values {
		e := entry{}
		e.line, e.col = position(v.Key)
		if v.Key.Type() == ast.MergeKeyType {
			merges = append(merges, c.convert(v.Value, path, depth+1))
			continue
		}
		key, ok := keyText(v.Key)
		if !ok {
			c.report(&node{line: e.line, col: e.col}, path, "a key must be plain text", "write key: value")
			continue
		}
		e.key = key
		at := join(path, key)
		if first, dup := seen[key]; dup {
			c.report(&node{line: e.line, col: e.col}, at, fmt.Sprintf("is given twice, first in line %d", first), "keep one of them")
			continue
		}
		seen[key] = e.line
		e.value = c.convert(v.Value, at, depth+1)
		n.entries = append(n.entries, e)
	}
	for _, m := range merges {
		c.merge(n, m, path)
	}
}

// merge puts in what << names; keys that are there already win.
func (c *converter) merge(n, from *node, path string) {
	switch from.kind {
	case mapNode:
		for _, e := range from.entries {
			if n.get(e.key) == nil {
				n.entries = append(n.entries, e)
			}
		}
	case listNode:
		for _, item := range from.items {
			if item.kind != mapNode {
				c.report(item, path, "<< takes mappings only", "name an anchor of a mapping")
				continue
			}
			c.merge(n, item, path)
		}
	default:
		if !from.broken {
			c.report(from, path, "<< takes mappings only", "name an anchor of a mapping")
		}
	}
}

func keyText(k ast.Node) (string, bool) {
	switch k := k.(type) {
	case *ast.MappingKeyNode:
		if k.Value == nil {
			return "", false
		}
		return keyText(k.Value)
	case *ast.StringNode:
		return k.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return k.GetToken().Value, true
	}
	return "", false
}
