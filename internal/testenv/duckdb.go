package testenv

import (
	"bytes"
	"os"
	"os/exec"
	"testing"

	"sluice/internal/testenv/install"
)

// DuckDB runs a script of Python that may import duckdb, and returns what it prints.
func DuckDB(t testing.TB, script string, args ...string) []byte {
	t.Helper()
	in := install.Installer{Progress: func(line string) { t.Log(line) }}
	python, modules, err := in.DuckDB(t.Context())
	if err != nil {
		Unavailable(t, "no DuckDB: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), python, append([]string{"-c", script}, args...)...)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+modules, "PYTHONUTF8=1")
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("python: %v\n%s", err, complaint.String())
	}
	return out
}
