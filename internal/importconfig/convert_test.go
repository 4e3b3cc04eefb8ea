package importconfig_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"sluice/internal/config"
	"sluice/internal/importconfig"
	"sluice/sinks/kafka"
	"sluice/sinks/mongoraw"
	"sluice/sources/redislist"
)

var update = flag.Bool("update", false, "write the expected results anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// convert gives the text and the configuration that it is understood as, with each secret's variable set to its own name.
func convert(t *testing.T, data string, env ...string) (*importconfig.Result, string, *config.Config) {
	t.Helper()
	r, err := importconfig.Convert([]byte(data), env)
	if err != nil {
		t.Fatal(err)
	}
	text, err := r.YAML()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var vars []string
	for _, s := range r.Secrets {
		vars = append(vars, s.Variable+"=value-of-"+s.Variable)
	}
	cfg, warnings, err := config.Load(t.Context(), file, vars, nil)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%v %v\n%s", err, warnings, text)
	}
	return r, text, cfg
}

// Each configuration in testdata, with the environment beside it, becomes what is expected, is valid, and holds no secret.
func TestConfigurations(t *testing.T) {
	files, err := filepath.Glob("testdata/*.conf")
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			base := strings.TrimSuffix(file, ".conf")
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var env []string
			if vars, err := os.ReadFile(base + ".env"); err == nil {
				env = strings.Split(strings.TrimSpace(string(vars)), "\n")
			}
			_, text, _ := convert(t, string(data), env...)
			if strings.Contains(text, "secret-") || strings.Contains(text, "overruled") {
				t.Errorf("a secret in the result:\n%s", text)
			}
			if *update {
				if err := os.WriteFile(base+".yaml", []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(base + ".yaml")
			if err != nil || string(want) != text {
				t.Errorf("differs from %s.yaml (%v):\n%s", base, err, text)
			}
		})
	}
}

// Variables win over the file, the later group for Redis over the earlier one, and make pumps of their own.
func TestEnvironmentWins(t *testing.T) {
	_, _, cfg := convert(t, `{"analytics_storage_config": {"host": "file", "password": "x"}, "pumps": {"MAIN": {"type": "csv", "meta": {"csv_dir": "d"}}}}`,
		"TYK_PMP_ANALYTICSSTORAGECONFIG_HOST=one", "TYK_PMP_REDIS_HOST=two", "TYK_PMP_PUMPS_MAIN_TYPE=mongo",
		"TYK_PMP_PUMPS_MAIN_META_MONGOURL=mongodb://u:p@h/db", "TYK_PMP_PUMPS_KAFKA_META_BROKER=k:9092", "TYK_PMP_PUMPS_KAFKA_META_TOPIC=t",
		"TYK_PMP_DONTPURGEUPTIMEDATA=true")
	src := cfg.Sources["main"].Settings.(redislist.Config)
	raw := cfg.Sinks["main"].Settings.(mongoraw.Config)
	bus := cfg.Sinks["kafka"].Settings.(kafka.Config)
	if src.Addrs[0] != "two:6379" || src.Password != "value-of-SLUICE_SOURCES_MAIN_PASSWORD" || src.Uptime ||
		raw.URI != "mongodb://u:value-of-SLUICE_SINKS_MAIN_URI_PASSWORD@h/db" || raw.Database != "db" || bus.Topic != "t" {
		t.Errorf("%+v %+v %+v", src, raw, bus)
	}
	_, text, _ := convert(t, `{"pumps": {"csv": {}}}`, "TYK_PMP_OMITCONFIGFILE=true", "TYK_PMP_PUMPS_DUMMY_TIMEOUT=1")
	if strings.Contains(text, "csv") || !strings.Contains(text, "discard") {
		t.Error(text)
	}
}

// A password is left out whole, however badly it is escaped, and so are other secrets of a URI.
func TestNoSecretStays(t *testing.T) {
	for _, url := range []string{"mongodb://u:sec/ret@h/db", "mongodb://u:sec@ret@h/db", "mongodb://u:sec?ret@h/db", "u:secret@h/db",
		"mongodb://u:${secret}@h/db", "mongodb://u@h/db?tlsCertificateKeyFilePassword=secret",
		"mongodb://u@h/db?authMechanism=MONGODB-AWS&authMechanismProperties=AWS_SESSION_TOKEN:secret"} {
		_, text, _ := convert(t, `{"pumps": {"mongo": {"meta": {"mongo_url": "`+url+`"}}}}`)
		if uri := text[strings.Index(text, "uri:"):strings.Index(text, "layout:")]; strings.Contains(uri, "sec") || strings.Contains(uri, "ret@") {
			t.Errorf("%s: %s", url, uri)
		}
	}
}

func TestWhatIsNoConfigurationIsNamedWithItsPlace(t *testing.T) {
	for data, want := range map[string]string{
		"":                           "1:1: the file is empty",
		" \n\t":                      "1:1: the file is empty",
		"{\n  \"a\": 1,\n  \"é\": x": "3:8: not JSON: invalid character 'x'",
		"{\n\"a\": 1":                "2:7: not JSON: it ends too early",
		"{}\n  {}":                   "2:3: not JSON: something follows",
		"\n [1]":                     "2:2: not an object",
		"null":                       "1:1: not an object",
		"\xef\xbb\xbf{]":             "1:2: not JSON: invalid character ']'",
		"region: eu":                 "1:1: not JSON: invalid character 'r'",
	} {
		_, err := importconfig.Convert([]byte(data), nil)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", data, err, want)
		}
	}
}

// Whatever is read, the result is YAML that the configuration's own parser takes, and the same each time.
func FuzzConvert(f *testing.F) {
	for _, name := range []string{"dashboard", "stores", "environment"} {
		data, err := os.ReadFile("testdata/" + name + ".conf")
		if err != nil {
			f.Fatal(err)
		}
		env, _ := os.ReadFile("testdata/" + name + ".env")
		f.Add(data, string(env))
	}
	f.Add([]byte(`{"pumps":{"a":[],"b":{"meta":3,"type":"mongo"}},"analytics_storage_config":{"hosts":{"h":1}}}`), "TYK_PMP_PUMPS_=1\nTYK_PMP_=\nx")
	f.Fuzz(func(t *testing.T, data []byte, vars string) {
		env := strings.Split(vars, "\n")
		r, err := importconfig.Convert(data, env)
		if err != nil {
			return
		}
		text, err := r.YAML()
		if err != nil {
			t.Fatal(err)
		}
		again, _ := importconfig.Convert(data, env)
		if twice, _ := again.YAML(); twice != text {
			t.Fatalf("two results:\n%s\n%s", text, twice)
		}
		if _, _, err := config.Parse(t.Context(), "f", []byte(text), nil, nil); err != nil && (strings.Contains(err.Error(), "not YAML") || strings.Contains(err.Error(), "not text")) {
			t.Fatalf("%v\n%s", err, text)
		}
	})
}
