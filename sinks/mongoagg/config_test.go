package mongoagg

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/bson"

	"sluice/internal/pipeline"
)

func good() Config {
	c := Defaults()
	c.URI = "mongodb://user:geheim@db/?replicaSet=rs0"
	return c
}

func TestValidate(t *testing.T) {
	if ps := good().Validate(); len(ps) > 0 {
		t.Fatal(ps)
	}
	for key, spoil := range map[string]func(*Config){
		"uri":                 func(c *Config) { c.URI += "&w=1" },
		"database":            func(c *Config) { c.Database = "a.b" },
		"bucket":              func(c *Config) { c.Bucket *= 2 },
		"expire_after":        func(c *Config) { c.ExpireAfter = 0 },
		"flush":               func(c *Config) { c.Flush = 0 },
		"ignore":              func(c *Config) { c.Ignore = []string{"keys"} },
		"ignore_tag_prefixes": func(c *Config) { c.IgnoreTagPrefixes = []string{""} },
		"top":                 func(c *Config) { c.Top = -1 },
	} {
		c := good()
		spoil(&c)
		ps := c.Validate()
		if len(ps) != 1 || ps[0].Key != key || ps[0].What == "" || ps[0].Cure == "" {
			t.Errorf("%s: %+v", key, ps)
		}
		if _, err := New("x", c, slog.New(slog.DiscardHandler)); err == nil || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: New says %v", key, err)
		}
	}
}

func TestTargetHasNoSecrets(t *testing.T) {
	if got := good().Target(); got != "mongo-aggregate mongodb://db:27017/tyk_analytics" {
		t.Error(got)
	}
}

func TestShapeIsEqualForEqualSettings(t *testing.T) {
	shapeOf := func(f func(*Config)) string {
		c := good()
		f(&c)
		s, err := New("x", c, slog.New(slog.DiscardHandler))
		must(t, err)
		return string(s.Shape())
	}
	plain := shapeOf(func(*Config) {})
	if same := shapeOf(func(c *Config) { c.URI, c.Database, c.Flush = "mongodb://other", "other", c.Flush*2 }); same != plain {
		t.Errorf("%s and %s", plain, same)
	}
	a := shapeOf(func(c *Config) { c.Ignore = []string{"geo", "tags"} })
	if b := shapeOf(func(c *Config) { c.Ignore = []string{"tags", "geo", "tags"} }); a != b || a == plain {
		t.Errorf("%s and %s", a, b)
	}
	for _, f := range []func(*Config){func(c *Config) { c.MixedCollection = false }, func(c *Config) { c.TrackAllPaths = true },
		func(c *Config) { c.Bucket /= 60 }, func(c *Config) { c.ExpireAfter /= 2 }, func(c *Config) { c.Top = 3 },
		func(c *Config) { c.IgnoreTagPrefixes = []string{"x"} }} {
		if s := shapeOf(f); s == plain {
			t.Errorf("%s does not show a change", s)
		}
	}
	if plain != `{"bucket":"1h","expire_after":"100y","track_all_paths":false,"mixed_collection":true,"top":0}` {
		t.Errorf("the shape's encoding changed: %s", plain)
	}
}

func FuzzParseShape(f *testing.F) {
	f.Add([]byte(`{"bucket":"1h","expire_after":"100y","ignore":["geo"],"top":3}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := parseShape(json.RawMessage(b), good().shape()); err == nil && len(s.Validate()) > 0 {
			t.Errorf("an invalid shape: %+v", s)
		}
	})
}

// What is read back may be anything that somebody put there. The server stores valid BSON only, so it begins as JSON.
func FuzzStoredDocument(f *testing.F) {
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"total": 1, "apiid": {"a": {"hits": 1.5, "errormap": {"404": 1, "x": 2, "other": 3}}}}`))
	f.Add([]byte(`{"keyendpoints": {"k": {"e": {"hits": {"$numberLong": "3"}}}}, "lists": {"apiid": 7}, "sluice": {"rev": 1}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var doc bson.D
		if bson.UnmarshalExtJSON(b, false, &doc) != nil {
			return
		}
		raw, err := bson.Marshal(doc)
		if err != nil {
			return
		}
		revision(raw)
		for _, p := range deriveFields(raw, 0) {
			if err := p.with(nil).Validate(); err != nil {
				t.Errorf("an invalid update: %v", err)
			}
		}
	})
}

func TestPositionsThatNobodyWroteCondemn(t *testing.T) {
	d := newDocument(docID{}, "org", 0)
	b := &bookkeeping{}
	b.Sluice.Positions = map[string]string{"l": "nonsense"}
	if err := d.learn(b); err == nil {
		t.Error("a position that cannot be read passes for none")
	} else if c, _ := pipeline.Classify(err); c != pipeline.PermanentBatch {
		t.Errorf("class %d: it would be read again for ever", c)
	}
}
