package config

import (
	"encoding/json"
	"fmt"
	"reflect"

	"sluice/internal/units"
)

// object is a JSON object of the schema.
type object map[string]any

// referencePattern lets a reference stand where a number or a choice is asked for.
const referencePattern = `\$\{`

// Schema is a JSON Schema (draft 2020-12) of the file, so that editors complete and check it. What it accepts may still
// be refused by Load, which knows more; what Load accepts, it accepts.
func Schema() ([]byte, error) {
	c := Defaults()
	ks := allKinds()
	root := structSchema(reflect.ValueOf(c).Elem())
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "Configuration of sluice"
	props := root["properties"].(object)
	props["sources"] = entriesSchema(props["sources"], kindsSchema(Source{}, ks.sources))
	props["sinks"] = entriesSchema(props["sinks"], kindsSchema(sinkDefaults(), ks.sinks))
	b, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the schema as JSON: %w", err)
	}
	return append(b, '\n'), nil
}

func entriesSchema(was any, entry any) object {
	return object{
		"description": was.(object)["description"], "type": "object", "minProperties": 1,
		"propertyNames":        object{"pattern": nameForm.String()},
		"additionalProperties": entry,
	}
}

// kindsSchema is one alternative for each type, told apart by the constant in type.
func kindsSchema(common any, ks []kind) object {
	var alternatives []any
	for _, k := range ks {
		s := structSchema(reflect.ValueOf(common))
		props := s["properties"].(object)
		own := structSchema(reflect.ValueOf(k.defaults()))
		for name, p := range own["properties"].(object) {
			if _, shared := props[name]; !shared {
				props[name] = p
			}
		}
		props["type"] = object{"const": k.name, "description": "Kind of the entry."}
		s["title"] = k.name
		s["required"] = []string{"type"}
		alternatives = append(alternatives, s)
	}
	return object{"oneOf": alternatives}
}

// structSchema does not demand required keys, since they may come from the environment.
func structSchema(v reflect.Value) object {
	props := object{}
	for _, f := range fieldsOf(v.Type()) {
		p := valueSchema(f, v.FieldByIndex(f.index))
		p["description"] = f.doc
		props[f.name] = p
	}
	return object{"type": []string{"object", "null"}, "additionalProperties": false, "properties": props}
}

func valueSchema(f field, v reflect.Value) object {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v = reflect.Zero(v.Type().Elem())
		} else {
			v = v.Elem()
		}
	}
	t := v.Type()
	switch {
	case t == reflect.TypeFor[Source](), t == reflect.TypeFor[Sink]():
		return object{}
	case unmarshalsText(t):
		return withDefault(textSchema(t), v)
	}
	inner := field{name: f.name, secret: f.secret}
	switch t.Kind() {
	case reflect.Struct:
		return structSchema(v)
	case reflect.Slice:
		return object{"type": []string{"array", "null"}, "items": valueSchema(inner, reflect.Zero(t.Elem()))}
	case reflect.Map:
		return object{"type": []string{"object", "null"}, "additionalProperties": valueSchema(inner, reflect.Zero(t.Elem()))}
	case reflect.Bool:
		return withDefault(object{"anyOf": []any{object{"type": "boolean"}, orReference()}}, v)
	case reflect.String:
		if len(f.enum) > 0 {
			return withDefault(object{"anyOf": []any{object{"enum": f.enum}, orReference()}}, v)
		}
		return withDefault(object{"type": []string{"string", "number"}}, v)
	case reflect.Float64:
		return withDefault(object{"anyOf": []any{object{"type": "number"}, orReference()}}, v)
	}
	return withDefault(object{"anyOf": []any{object{"type": "integer"}, orReference()}}, v)
}

func orReference() object { return object{"type": "string", "pattern": referencePattern} }

func textSchema(t reflect.Type) object {
	pattern := ""
	switch t {
	case reflect.TypeFor[units.Size]():
		pattern = `^[0-9.]+ *([KMGT]iB|[kKMGT]?B)?$|` + referencePattern
	case reflect.TypeFor[units.Duration]():
		pattern = `^([0-9.]+(ns|us|µs|ms|s|m|h|d|y))+$|^0$|` + referencePattern
	default:
		return object{"type": []string{"string", "number"}}
	}
	return object{"type": []string{"string", "number"}, "pattern": pattern}
}

// withDefault adds the default, unless it is empty, which says nothing.
func withDefault(s object, v reflect.Value) object {
	if v.IsZero() {
		return s
	}
	if marshalsText(v.Type()) {
		s["default"] = scalarText(v)
	} else {
		s["default"] = v.Interface()
	}
	return s
}
