package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/goccy/go-yaml"
)

// schemaCheck validates a value against the keywords that Schema uses. A keyword it does not know is an error, so that
// the check never passes for want of knowing.
func schemaCheck(s map[string]any, v any, path string) error {
	for keyword, arg := range s {
		var err error
		switch keyword {
		case "$schema", "title", "description", "default":
		case "type":
			err = checkType(arg, v)
		case "const":
			if arg != v {
				err = fmt.Errorf("is not %v", arg)
			}
		case "enum":
			if !slices.Contains(arg.([]any), v) {
				err = fmt.Errorf("is not one of %v", arg)
			}
		case "pattern":
			if text, ok := v.(string); ok && !regexp.MustCompile(arg.(string)).MatchString(text) {
				err = fmt.Errorf("%q does not match %s", text, arg)
			}
		case "minProperties":
			if m, ok := v.(map[string]any); ok && float64(len(m)) < arg.(float64) {
				err = fmt.Errorf("has %d keys", len(m))
			}
		case "required":
			for _, k := range arg.([]any) {
				if m, ok := v.(map[string]any); ok && m[k.(string)] == nil {
					err = fmt.Errorf("lacks %s", k)
				}
			}
		case "properties", "additionalProperties", "propertyNames":
			err = checkObject(s, v, path)
		case "items":
			list, _ := v.([]any)
			for i, item := range list {
				if err == nil {
					err = schemaCheck(arg.(map[string]any), item, fmt.Sprintf("%s[%d]", path, i))
				}
			}
		case "anyOf", "oneOf":
			err = checkSome(arg.([]any), v, path, keyword == "oneOf")
		default:
			err = fmt.Errorf("keyword %s is not known to this check", keyword)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

func checkSome(schemas []any, v any, path string, one bool) error {
	n := 0
	var last error
	for _, s := range schemas {
		if err := schemaCheck(s.(map[string]any), v, path); err == nil {
			n++
		} else {
			last = err
		}
	}
	if n == 0 || one && n != 1 {
		return fmt.Errorf("matches %d alternatives: %w", n, last)
	}
	return nil
}

func checkObject(s map[string]any, v any, path string) error {
	m, ok := v.(map[string]any)
	if !ok {
		return nil
	}
	props, _ := s["properties"].(map[string]any)
	for k, value := range m {
		if names, ok := s["propertyNames"].(map[string]any); ok {
			if err := schemaCheck(names, k, path+"."+k); err != nil {
				return err
			}
		}
		sub, ok := props[k].(map[string]any)
		if !ok {
			if sub, ok = s["additionalProperties"].(map[string]any); !ok {
				return fmt.Errorf("%s is not a property", k)
			}
		}
		if err := schemaCheck(sub, value, path+"."+k); err != nil {
			return err
		}
	}
	return nil
}

func checkType(arg, v any) error {
	is := map[string]bool{}
	switch x := v.(type) {
	case nil:
		is["null"] = true
	case bool:
		is["boolean"] = true
	case float64:
		is["number"], is["integer"] = true, x == float64(int64(x))
	case string:
		is["string"] = true
	case []any:
		is["array"] = true
	case map[string]any:
		is["object"] = true
	}
	if t, ok := arg.(string); ok && is[t] {
		return nil
	}
	if ts, ok := arg.([]any); ok && slices.ContainsFunc(ts, func(t any) bool { return is[t.(string)] }) {
		return nil
	}
	return fmt.Errorf("%T is not %v", v, arg)
}

func schemaVerdict(t *testing.T, file string) error {
	t.Helper()
	raw, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var s map[string]any
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	j, err := yaml.YAMLToJSON(data)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(j, &v); err != nil {
		t.Fatal(err)
	}
	return schemaCheck(s, v, "file")
}

func TestSchemaTakesGoodFiles(t *testing.T) {
	for _, f := range files(t, "*.good.yaml") {
		if err := schemaVerdict(t, f); err != nil {
			t.Errorf("%s: %v", filepath.Base(f), err)
		}
	}
}

func TestSchemaRefusesBadFiles(t *testing.T) {
	for _, name := range []string{"unknown-key", "unknown-sink-key", "wrong-kind", "wrong-scalar", "bad-size", "bad-duration",
		"unknown-type", "log", "on-full", "names", "missing-type", "no-entries", "filters"} {
		if err := schemaVerdict(t, "testdata/"+name+".bad.yaml"); err == nil {
			t.Errorf("%s passes", name)
		}
	}
}

// TestShowLoadsAgain: what is shown of a file without secrets is a file with the same meaning.
func TestShowLoadsAgain(t *testing.T) {
	for _, name := range []string{"contract", "anchors", "commented-out"} {
		c, _, err := Load(t.Context(), "testdata/"+name+".good.yaml", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		shown, err := c.Show()
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := Parse(t.Context(), "shown.yaml", shown, nil, nil)
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, shown)
		}
		if got, err := again.Show(); err != nil || string(got) != string(shown) {
			t.Errorf("%s: shown again it differs: %v", name, err)
		}
	}
}
