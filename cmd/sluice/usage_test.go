package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// runs executes a command line in this process.
func runs(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = execute(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestBadConfigurationsExitWithTwoAndNameThePlace(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "..", "internal", "config", "testdata", "*.bad.yaml"))
	if err != nil || len(files) < 12 {
		t.Fatalf("%d bad files: %v", len(files), err)
	}
	for _, file := range files {
		for _, command := range [][]string{{"run"}, {"run", "--once"}, {"check", "--connect"}, {"audit"}} {
			code, _, stderr := runs(t, append(command, "--config", file)...)
			if code != exitUsage || !strings.Contains(stderr, file) {
				t.Errorf("%v with %s: exit code %d\n%s", command, filepath.Base(file), code, stderr)
			}
		}
	}
}

func TestMissingAndEmptyConfiguration(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.yaml")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{empty, filepath.Join(t.TempDir(), "none.yaml"), t.TempDir()} {
		if code, _, stderr := runs(t, "run", "--config", file); code != exitUsage || stderr == "" {
			t.Errorf("%s: exit code %d, %q", file, code, stderr)
		}
	}
}

func TestWrongUsage(t *testing.T) {
	for _, args := range [][]string{
		{"runn"}, {"run", "--onec"}, {"run", "extra"}, {"run", "--timeout", "1s"}, {"run", "--role", "clerk"},
		{"deadletters", "show"}, {"deadletters", "retry"}, {"generate"}, {"generate", "--records", "5", "--rate", "5/s"},
		{"generate", "--records", "1", "--format", "xml"}, {"audit", "--output", "yaml"}, {"release"}, {"demo", "--records", "0"}, {"import-config"},
		{"completion", "tcsh"},
	} {
		if code, _, stderr := runs(t, args...); code != exitUsage || !strings.HasPrefix(stderr, "sluice: ") {
			t.Errorf("%v: exit code %d, %q", args, code, stderr)
		}
	}
}

func TestVersionAndReferenceNeedNoConfiguration(t *testing.T) {
	code, stdout, _ := runs(t, "version", "--output", "json")
	var b build
	if err := json.Unmarshal([]byte(stdout), &b); code != 0 || err != nil || b.Go == "" {
		t.Errorf("version: %d %q", code, stdout)
	}
	for _, what := range []string{"reference", "schema"} {
		if code, stdout, _ := runs(t, "config", what); code != 0 || !strings.Contains(stdout, "capped_size") {
			t.Errorf("config %s: exit code %d, %d bytes", what, code, len(stdout))
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if code, stdout, _ := runs(t, "completion", shell); code != 0 || len(stdout) < 100 {
			t.Errorf("completion %s: exit code %d", shell, code)
		}
	}
}

func TestHelpHasExamples(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"run", "--help"}, {"check", "--help"}, {"audit", "--help"}, {"demo", "--help"},
		{"generate", "--help"}, {"deadletters", "show", "--help"}, {"release", "--help"}, {"import-config", "--help"}} {
		if code, stdout, _ := runs(t, args...); code != 0 || !strings.Contains(stdout, "Examples:") {
			t.Errorf("%v: exit code %d, no examples", args, code)
		}
	}
}
