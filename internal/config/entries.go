package config

import (
	"reflect"
	"slices"
	"strconv"

	"sluice/internal/units"
)

// settings is what every typed part of a source or sink can do.
type settings interface {
	// Validate checks values without any connection; keys of problems are relative.
	Validate() []units.Problem
	// Target identifies the store, without secrets; empty if two with the same may exist.
	Target() string
}

// kind is a type of source or sink.
type kind struct {
	name     string
	defaults func() settings // nil: the word is known, but there is nothing behind it in this version
}

func kindOf[C settings](name string, defaults func() C) kind {
	return kind{name, func() settings { return defaults() }}
}

// kinds are the types there are.
type kinds struct{ sources, sinks []kind }

func find(ks []kind, name string) (kind, bool) {
	i := slices.IndexFunc(ks, func(k kind) bool { return k.name == name })
	if i < 0 {
		return kind{}, false
	}
	return ks[i], true
}

// names of the types.
func names(ks []kind) []string {
	var out []string
	for _, k := range ks {
		out = append(out, k.name)
	}
	return out
}

func (d *decoder) source(n *node, s *Source, path string) {
	d.entry(n, path, d.kinds.sources, "source", reflect.ValueOf(s).Elem(), &s.Settings)
}

func (d *decoder) sink(n *node, s *Sink, path string) {
	*s = sinkDefaults()
	d.entry(n, path, d.kinds.sinks, "sink", reflect.ValueOf(s).Elem(), &s.Settings)
}

// entry decodes a source or sink: what all have into common, the rest into the settings of its type.
func (d *decoder) entry(n *node, path string, ks []kind, what string, common reflect.Value, out *any) {
	if n.kind != mapNode {
		d.wrongKind(n, path, "a mapping", "write its keys below it, indented")
		return
	}
	k, ok := d.kindOf(n, path, ks, what)
	if !ok {
		return
	}
	own := reflect.New(reflect.TypeOf(k.defaults())).Elem()
	own.Set(reflect.ValueOf(k.defaults()))
	d.structs(n, path, common, own)
	*out = own.Interface()
}

// kindOf reads the type of an entry. Without one its keys mean nothing, so that the rest is not looked at.
func (d *decoder) kindOf(n *node, path string, ks []kind, what string) (kind, bool) {
	t := n.get("type")
	at := join(path, "type")
	switch {
	case t == nil:
		d.report(n, at, "is missing", cureChoice(names(ks)))
		return kind{}, false
	case t.skip():
		return kind{}, false
	case t.kind != textNode:
		d.wrongKind(t, at, "text", cureChoice(names(ks)))
		return kind{}, false
	case t.hidden:
		d.report(t, at, "the type is a reference", "write it out: what a reference holds never changes which keys there are")
		return kind{}, false
	}
	k, ok := find(ks, t.text)
	if !ok {
		d.report(t, at, "there is no "+what+" type "+strconv.Quote(t.text), cureUnknown(t.text, names(ks)))
		n.broken = true
	}
	return k, ok
}
