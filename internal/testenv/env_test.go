package testenv

import (
	"fmt"
	"strings"
	"testing"

	"sluice/internal/testenv/launch"
)

// outcome is a testing.TB that notes how a test under it ended.
type outcome struct {
	testing.TB
	skipped, failed string
}

// ended is what outcome panics with to end the test under it, as the real one
// ends its goroutine.
type ended struct{}

func (o *outcome) Helper()                      {}
func (o *outcome) Skipf(f string, args ...any)  { o.skipped = fmt.Sprintf(f, args...); panic(ended{}) }
func (o *outcome) Fatalf(f string, args ...any) { o.failed = fmt.Sprintf(f, args...); panic(ended{}) }

func outcomeOf(t *testing.T, test func(testing.TB)) (o *outcome) {
	t.Helper()
	o = &outcome{TB: t}
	defer func() {
		if r := recover(); r != nil && r != (ended{}) {
			panic(r)
		}
	}()
	test(o)
	return o
}

func TestMissingServerSkipsWithTheCureAndFailsWhereRequired(t *testing.T) {
	servers := map[string]func(testing.TB){
		launch.EnvRedis:      func(t testing.TB) { Redis(t) },
		launch.EnvMongo:      func(t testing.TB) { Mongo(t) },
		launch.EnvOpenSearch: func(t testing.TB) { OpenSearch(t) },
		launch.EnvS3:         func(t testing.TB) { S3(t) },
		launch.EnvKafka:      func(t testing.TB) { Kafka(t) },
	}
	for env, use := range servers {
		t.Run(env, func(t *testing.T) {
			t.Setenv(env, "")
			t.Setenv("CI", "")
			t.Setenv(launch.EnvRequire, "")
			o := outcomeOf(t, use)
			if o.failed != "" || !strings.Contains(o.skipped, env) || !strings.Contains(o.skipped, "make test") {
				t.Errorf("skipped %q, failed %q", o.skipped, o.failed)
			}
			t.Setenv("CI", "true")
			if o := outcomeOf(t, use); o.skipped != "" || o.failed == "" {
				t.Errorf("with CI=true: skipped %q, failed %q", o.skipped, o.failed)
			}
			t.Setenv("CI", "")
			t.Setenv(launch.EnvRequire, "1")
			if o := outcomeOf(t, use); o.skipped != "" || o.failed == "" {
				t.Errorf("where required: skipped %q, failed %q", o.skipped, o.failed)
			}
		})
	}
}

func TestMissingProgramSkipsWithTheCureAndFailsWhereRequired(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	programs := map[string]func(testing.TB){
		"redis-server": func(t testing.TB) { StartRedis(t) },
		"mongod":       func(t testing.TB) { StartMongo(t) },
		"java":         func(t testing.TB) { StartKafka(t, launch.KafkaConfig{}) },
		"chromium":     func(t testing.TB) { Chromium(t) },
	}
	for name, use := range programs {
		t.Run(name, func(t *testing.T) {
			t.Setenv("CI", "")
			t.Setenv(launch.EnvRequire, "")
			if o := outcomeOf(t, use); o.failed != "" || !strings.Contains(o.skipped, name) {
				t.Errorf("skipped %q, failed %q", o.skipped, o.failed)
			}
			t.Setenv(launch.EnvRequire, "1")
			if o := outcomeOf(t, use); o.skipped != "" || !strings.Contains(o.failed, name) {
				t.Errorf("where required: skipped %q, failed %q", o.skipped, o.failed)
			}
		})
	}
}

func TestS3AddressIsReadAndItsSecretNotRepeated(t *testing.T) {
	got, err := parseS3("http://k:s%2Fx@127.0.0.1:9000?region=eu-west-1")
	want := S3Bucket{Endpoint: "http://127.0.0.1:9000", Region: "eu-west-1", AccessKey: "k", SecretKey: "s/x"}
	if err != nil || got != want {
		t.Fatalf("parseS3: %+v, %v; want %+v", got, err, want)
	}
	if got, err := parseS3("http://k:s@h:1"); err != nil || got.Region != "us-east-1" {
		t.Fatalf("parseS3 without region: %+v, %v", got, err)
	}
	for _, bad := range []string{"127.0.0.1:9000", "http://127.0.0.1:9000", "ftp://k:sesame@h", "http://k:sesame@h:%zz"} {
		_, err := parseS3(bad)
		if err == nil || strings.Contains(err.Error(), "sesame") || !strings.Contains(err.Error(), launch.EnvS3) {
			t.Errorf("parseS3(%q): %v; want an error that names %s and no secret", bad, err, launch.EnvS3)
		}
	}
}
