package config

import (
	"encoding"
	"reflect"
	"strings"
)

// field is a key of a struct, as its tags describe it.
type field struct {
	name     string
	doc      string
	enum     []string
	secret   bool
	required bool
	index    []int
	typ      reflect.Type
}

// fieldsOf lists the keys of a struct type in the order of its fields. Embedded structs and fields marked inline
// contribute their own keys.
func fieldsOf(t reflect.Type) []field {
	var out []field
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name == "-" || (!f.IsExported() && !f.Anonymous) {
			continue
		}
		if f.Type.Kind() == reflect.Struct && (strings.Contains(options, "inline") || f.Anonymous && name == "") {
			for _, inner := range fieldsOf(f.Type) {
				inner.index = append([]int{i}, inner.index...)
				out = append(out, inner)
			}
			continue
		}
		if name == "" {
			name = strings.ToLower(f.Name)
		}
		fd := field{
			name: name, doc: f.Tag.Get("doc"), index: []int{i}, typ: f.Type,
			secret: f.Tag.Get("secret") == "true", required: f.Tag.Get("required") == "true",
		}
		if e := f.Tag.Get("enum"); e != "" {
			fd.enum = strings.Split(e, "|")
		}
		out = append(out, fd)
	}
	return out
}

func unmarshalsText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

func marshalsText(t reflect.Type) bool {
	return t.Implements(reflect.TypeFor[encoding.TextMarshaler]())
}

// indirect is the type a pointer points to.
func indirect(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}
