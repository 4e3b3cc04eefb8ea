package config

import (
	"bytes"
	"strings"
	"testing"
)

// The generated pages; go test ./internal/config -update writes them anew.
const (
	referenceFile = "../../docs/reference/configuration.md"
	schemaFile    = "../../schemas/config/sluice.schema.json"
)

func TestReferencePage(t *testing.T) {
	var b bytes.Buffer
	if err := ReferenceMarkdown(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, referenceFile, b.Bytes())
}

func TestSchemaFile(t *testing.T) {
	s, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, schemaFile, s)
}

// TestEveryKeyIsDocumented: no row without meaning or type, each key once in its section.
func TestEveryKeyIsDocumented(t *testing.T) {
	var text bytes.Buffer
	if err := Reference(&text); err != nil {
		t.Fatal(err)
	}
	rows := 0
	for _, s := range sections() {
		seen := map[string]bool{}
		if s.intro == "" {
			t.Errorf("section %s has no introduction", s.title)
		}
		for _, r := range s.rows {
			rows++
			if r.doc == "" || r.typ == "" {
				t.Errorf("%s: %s has no meaning or type", s.title, r.key)
			}
			if !strings.HasSuffix(r.doc, ".") {
				t.Errorf("%s: the meaning of %s is no sentence: %q", s.title, r.key, r.doc)
			}
			if seen[r.key] {
				t.Errorf("%s: %s is there twice", s.title, r.key)
			}
			seen[r.key] = true
			if !strings.Contains(text.String(), "\n"+r.key+"  (") {
				t.Errorf("%s is not in the text", r.key)
			}
		}
	}
	if rows < 100 {
		t.Errorf("only %d keys", rows)
	}
}

// TestReferenceKnowsEveryKeyOfTheContract: each key that the documented file uses is in the reference.
func TestReferenceKnowsEveryKeyOfTheContract(t *testing.T) {
	known := map[string]bool{}
	for _, s := range sections() {
		for _, r := range s.rows {
			known[r.key] = true
		}
	}
	for _, key := range []string{
		"region", "sources.<name>.type", "sources.<name>.mode", "sources.<name>.addrs", "sources.<name>.master_name",
		"sources.<name>.username", "sources.<name>.password", "sources.<name>.db", "sources.<name>.tls.enabled",
		"sources.<name>.tls.ca_file", "sources.<name>.tls.cert_file", "sources.<name>.tls.key_file", "sources.<name>.tls.server_name",
		"sources.<name>.iam.enabled", "sources.<name>.iam.cache_name", "sources.<name>.iam.user", "sources.<name>.key_prefix",
		"sources.<name>.uptime", "sources.<name>.claim.interval", "sources.<name>.claim.lease", "sources.<name>.claim.wait_replicas",
		"sources.<name>.claim.shield", "pipeline.memory", "pipeline.batch.records", "pipeline.batch.bytes", "pipeline.shutdown_timeout",
		"pipeline.accept.past", "pipeline.accept.future", "pipeline.drop.raw_bodies", "pipeline.mask[].field", "pipeline.mask[].action",
		"state.dir", "state.durable", "state.spool",
		"sinks.<name>.type", "sinks.<name>.filters.org_ids", "sinks.<name>.filters.api_ids", "sinks.<name>.filters.response_codes",
		"sinks.<name>.filters.skip_org_ids", "sinks.<name>.filters.skip_api_ids", "sinks.<name>.filters.skip_response_codes",
		"sinks.<name>.on_full", "sinks.<name>.timeout", "sinks.<name>.retry.min", "sinks.<name>.retry.max",
		"sinks.<name>.uri", "sinks.<name>.database", "sinks.<name>.mixed_collection", "sinks.<name>.track_all_paths",
		"sinks.<name>.bucket", "sinks.<name>.expire_after", "sinks.<name>.flush", "sinks.<name>.ignore",
		"sinks.<name>.ignore_tag_prefixes", "sinks.<name>.top", "sinks.<name>.layout", "sinks.<name>.capped_size",
		"sinks.<name>.urls", "sinks.<name>.index", "sinks.<name>.extended", "sinks.<name>.auth.basic.username",
		"sinks.<name>.auth.basic.password", "sinks.<name>.auth.aws.region", "sinks.<name>.auth.aws.service",
		"sinks.<name>.auth.api_key.id", "sinks.<name>.auth.api_key.key", "sinks.<name>.prefix", "sinks.<name>.endpoint",
		"sinks.<name>.path_style", "sinks.<name>.region", "sinks.<name>.access_key", "sinks.<name>.secret_key",
		"sinks.<name>.compression", "sinks.<name>.object.max_bytes", "sinks.<name>.object.max_age", "sinks.<name>.path", "sinks.<name>.dir",
		"retention.archive.keep", "retention.archive.compact_after", "retention.archive.target_object", "retention.raw.keep",
		"retention.raw.capped_size", "retention.aggregate.keep", "retention.aggregate.roll_up", "retention.search.keep",
		"retention.search.ism", "retention.spool.keep", "retention.dead_letters.keep", "retention.organisations", "retention.holds",
		"retention.holds[].org", "retention.holds[].from", "retention.holds[].to", "retention.holds[].reason",
		"admin.listen", "log.level", "log.format",
	} {
		if !known[key] {
			t.Errorf("%s is not in the reference", key)
		}
	}
}

func TestReferenceHasNoSecrets(t *testing.T) {
	var b bytes.Buffer
	if err := Reference(&b); err != nil {
		t.Fatal(err)
	}
	for _, s := range sections() {
		for _, r := range s.rows {
			if r.secret && r.dflt != "" && r.dflt != `""` {
				t.Errorf("%s: a secret has a default", r.key)
			}
		}
	}
	if !strings.Contains(b.String(), "secret)") {
		t.Error("no key is marked as secret")
	}
}
