package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/units"
	"sluice/sinks/mongoraw"
	"sluice/sources/redislist"
)

func replaceOnce(s, old, with string) string { return strings.Replace(s, old, with, 1) }

func TestOverrides(t *testing.T) {
	c, warnings, err := load(t, `region: r
sources: {zone-b: {type: redis, tls: {enabled: false}}}
sinks:
  raw_1: {type: mongo-raw, uri: "mongodb://${UNSET}/"}
  my-console: {type: discard}
retention: {organisations: {Acme: {raw: {keep: 1d}}}}
`,
		"SLUICE_REGION=eu-west-1",
		"SLUICE_SOURCES_ZONE_B_ADDRS=a:1, b:2",
		"SLUICE_SOURCES_ZONE_B_TLS_ENABLED=true",
		"SLUICE_SOURCES_ZONE_B_DB=3",
		"SLUICE_SOURCES_ZONE_B_CLAIM_WAIT_REPLICAS=2",
		"SLUICE_SINKS_RAW_1_URI=mongodb://h:1/?replicaSet=x",
		"SLUICE_SINKS_RAW_1_FILTERS_RESPONSE_CODES=200,-1",
		"SLUICE_SINKS_MY_CONSOLE_TYPE=stdout",
		"SLUICE_SINKS_MY_CONSOLE_RETRY_MAX=40s",
		"SLUICE_PIPELINE_BATCH_RECORDS=77",
		"SLUICE_RETENTION_AGGREGATE_KEEP_1H=50d",
		"SLUICE_RETENTION_ORGANISATIONS_ACME_RAW_KEEP=9d",
		"SLUICE_RETENTION_ORGANISATIONS_ACME_SEARCH_KEEP=8d",
		"SLUICE_STATE_DURABLE=false",
		"SLUICE_CONFIG=elsewhere.yaml",
		"SLUICE_TEST_REDIS=127.0.0.1:1",
		"SLUICE_PIPELINE_MEMRY=1GiB",
		"SLUICE_SINKS_OTHER_URI=x",
		"OTHER=1",
	)
	if err != nil {
		t.Fatal(err)
	}
	var unknown []string
	for _, w := range warnings {
		unknown = append(unknown, w.String())
	}
	slices.Sort(unknown)
	const text = ": the variable names no key of the configuration; it has no effect"
	if d := cmp.Diff([]string{"SLUICE_PIPELINE_MEMRY" + text, "SLUICE_SINKS_OTHER_URI" + text}, unknown); d != "" {
		t.Error(d)
	}
	s := c.Sources["zone-b"].Settings.(redislist.Config)
	if d := cmp.Diff([]string{"a:1", "b:2"}, s.Addrs); d != "" || !s.TLS.Enabled || s.DB != 3 || s.Claim.WaitReplicas != 2 {
		t.Errorf("%s %+v", d, s)
	}
	if got := c.Sinks["raw_1"].Settings.(mongoraw.Config).URI; got != "mongodb://h:1/?replicaSet=x" {
		t.Error(got)
	}
	if d := cmp.Diff([]int{200, -1}, c.Sinks["raw_1"].Filters.ResponseCodes); d != "" {
		t.Error(d)
	}
	if s := c.Sinks["my-console"]; s.Type != "stdout" || s.Retry.Max.String() != "40s" {
		t.Error(s)
	}
	want := map[string]units.Duration{"1h": 50 * day, "1d": 3 * year}
	if d := cmp.Diff(want, c.Retention.Aggregate.Keep); d != "" {
		t.Error(d)
	}
	o := c.Retention.Organisations["Acme"]
	if o.Raw.Keep != 9*day || o.Search.Keep != 8*day || o.Archive != nil {
		t.Errorf("%+v", o)
	}
	if c.Region != "eu-west-1" || c.Pipeline.Batch.Records != 77 || c.State.Durable {
		t.Error(c)
	}
}

func TestOverrideMessages(t *testing.T) {
	for _, tt := range []struct{ text, env, want string }{
		{minimal, "SLUICE_PIPELINE_MEMORY=lots",
			`x.yaml: pipeline.memory: "lots" is not a size (from SLUICE_PIPELINE_MEMORY); write it like 8MiB, 5GiB or 500kB`},
		{minimal, "SLUICE_PIPELINE_MEMORY=1MiB",
			`x.yaml: pipeline.memory: 1MiB is too little (from SLUICE_PIPELINE_MEMORY); give at least 64MiB`},
		{minimal, "SLUICE_LOG_LEVEL=loud",
			`x.yaml: log.level: "loud" is not known (from SLUICE_LOG_LEVEL); write debug, info, warn or error`},
		{minimal, "SLUICE_SOURCES_MAIN_TYPE=nats",
			`x.yaml: sources.main.type: there is no source type "nats" (from SLUICE_SOURCES_MAIN_TYPE); known are archive, kafka, redis`},
		{minimal + "log: info\n", "SLUICE_LOG_LEVEL=warn",
			`x.yaml:4:6: log: wants a mapping, got text; write its keys below it, indented`},
		{"region: r\nsources: {main: {type: redis}}\nsinks: {a-b: {type: discard}, a_b: {type: stdout}}\n", "SLUICE_SINKS_A_B_TIMEOUT=1s",
			`x.yaml: sinks.a-b.timeout: the variable SLUICE_SINKS_A_B_TIMEOUT names sinks.a-b.timeout and sinks.a_b.timeout; rename one of them`},
	} {
		_, _, err := load(t, tt.text, tt.env)
		if err == nil || err.Error() != tt.want {
			t.Errorf("%s\ngot  %v\nwant %s", tt.env, err, tt.want)
		}
	}
}

// TestOverrideIsTakenAsItIs: a password with a reference's signs in it stays whole, and it is said.
func TestOverrideIsTakenAsItIs(t *testing.T) {
	c, warnings, err := load(t, minimal, "SLUICE_SOURCES_MAIN_PASSWORD=a$${b}${HOME}")
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Sources["main"].Settings.(redislist.Config).Password; got != "a$${b}${HOME}" {
		t.Error(got)
	}
	if len(warnings) != 1 || warnings[0].String() != "SLUICE_SOURCES_MAIN_PASSWORD: the value is taken as it is; references are resolved in the file only" {
		t.Error(warnings)
	}
}
