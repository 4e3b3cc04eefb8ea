package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"sluice/internal/units"
)

const planted = "pl4nted-S3cret/%&\"x"

// plantAll is a file in which every text key of every type holds a secret if it is one, and URIs a password.
func plantAll(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("region: r\nsources:\n")
	ks := allKinds()
	for i, k := range append(ks.sources, ks.sinks...) {
		if i == len(ks.sources) {
			b.WriteString("sinks:\n")
		}
		fmt.Fprintf(&b, "  e%d:\n    type: %s\n", i, k.name)
		plant(&b, reflect.TypeOf(k.defaults()), "    ")
	}
	return b.String()
}

func plant(b *strings.Builder, t reflect.Type, indent string) {
	for _, f := range fieldsOf(t) {
		ft := indirect(f.typ)
		switch {
		case f.name == "uri" || f.name == "endpoint":
			fmt.Fprintf(b, "%s%s: mongodb://user:%s@h:1/?authMechanismProperties=AWS_SESSION_TOKEN:%s\n", indent, f.name, "pl4nted", "pl4nted")
		case f.secret && ft.Kind() == reflect.String:
			fmt.Fprintf(b, "%s%s: %q\n", indent, f.name, planted)
		case ft.Kind() == reflect.Struct && !unmarshalsText(ft):
			fmt.Fprintf(b, "%s%s:\n", indent, f.name)
			plant(b, ft, indent+"  ")
		}
	}
}

func TestPlantedSecretsNeverShow(t *testing.T) {
	text := plantAll(t)
	if n := strings.Count(text, "pl4nted"); n < 8 {
		t.Fatalf("only %d secrets planted:\n%s", n, text)
	}
	check := func(where, s string) {
		t.Helper()
		if strings.Contains(s, "pl4nted") || strings.Contains(s, "S3cret") {
			t.Errorf("%s shows a secret:\n%s", where, s)
		}
	}
	c, _, err := load(t, text)
	if err != nil {
		check("the error", err.Error())
	}
	if c != nil {
		t.Fatal("the file is wrong in places, and was taken")
	}

	// The same without the checks of meaning, so that there is a configuration to show.
	root, problems := parse([]byte(text))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	l := loader{file: "x.yaml", kinds: allKinds(), root: root}
	c = l.decode()
	if len(l.problems) > 0 {
		t.Fatal(l.problems)
	}
	shown, err := c.Show()
	if err != nil {
		t.Fatal(err)
	}
	check("Show", string(shown))
	if !strings.Contains(string(shown), masked) {
		t.Error("Show masks nothing")
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		check(verb, fmt.Sprintf(verb, c))
		check(verb, fmt.Sprintf(verb, *c))
		check(verb, fmt.Sprintf(verb, c.Sinks))
		check(verb, fmt.Sprintf(verb, c.Sources))
	}
	for _, v := range []any{c, *c, c.Sinks, c.Sources} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		check("JSON", string(b))
	}
	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		for _, s := range c.Sinks {
			slog.New(h).Info("x", "config", c, "value", *c, "sink", s, "sinks", c.Sinks, "sources", c.Sources)
		}
	}
	check("the log", log.String())
	// Whatever a package says about its values, the known secrets are taken out.
	l.problems = []Problem{{Key: "k", What: "cannot use " + planted + " and mongodb://user:pl4nted@h", Cure: fmt.Sprintf("replace %q", planted)}}
	check("a problem", l.fail(c).Error())
}

func TestMaskURI(t *testing.T) {
	for in, want := range map[string]string{
		"mongodb://u:p@h/d?x=1":                                           "mongodb://u:***@h/d?x=1",
		"mongodb://u:p@a/b:c@h/d":                                         "mongodb://u:***@h/d",
		"mongodb://u@h/":                                                  "mongodb://u@h/",
		"mongodb://h1:1,h2:2/?replicaSet=r":                               "mongodb://h1:1,h2:2/?replicaSet=r",
		"https://h/?a=b&Password=x&tokenId=y&z":                           "https://h/?a=b&Password=***&tokenId=***&z",
		"mongodb://h/?authMechanismProperties=AWS_SESSION_TOKEN:x/y=&w=1": "mongodb://h/?authMechanismProperties=***&w=1",
		"127.0.0.1:6379":                                                  "127.0.0.1:6379",
		"plain text: a@b":                                                 "plain text: a@b",
		"redis://:p@h:6379":                                               "redis://:***@h:6379",
	} {
		if got := maskURI(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestMaskSecretURI(t *testing.T) {
	for in, want := range map[string]string{
		"mongodb://u:p@h/d?replicaSet=r&x=1": "mongodb://***@h/d?replicaSet=r&x=***",
		"mongodb://token@h/":                 "mongodb://***@h/",
		"no uri":                             "***",
	} {
		if got := maskSecretURI(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// echo is a typed part that repeats its secret in a problem, as a driver's parse error might.
type echo struct {
	Key string `yaml:"key" doc:"k" secret:"true"`
}

func (e echo) Validate() []units.Problem {
	return []units.Problem{{Key: "key", What: fmt.Sprintf("error parsing %q", e.Key), Cure: "not " + e.Key}}
}
func (e echo) Target() string { return "" }

func TestEchoedSecretsAreTakenOut(t *testing.T) {
	ks := allKinds()
	ks.sinks = append(ks.sinks, kindOf("echo", func() echo { return echo{} }))
	for _, secret := range []string{"s3cr3t", "a\tb\"c", "ab", "${FROM}"} {
		text := replaceOnce(minimal, "{type: stdout}", "{type: echo, key: "+fmt.Sprintf("%q", secret)+"}")
		l := loader{file: "x.yaml", kinds: ks, env: []string{"FROM=r3ferenced"}}
		_, err := l.load(t.Context(), []byte(text), nil)
		if err == nil {
			t.Fatal("no error")
		}
		for _, s := range []string{"s3cr3t", `a\tb`, "a\tb", `"ab"`, "r3ferenced"} {
			if strings.Contains(err.Error(), s) {
				t.Errorf("%q: %v", secret, err)
			}
		}
	}
}
