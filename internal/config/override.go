package config

import (
	"reflect"
	"slices"
	"strings"
)

// leaf is a key that can be set from the environment.
type leaf struct {
	path []string
	list bool    // takes a comma list
	seed []entry // what the mapping it lies in holds by default, if that is a mapping with free keys
}

// variable is the name of the environment variable: SLUICE_SINKS_RAW_URI for sinks.raw.uri.
func (l leaf) variable() string {
	name := strings.ToUpper("SLUICE_" + strings.Join(l.path, "_"))
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, name)
}

func (l leaf) key() string {
	key := ""
	for _, p := range l.path {
		key = join(key, p)
	}
	return key
}

// overrides puts values from the environment into a tree, in place of what the file says. Values are taken as they
// are: references in them are not resolved.
type overrides struct {
	root     *node
	kinds    kinds
	env      []string
	problems []Problem
	warnings []Warning
}

// apply sets types first, since they decide which other keys there are.
func (o *overrides) apply() {
	isType := func(l leaf) bool { return len(l.path) == 3 && l.path[2] == "type" }
	used := map[string]bool{}
	o.pass(used, isType)
	o.pass(used, func(l leaf) bool { return !isType(l) })
	for _, e := range o.env {
		name, _, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, "SLUICE_") || used[name] || name == "SLUICE_CONFIG" || strings.HasPrefix(name, "SLUICE_TEST_") {
			continue
		}
		used[name] = true
		if o.referenced(name) {
			continue
		}
		o.warnings = append(o.warnings, Warning{name, "the variable names no key of the configuration; it has no effect"})
	}
}

// referenced tells whether the file refers to a variable, which then has an effect whatever its name.
func (o *overrides) referenced(name string) (found bool) {
	o.root.each("", func(_ string, n *node) {
		found = found || n.kind == textNode && n.from == "" &&
			(strings.Contains(n.text, "${"+name+"}") || strings.Contains(n.text, "${"+name+":-"))
	})
	return found
}

func (o *overrides) pass(used map[string]bool, choose func(leaf) bool) {
	by := map[string][]leaf{}
	for _, l := range o.leaves() {
		by[l.variable()] = append(by[l.variable()], l)
	}
	for _, e := range o.env {
		name, _, _ := strings.Cut(e, "=")
		ls := by[name]
		if used[name] || len(ls) == 0 || !choose(ls[0]) {
			continue
		}
		used[name] = true
		if len(ls) > 1 {
			keys := make([]string, len(ls))
			for i, l := range ls {
				keys[i] = l.key()
			}
			slices.Sort(keys)
			o.problems = append(o.problems, Problem{Key: keys[0], What: "the variable " + name + " names " + strings.Join(keys, " and "),
				Cure: "rename one of them"})
			continue
		}
		value, _ := lookup(o.env, name)
		o.set(ls[0], name, value)
	}
}

func (o *overrides) set(l leaf, name, value string) {
	if strings.Contains(value, "${") {
		o.warnings = append(o.warnings, Warning{name, "the value is taken as it is; references are resolved in the file only"})
	}
	at := o.root
	for i, p := range l.path[:len(l.path)-1] {
		child := at.get(p)
		if child == nil || child.kind == nullNode {
			child = &node{kind: mapNode}
			if i == len(l.path)-2 {
				child.entries = slices.Clone(l.seed)
			}
			at.set(p, child)
		}
		if child.kind != mapNode {
			return // wrong in the file; that is reported by itself
		}
		at = child
	}
	scalar := func(s string) *node { return &node{kind: textNode, text: s, free: true, from: name} }
	v := scalar(value)
	if l.list {
		v = &node{kind: listNode, from: name}
		for item := range strings.SplitSeq(value, ",") {
			if item = strings.TrimSpace(item); item != "" {
				v.items = append(v.items, scalar(item))
			}
		}
	}
	at.set(l.path[len(l.path)-1], v)
}

// leaves are all keys that can be set, given the names that the file uses.
func (o *overrides) leaves() []leaf {
	w := leafWalk{kinds: o.kinds}
	w.value(reflect.ValueOf(Defaults()).Elem(), o.root, nil, nil)
	return w.out
}

type leafWalk struct {
	kinds kinds
	out   []leaf
}

func (w *leafWalk) value(v reflect.Value, n *node, path []string, seed []entry) {
	if v.Kind() == reflect.Pointer {
		v = reflect.New(v.Type().Elem()).Elem()
	}
	t := v.Type()
	switch {
	case t == reflect.TypeFor[Source]():
		w.entry(v, n, path, w.kinds.sources)
	case t == reflect.TypeFor[Sink]():
		w.entry(v, n, path, w.kinds.sinks)
	case unmarshalsText(t):
		w.out = append(w.out, leaf{path: path, seed: seed})
	case t.Kind() == reflect.Struct:
		w.fields(v, n, path)
	case t.Kind() == reflect.Map:
		w.mapOf(v, n, path)
	case t.Kind() == reflect.Slice:
		if e := t.Elem(); e.Kind() != reflect.Struct || unmarshalsText(e) {
			w.out = append(w.out, leaf{path: path, list: true})
		}
	case t.Kind() != reflect.Interface:
		w.out = append(w.out, leaf{path: path, seed: seed})
	}
}

func (w *leafWalk) fields(v reflect.Value, n *node, path []string) {
	for _, f := range fieldsOf(v.Type()) {
		w.value(v.FieldByIndex(f.index), n.get(f.name), append(slices.Clone(path), f.name), nil)
	}
}

func (w *leafWalk) entry(v reflect.Value, n *node, path []string, ks []kind) {
	w.fields(v, n, path)
	t := n.get("type")
	if t == nil {
		return
	}
	if k, ok := find(ks, t.text); ok {
		w.fields(reflect.ValueOf(k.defaults()), n, path)
	}
}

// mapOf has the keys of the file, or the default's where the file has no such mapping.
func (w *leafWalk) mapOf(v reflect.Value, n *node, path []string) {
	var seed []entry
	var keys []string
	if n != nil && n.kind == mapNode {
		for _, e := range n.entries {
			keys = append(keys, e.key)
		}
	} else {
		for _, k := range v.MapKeys() {
			keys = append(keys, k.String())
			seed = append(seed, entry{key: k.String(), value: &node{kind: textNode, text: scalarText(v.MapIndex(k)), free: true}})
		}
		slices.Sort(keys)
	}
	for _, k := range keys {
		w.value(reflect.New(v.Type().Elem()).Elem(), n.get(k), append(slices.Clone(path), k), seed)
	}
}
