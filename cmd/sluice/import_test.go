package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What import-config writes passes check in the same environment once the variables it names are set, and no secret is shown.
func TestImportConfigPassesCheck(t *testing.T) {
	file := filepath.Join("..", "..", "internal", "importconfig", "testdata", "stores.conf")
	t.Setenv("TYK_PMP_PUMPS_EVENTS_TYPE", "mongo")
	t.Setenv("TYK_PMP_PUMPS_EVENTS_META_MONGOURL", "mongodb://u:secret-mongo@h/tyk_analytics")
	code, stdout, stderr := runs(t, "import-config", file)
	if code != exitDone || !strings.Contains(stderr, "import-config: pumps.splunk: ") || !strings.Contains(stdout, "#   pumps.splunk: ") {
		t.Fatalf("exit code %d\n%s\n%s", code, stdout, stderr)
	}
	if strings.Contains(stdout+stderr, "secret-") {
		t.Errorf("a secret is shown:\n%s\n%s", stdout, stderr)
	}
	code, asJSON, _ := runs(t, "import-config", file, "--output", "json")
	var r imported
	if err := json.Unmarshal([]byte(asJSON), &r); code != exitDone || err != nil || r.Config != stdout || len(r.Unmapped) < 10 || len(r.Secrets) < 5 {
		t.Fatalf("exit code %d, %v\n%s", code, err, asJSON)
	}
	made := filepath.Join(t.TempDir(), "sluice.yaml")
	if err := os.WriteFile(made, []byte(r.Config), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, _ := runs(t, "check", "--config", made); code != exitUsage {
		t.Errorf("without its variables: exit code %d", code)
	}
	for _, s := range r.Secrets {
		t.Setenv(s.Variable, "x")
	}
	if code, _, stderr := runs(t, "check", "--config", made); code != exitDone || stderr != "" {
		t.Errorf("check: exit code %d\n%s", code, stderr)
	}
}

// What would not pass check is said, and what is no configuration exits 2 with its place.
func TestImportConfigSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	conf := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	code, _, stderr := runs(t, "import-config", conf("none.conf", `{"pumps": {"mongo": {}, "other": {"type": "kafka"}}}`))
	if code != exitDone || !strings.Contains(stderr, "sluice.yaml: sinks.mongo.uri: must be set right") || !strings.Contains(stderr, "sinks.other.topic") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
	bad := conf("bad.conf", "{\n  \"pumps\": }")
	for _, c := range []struct{ file, want string }{
		{bad, bad + ":2:12: not JSON"}, {conf("empty.conf", ""), "the file is empty"}, {dir, "directory"},
		{filepath.Join(dir, "missing"), "no such file"},
	} {
		if code, stdout, stderr := runs(t, "import-config", c.file); code != exitUsage || stdout != "" || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit code %d, %q, %q", c.file, code, stdout, stderr)
		}
	}
}
