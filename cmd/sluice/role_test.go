package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRolesThatDoNotFitTheFile: a wrong role is a wrong usage, says what is missing, and connects to nothing.
func TestRolesThatDoNotFitTheFile(t *testing.T) {
	const (
		redis = "  main: {type: redis, addrs: ['127.0.0.1:1']}\n"
		topic = "  bus: {type: kafka, brokers: ['127.0.0.1:1'], topic: t, group: g}\n"
		bus   = "  topic: {type: kafka, brokers: ['127.0.0.1:1'], topic: t}\n"
		none  = "  none: {type: discard}\n"
		local = "  local: {type: sqlite, path: x.db}\n"
	)
	for _, c := range []struct{ sources, sinks, role, want string }{
		{redis + topic, bus + none, "all", "say --role edge"},
		{topic, bus + none, "all", "say --role worker"},
		{redis, none, "edge", "no sink of type kafka"},
		{topic, bus, "edge", "no source of type redis"},
		{redis, none, "worker", "no source of type kafka"},
		{topic, bus, "worker", "sinks other than Kafka"},
		{topic, none + local, "worker", "local"},
		{topic, local, "all", "local"},
		{redis, none, "clerk", "all, edge or worker"},
	} {
		file := filepath.Join(t.TempDir(), "sluice.yaml")
		if err := os.WriteFile(file, []byte("region: r\nsources:\n"+c.sources+"sinks:\n"+c.sinks), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, command := range []string{"run", "audit"} {
			code, _, stderr := runs(t, command, "--role", c.role, "--config", file)
			if code != exitUsage || !strings.Contains(stderr, c.want) {
				t.Errorf("%s --role %s: exit code %d, %q; want %q", command, c.role, code, stderr, c.want)
			}
		}
	}
}
