package config

import (
	"reflect"
	"slices"
	"strings"
)

// sections of the reference: the file from top to bottom, then the types of sources and sinks.
func sections() []section {
	c := Defaults()
	v := reflect.ValueOf(c).Elem()
	var out []section
	top := section{title: "Top level", intro: "The keys of the file."}
	ks := allKinds()
	for _, f := range fieldsOf(v.Type()) {
		fv := v.FieldByIndex(f.index)
		switch f.name {
		case "sources":
			out = append(out, kindSections("source", f, Source{}, ks.sources)...)
		case "sinks":
			out = append(out, kindSections("sink", f, sinkDefaults(), ks.sinks)...)
		default:
			if fv.Kind() == reflect.Struct {
				out = append(out, section{title: capital(f.name), intro: f.doc, rows: rowsOf(fv, f.name, nil)})
				continue
			}
		}
		top.rows = append(top.rows, rowOf(f, f.name, fv))
	}
	return append([]section{top}, out...)
}

// kindSections are what all of a kind have, and each type's own keys.
func kindSections(what string, f field, common any, ks []kind) []section {
	prefix := f.name + ".<name>"
	cv := reflect.ValueOf(common)
	rows := rowsOf(cv, prefix, nil)
	for i := range rows {
		if rows[i].key == prefix+".type" {
			rows[i].typ, rows[i].required = "text: "+strings.Join(names(ks), " | "), true
		}
	}
	out := []section{{title: "Every " + what, intro: f.doc, rows: rows}}
	for _, k := range ks {
		s := k.defaults()
		sv := reflect.ValueOf(s)
		required := map[string]bool{}
		for _, p := range s.Validate() {
			required[p.Key] = true
		}
		out = append(out, section{
			title: capital(what) + " of type " + k.name,
			intro: "Beside the keys that every " + what + " has.",
			rows:  rowsOf(sv, prefix, required),
		})
	}
	return out
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// rowsOf lists the keys of a struct and of what is in it. required are relative keys that have no default.
func rowsOf(v reflect.Value, prefix string, required map[string]bool) []row {
	var out []row
	for _, f := range fieldsOf(v.Type()) {
		key := prefix + "." + f.name
		r := rowOf(f, key, v.FieldByIndex(f.index))
		r.required = r.required || required[f.name]
		inner, at := innerStruct(v.FieldByIndex(f.index), key)
		if !inner.IsValid() {
			out = append(out, r)
			continue
		}
		below := map[string]bool{}
		for k := range required {
			if rest, ok := strings.CutPrefix(k, f.name+"."); ok {
				below[rest] = true
			}
		}
		if at != key || f.typ.Kind() == reflect.Pointer { // a list, a free mapping, something optional: a row of its own
			out = append(out, r)
		}
		out = append(out, rowsOf(inner, at, below)...)
	}
	return out
}

// innerStruct is the struct whose keys lie below a key, and the path they have.
func innerStruct(v reflect.Value, key string) (reflect.Value, string) {
	t := v.Type()
	switch t.Kind() {
	case reflect.Map, reflect.Slice:
		if e := indirect(t.Elem()); e.Kind() == reflect.Struct && !unmarshalsText(e) {
			if t.Kind() == reflect.Slice {
				return reflect.Zero(e), key + "[]"
			}
			return reflect.Zero(e), key + ".<id>"
		}
	case reflect.Pointer:
		if v.IsNil() {
			return innerStruct(reflect.Zero(t.Elem()), key)
		}
		return innerStruct(v.Elem(), key)
	case reflect.Struct:
		if !unmarshalsText(t) {
			return v, key
		}
	}
	return reflect.Value{}, key
}

func rowOf(f field, key string, v reflect.Value) row {
	r := row{key: key, typ: rowType(f), doc: f.doc, required: f.required, secret: f.secret}
	if !r.required {
		r.dflt = defaultText(v)
	}
	return r
}

func rowType(f field) string {
	t := indirect(f.typ)
	name := strings.TrimPrefix(typeName(t), "a ")
	switch {
	case len(f.enum) > 0:
		return "text: " + strings.Join(f.enum, " | ")
	case t.Kind() == reflect.Slice && !unmarshalsText(t):
		return "list of " + plural(typeName(t.Elem()))
	case t.Kind() == reflect.Map && !unmarshalsText(t):
		return "mapping to " + plural(typeName(t.Elem()))
	}
	return name
}

func plural(name string) string {
	name = strings.TrimPrefix(name, "a ")
	if name == "text" {
		return "texts"
	}
	return name + "s"
}

// defaultText is a default as it is written in a file, empty where there is none to speak of.
func defaultText(v reflect.Value) string {
	switch {
	case v.Kind() == reflect.Pointer || v.Kind() == reflect.Struct && !marshalsText(v.Type()):
		return ""
	case marshalsText(v.Type()):
		return scalarText(v)
	}
	switch v.Kind() {
	case reflect.Slice:
		var items []string
		for i := range v.Len() {
			items = append(items, scalarText(v.Index(i)))
		}
		return "[" + strings.Join(items, ", ") + "]"
	case reflect.Map:
		var items []string
		for _, k := range v.MapKeys() {
			items = append(items, k.String()+": "+scalarText(v.MapIndex(k)))
		}
		slices.Sort(items)
		return "{" + strings.Join(items, ", ") + "}"
	case reflect.String:
		if v.Len() == 0 {
			return `""`
		}
	}
	return scalarText(v)
}
