package config

import (
	"encoding"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
)

// Show is the configuration as it is understood, as YAML, every key with its value. Secrets, what came from references
// and passwords in URIs are ***.
func (c *Config) Show() ([]byte, error) {
	b, err := yaml.MarshalWithOptions(c.tree(), yaml.Indent(2), yaml.IndentSequence(true))
	if err != nil {
		return nil, fmt.Errorf("write the configuration as YAML: %w", err)
	}
	return b, nil
}

// MarshalJSON is Show in JSON, so that no encoder shows more.
func (c Config) MarshalJSON() ([]byte, error) { return json.Marshal(plain(c.tree())) }

// LogValue implements slog.LogValuer.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.text()) }

// Format implements fmt.Formatter: every verb prints Show.
func (c Config) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, c.text()) }

// Format implements fmt.Formatter without secrets.
func (s Source) Format(f fmt.State, _ rune) { formatMasked(f, s) }

// Format implements fmt.Formatter without secrets.
func (s Sink) Format(f fmt.State, _ rune) { formatMasked(f, s) }

// LogValue implements slog.LogValuer.
func (s Source) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(s)) }

// LogValue implements slog.LogValuer.
func (s Sink) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(s)) }

// MarshalJSON holds no secrets.
func (s Source) MarshalJSON() ([]byte, error) { return maskedJSON(s) }

// MarshalJSON holds no secrets.
func (s Sink) MarshalJSON() ([]byte, error) { return maskedJSON(s) }

func maskedJSON(v any) ([]byte, error) {
	w := shower{}
	out, _ := w.value(reflect.ValueOf(v), "", field{})
	return json.Marshal(plain(out))
}

func formatMasked(f fmt.State, v any) {
	b, err := maskedJSON(v)
	if err != nil {
		b = []byte(masked)
	}
	_, _ = f.Write(b)
}

func (c Config) text() string {
	b, err := c.Show()
	if err != nil {
		return masked
	}
	return string(b)
}

func (c Config) tree() any {
	w := shower{hidden: c.hidden}
	v, _ := w.value(reflect.ValueOf(c), "", field{})
	return v
}

// shower turns a configuration into plain maps, lists and scalars without secrets.
type shower struct {
	hidden map[string]bool
	visit  func(secret string) // gets every secret that is left out
}

// value is v for showing; ok is false where nothing is to be shown.
func (w *shower) value(v reflect.Value, path string, f field) (out any, ok bool) {
	if v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return nil, false
		}
		v = v.Elem()
	}
	switch {
	case w.hidden[path]:
		return masked, true
	case marshalsText(v.Type()):
		return w.scalar(scalarText(v), f), true
	}
	switch v.Kind() {
	case reflect.Struct:
		return w.fields(v, path, f), true
	case reflect.Map:
		return w.mapOf(v, path, f), true
	case reflect.Slice:
		list := make([]any, 0, v.Len())
		for i := range v.Len() {
			item, _ := w.value(v.Index(i), path+"["+strconv.Itoa(i)+"]", f)
			list = append(list, item)
		}
		return list, true
	case reflect.String:
		return w.scalar(v.String(), f), true
	}
	if f.secret {
		return masked, true
	}
	return v.Interface(), true
}

func (w *shower) scalar(s string, f field) string {
	if f.secret && f.name == "uri" && strings.Contains(s, "://") {
		return strings.ReplaceAll(maskSecretURI(s), "${", "$${") // its secrets are found as those of any URI
	}
	if f.secret && s != "" {
		if w.visit != nil {
			w.visit(s)
		}
		return masked
	}
	return strings.ReplaceAll(maskURI(s), "${", "$${")
}

// fields of a struct, and of the settings where it is a source or sink.
func (w *shower) fields(v reflect.Value, path string, under field) yaml.MapSlice {
	out := yaml.MapSlice{}
	add := func(v reflect.Value) {
		for _, f := range fieldsOf(v.Type()) {
			if slices.ContainsFunc(out, func(i yaml.MapItem) bool { return i.Key == f.name }) {
				continue
			}
			f.secret = f.secret || under.secret
			if item, ok := w.value(v.FieldByIndex(f.index), join(path, f.name), f); ok {
				out = append(out, yaml.MapItem{Key: f.name, Value: item})
			}
		}
	}
	add(v)
	if s := settingsOf(v); s != nil {
		add(reflect.ValueOf(s))
	}
	return out
}

func settingsOf(v reflect.Value) any {
	switch s := v.Interface().(type) {
	case Source:
		return s.Settings
	case Sink:
		return s.Settings
	}
	return nil
}

func (w *shower) mapOf(v reflect.Value, path string, f field) yaml.MapSlice {
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	out := make(yaml.MapSlice, 0, len(keys))
	for _, k := range keys {
		if item, ok := w.value(v.MapIndex(k), join(path, k.String()), f); ok {
			out = append(out, yaml.MapItem{Key: k.String(), Value: item})
		}
	}
	return out
}

// scalarText is a value as it is written in the file.
func scalarText(v reflect.Value) string {
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		if b, err := m.MarshalText(); err == nil {
			return string(b)
		}
	}
	return fmt.Sprint(v.Interface())
}

// plain turns ordered mappings into ones that encoding/json knows.
func plain(v any) any {
	switch v := v.(type) {
	case yaml.MapSlice:
		out := make(map[string]any, len(v))
		for _, item := range v {
			out[item.Key.(string)] = plain(item.Value)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = plain(v[i])
		}
		return out
	}
	return v
}
