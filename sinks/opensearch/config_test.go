package opensearch

import (
	"log/slog"
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*Config)
		key    string // of the one problem, "" for none
	}{
		"good":         {func(c *Config) {}, ""},
		"basic":        {func(c *Config) { c.Auth.Basic = Basic{"u", "secret"} }, ""},
		"aws":          {func(c *Config) { c.Auth.AWS = AWS{Service: "aoss"} }, ""},
		"api key":      {func(c *Config) { c.Auth.APIKey = APIKey{"i", "secret"} }, ""},
		"no urls":      {func(c *Config) { c.URLs = nil }, "urls"},
		"no scheme":    {func(c *Config) { c.URLs = []string{"search:9200"} }, "urls[0]"},
		"credentials":  {func(c *Config) { c.URLs = append(c.URLs, "https://u:secret@h") }, "urls[1]"},
		"query":        {func(c *Config) { c.URLs = []string{"https://h/?x=y"} }, "urls[0]"},
		"index":        {func(c *Config) { c.Index = "Tyk" }, "index"},
		"two ways":     {func(c *Config) { c.Auth.Basic, c.Auth.APIKey = Basic{"u", "p"}, APIKey{"i", "k"} }, "auth"},
		"half basic":   {func(c *Config) { c.Auth.Basic.Username = "u" }, "auth.basic"},
		"half key":     {func(c *Config) { c.Auth.APIKey.Key = "secret" }, "auth.api_key"},
		"aws service":  {func(c *Config) { c.Auth.AWS.Region = "eu-west-1" }, "auth.aws.service"},
		"keep":         {func(c *Config) { c.Keep = -1 }, "keep"},
		"bulk bytes":   {func(c *Config) { c.Bulk.Bytes = 1 }, "bulk.bytes"},
		"bulk records": {func(c *Config) { c.Bulk.Records = 0 }, "bulk.records"},
	} {
		c := Defaults()
		c.URLs = []string{"https://H:9200/"}
		tt.change(&c)
		problems := c.Validate()
		if tt.key == "" && len(problems) != 0 || tt.key != "" && (len(problems) != 1 || problems[0].Key != tt.key || problems[0].Cure == "") {
			t.Errorf("%s: %+v", name, problems)
		}
		sink, err := New("x", c, slog.New(slog.DiscardHandler))
		if (err == nil) != (tt.key == "") {
			t.Errorf("%s: New = %v", name, err)
		}
		if err == nil && strings.Contains(string(sink.Shape())+c.Target(), "secret") || err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: a secret is shown", name)
		}
	}
}

func TestTarget(t *testing.T) {
	a, b := Defaults(), Defaults()
	a.URLs, b.URLs = []string{"https://H:9200/", "http://i"}, []string{"http://i/", "https://h:9200"}
	if a.Target() != b.Target() {
		t.Errorf("%q and %q are one store", a.Target(), b.Target())
	}
	b.Index = "other"
	if a.Target() == b.Target() {
		t.Error("two indices are not one store")
	}
}
