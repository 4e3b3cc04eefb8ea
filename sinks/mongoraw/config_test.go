package mongoraw

import (
	"log/slog"
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	good := Defaults()
	good.URI = "mongodb://user:secret@127.0.0.1/?replicaSet=rs0"
	for name, tt := range map[string]struct {
		change func(*Config)
		key    string // of the one problem, "" for none
	}{
		"good":        {func(c *Config) {}, ""},
		"per-org":     {func(c *Config) { c.Layout, c.CappedSize = LayoutPerOrg, 0 }, ""},
		"no uri":      {func(c *Config) { c.URI = "" }, "uri"},
		"w=1":         {func(c *Config) { c.URI += "&w=1" }, "uri"},
		"no database": {func(c *Config) { c.Database = "" }, "database"},
		"dot":         {func(c *Config) { c.Database = "a.b" }, "database"},
		"long":        {func(c *Config) { c.Database = strings.Repeat("x", 64) }, "database"},
		"layout":      {func(c *Config) { c.Layout = "plain" }, "layout"},
		"size":        {func(c *Config) { c.CappedSize = 100 }, "capped_size"},
	} {
		c := good
		tt.change(&c)
		problems := c.Validate()
		if tt.key == "" && len(problems) != 0 || tt.key != "" && (len(problems) != 1 || problems[0].Key != tt.key || problems[0].Cure == "") {
			t.Errorf("%s: %+v", name, problems)
		}
		if _, err := New("x", c, slog.New(slog.DiscardHandler)); (err == nil) != (tt.key == "") {
			t.Errorf("%s: New = %v", name, err)
		}
		if strings.Contains(c.Target(), "secret") {
			t.Errorf("%s: %s", name, c.Target())
		}
	}
}
