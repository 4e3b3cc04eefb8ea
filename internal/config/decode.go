package config

import (
	"encoding"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// decoder fills structs from nodes, strictly, over the defaults that are in them. It goes on after a problem.
type decoder struct {
	problems []Problem
	kinds    kinds
}

func (d *decoder) report(n *node, path, what, cure string) {
	n.broken = true
	if n.from != "" {
		what += " (from " + n.from + ")"
	}
	d.problems = append(d.problems, Problem{Line: n.line, Col: n.col, Key: path, What: what, Cure: cure})
}

// skip tells whether a node cannot be decoded now: it is reported already, or waits for AWS.
func (n *node) skip() bool { return n.broken || n.pending }

// value decodes a node into v.
func (d *decoder) value(n *node, v reflect.Value, path string, f field) {
	if n.skip() {
		return
	}
	if n.kind == nullNode {
		d.null(n, v, path)
		return
	}
	switch p := v.Addr().Interface().(type) {
	case *Source:
		d.source(n, p, path)
		return
	case *Sink:
		d.sink(n, p, path)
		return
	case encoding.TextUnmarshaler:
		d.text(n, p, path, f)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		fresh := reflect.New(v.Type().Elem())
		if !v.IsNil() {
			fresh.Elem().Set(v.Elem())
		}
		d.value(n, fresh.Elem(), path, f)
		v.Set(fresh)
	case reflect.Struct:
		d.structs(n, path, v)
	case reflect.Map:
		d.mapOf(n, v, path, f)
	case reflect.Slice:
		d.list(n, v, path, f)
	default:
		d.scalar(n, v, path, f)
	}
}

// null: a mapping or list of which everything is commented out says nothing; a key that wants a value has none.
func (d *decoder) null(n *node, v reflect.Value, path string) {
	t := indirect(v.Type())
	if t == reflect.TypeFor[Source]() || t == reflect.TypeFor[Sink]() {
		d.report(n, path, "has no keys", "write them below it, at least type, or remove it")
		return
	}
	if k := t.Kind(); !unmarshalsText(t) && (k == reflect.Struct || k == reflect.Map || k == reflect.Slice) {
		return
	}
	d.report(n, path, "has no value", `give one, or remove the key to have the default; an empty text is ""`)
}

// structs decodes a mapping into one or more structs that share its keys.
func (d *decoder) structs(n *node, path string, targets ...reflect.Value) {
	if n.kind != mapNode {
		d.wrongKind(n, path, "a mapping", "write its keys below it, indented")
		return
	}
	type place struct {
		field
		value reflect.Value
	}
	var names []string
	places := map[string][]place{}
	for _, t := range targets {
		for _, f := range fieldsOf(t.Type()) {
			if len(places[f.name]) == 0 {
				names = append(names, f.name)
			}
			places[f.name] = append(places[f.name], place{f, t.FieldByIndex(f.index)})
		}
	}
	for _, e := range n.entries {
		at := join(path, e.key)
		if len(places[e.key]) == 0 {
			e.value.broken = true
			d.problems = append(d.problems, Problem{Line: e.line, Col: e.col, Key: at,
				What: "is not a key here", Cure: cureUnknown(e.key, names)})
		}
		for _, p := range places[e.key] {
			d.value(e.value, p.value, at, p.field)
		}
	}
}

func (d *decoder) mapOf(n *node, v reflect.Value, path string, f field) {
	if n.kind != mapNode {
		d.wrongKind(n, path, "a mapping", "write its keys below it, indented")
		return
	}
	fresh := reflect.MakeMapWithSize(v.Type(), len(n.entries))
	for _, e := range n.entries {
		item := reflect.New(v.Type().Elem()).Elem()
		d.value(e.value, item, join(path, e.key), f)
		fresh.SetMapIndex(reflect.ValueOf(e.key).Convert(v.Type().Key()), item)
	}
	v.Set(fresh)
}

func (d *decoder) list(n *node, v reflect.Value, path string, f field) {
	if n.kind != listNode {
		d.wrongKind(n, path, "a list", `write it like ["a", "b"]`)
		return
	}
	fresh := reflect.MakeSlice(v.Type(), len(n.items), len(n.items))
	for i, item := range n.items {
		d.value(item, fresh.Index(i), path+"["+strconv.Itoa(i)+"]", f)
	}
	v.Set(fresh)
}

func (d *decoder) wrongKind(n *node, path, want, cure string) {
	d.report(n, path, "wants "+want+", got "+n.kind.String(), cure)
}

// text decodes a scalar into a type that reads text, such as a size.
func (d *decoder) text(n *node, v encoding.TextUnmarshaler, path string, f field) {
	if n.kind != textNode && n.kind != numberNode {
		d.wrongKind(n, path, "one value", "write it as "+typeName(reflect.TypeOf(v).Elem()))
		return
	}
	err := v.UnmarshalText([]byte(n.text))
	if err == nil {
		return
	}
	// The errors of these types read: "value" is not a size: write it like ...
	what, cure := err.Error(), ""
	if i := strings.LastIndex(what, ": "); i > 0 {
		what, cure = what[:i], what[i+2:]
	}
	if f.secret || n.hidden {
		what = "the value is not " + typeName(reflect.TypeOf(v).Elem())
	}
	d.report(n, path, what, cure)
}

func (d *decoder) scalar(n *node, v reflect.Value, path string, f field) {
	want := typeName(v.Type())
	if !n.scalar() {
		d.wrongKind(n, path, want, "write one value behind the key")
		return
	}
	ok := false
	switch v.Kind() {
	case reflect.String:
		if ok = n.kind == textNode || n.kind == numberNode; ok {
			v.SetString(n.text)
			d.oneOf(n, path, f)
		}
	case reflect.Bool:
		if ok = (n.kind == boolNode || n.free) && (n.text == "true" || n.text == "false"); ok {
			v.SetBool(n.text == "true")
		}
	case reflect.Int, reflect.Int64, reflect.Int32:
		if i, err := strconv.ParseInt(n.text, 10, v.Type().Bits()); err == nil && (n.kind == numberNode || n.free) {
			v.SetInt(i)
			ok = true
		}
	case reflect.Uint, reflect.Uint64, reflect.Uint32, reflect.Uint16:
		if i, err := strconv.ParseUint(n.text, 10, v.Type().Bits()); err == nil && (n.kind == numberNode || n.free) {
			v.SetUint(i)
			ok = true
		}
	case reflect.Float64:
		if x, err := strconv.ParseFloat(n.text, 64); err == nil && x-x == 0 && (n.kind == numberNode || n.free) {
			v.SetFloat(x)
			ok = true
		}
	}
	if !ok {
		d.report(n, path, "wants "+want+", got "+d.shown(n, f), cureScalar(v.Kind()))
	}
}

// shown is a scalar for a message.
func (d *decoder) shown(n *node, f field) string {
	switch {
	case f.secret || n.hidden:
		return "something else"
	case n.kind == textNode:
		return strconv.Quote(n.text)
	}
	return n.text
}

func (d *decoder) oneOf(n *node, path string, f field) {
	if len(f.enum) == 0 || slices.Contains(f.enum, n.text) {
		return
	}
	what := strconv.Quote(n.text) + " is not known"
	if f.secret || n.hidden {
		what = "the value is not known"
	}
	d.report(n, path, what, cureChoice(f.enum))
}

func cureChoice(known []string) string {
	cure := "write " + strings.Join(known[:len(known)-1], ", ")
	if len(known) > 1 {
		cure += " or "
	}
	return cure + known[len(known)-1]
}

func cureScalar(k reflect.Kind) string {
	switch k {
	case reflect.String:
		return "put it in quotes to make it text"
	case reflect.Bool:
		return "write true or false, without quotes"
	}
	return "write it in digits, without quotes"
}
