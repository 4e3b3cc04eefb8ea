package config

import (
	"reflect"
	"time"

	"sluice/internal/units"
)

// typeName names a type as the reference and the messages do.
func typeName(t reflect.Type) string {
	t = indirect(t)
	switch t {
	case reflect.TypeFor[units.Size]():
		return "a size"
	case reflect.TypeFor[units.Duration](), reflect.TypeFor[time.Duration]():
		return "a duration"
	case reflect.TypeFor[Moment]():
		return "a time"
	}
	if unmarshalsText(t) {
		return "text"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64, reflect.Int32, reflect.Uint, reflect.Uint64, reflect.Uint32, reflect.Uint16:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "a mapping"
	}
	return "text"
}
