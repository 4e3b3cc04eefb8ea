package config

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the expected messages and the generated references anew")

// testEnv is the environment of the files in testdata.
func testEnv() []string { return []string{"SET=s3t-v4lue", "NUMBER=7", "EMPTY="} }

func files(t *testing.T, pattern string) []string {
	t.Helper()
	fs, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(fs) == 0 {
		t.Fatalf("no files %s: %v", pattern, err)
	}
	return fs
}

// TestBadFiles holds the exact message for each wrong file.
func TestBadFiles(t *testing.T) {
	fs := files(t, "*.bad.yaml")
	if len(fs) < 30 {
		t.Errorf("only %d wrong files", len(fs))
	}
	for _, f := range fs {
		t.Run(filepath.Base(f), func(t *testing.T) {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			c, _, err := Parse(t.Context(), filepath.Base(f), data, testEnv(), nil)
			if c != nil {
				t.Error("a wrong file gave a configuration")
			}
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("error is %T: %v", err, err)
			}
			checkProblems(t, e)
			golden(t, strings.TrimSuffix(f, ".yaml")+".txt", []byte(err.Error()+"\n"))
		})
	}
}

// checkProblems: sorted by line, nothing empty, no trace of what the test environment or a password holds.
func checkProblems(t *testing.T, e *Error) {
	t.Helper()
	line := 0
	for _, p := range e.Problems {
		if p.Line < line {
			t.Errorf("line %d comes after line %d", p.Line, line)
		}
		line = p.Line
		if p.What == "" || p.Cure == "" {
			t.Errorf("%s: no text or no cure: %+v", p.Key, p)
		}
	}
	for _, secret := range []string{"s3t-v4lue", "hunter22", "Pa55-w0rd"} {
		if strings.Contains(e.Error(), secret) {
			t.Errorf("the message shows %s:\n%v", secret, e)
		}
	}
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s differs (-want +got):\n%s", path, d)
	}
}

func TestGoodFiles(t *testing.T) {
	for _, f := range files(t, "*.good.yaml") {
		t.Run(filepath.Base(f), func(t *testing.T) {
			c, warnings, err := Load(t.Context(), f, testEnv(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(warnings) > 0 {
				t.Errorf("warnings: %v", warnings)
			}
			shown, err := c.Show()
			if err != nil {
				t.Fatal(err)
			}
			golden(t, strings.TrimSuffix(f, ".yaml")+".show", shown)
		})
	}
}

func load(t *testing.T, text string, env ...string) (*Config, []Warning, error) {
	t.Helper()
	return Parse(t.Context(), "x.yaml", []byte(text), env, nil)
}

const minimal = "region: r\nsources: {main: {type: redis}}\nsinks: {console: {type: stdout}}\n"

func TestFilesThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct{ path, want string }{
		{filepath.Join(dir, "none.yaml"), "cannot read the file: no such file or directory; name another with --config or SLUICE_CONFIG"},
		{dir, "cannot read the file: is a directory; name another with --config or SLUICE_CONFIG"},
	} {
		_, _, err := Load(t.Context(), tt.path, nil, nil)
		if want := tt.path + ": " + tt.want; err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// TestFileThatCannotBeRead: root reads every file, but for those that the kernel refuses.
func TestFileThatCannotBeRead(t *testing.T) {
	p, why := filepath.Join(t.TempDir(), "closed.yaml"), "permission denied"
	if err := os.WriteFile(p, []byte(minimal), 0); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		p, why = "/proc/self/mem", "input/output error"
	}
	if _, _, err := Load(t.Context(), p, nil, nil); err == nil || !strings.Contains(err.Error(), why) {
		t.Errorf("got %v", err)
	}
}

func TestFileTooLarge(t *testing.T) {
	_, _, err := load(t, minimal+strings.Repeat("# padding\n", maxFile/10+1))
	if err == nil || !strings.Contains(err.Error(), "the file is larger than 524288 bytes") {
		t.Errorf("got %v", err)
	}
}

func TestFind(t *testing.T) {
	t.Chdir(t.TempDir())
	if got, err := Find("a.yaml", []string{"SLUICE_CONFIG=b.yaml"}); got != "a.yaml" || err != nil {
		t.Error(got, err)
	}
	if got, err := Find("", []string{"SLUICE_CONFIG=b.yaml"}); got != "b.yaml" || err != nil {
		t.Error(got, err)
	}
	if _, err := os.Stat("/etc/sluice/sluice.yaml"); err != nil {
		_, err := Find("", nil)
		want := "no configuration file: neither ./sluice.yaml nor /etc/sluice/sluice.yaml exists; name one with --config or SLUICE_CONFIG"
		if err == nil || err.Error() != want {
			t.Errorf("got %v", err)
		}
	}
	if err := os.WriteFile("sluice.yaml", []byte(minimal), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := Find("", []string{"SLUICE_CONFIG="}); got != "./sluice.yaml" || err != nil {
		t.Error(got, err)
	}
}

// TestHostileFilesAreBounded: small files that stand for huge ones cost no time.
func TestHostileFilesAreBounded(t *testing.T) {
	for name, text := range map[string]string{
		"brackets":       strings.Repeat("[", maxFile-1),
		"braces":         strings.Repeat("{a: ", maxFile/4-1),
		"dashes":         strings.Repeat("- ", maxFile/2-1),
		"questions":      strings.Repeat("? ", maxFile/2-1),
		"anchors":        strings.Repeat("&a ", maxFile/4),
		"tags":           strings.Repeat("!a ", maxFile/4),
		"colons":         strings.Repeat("a:\n", maxTokens/2-1),
		"long line":      "a: " + strings.Repeat("x", maxFile-10),
		"long key":       strings.Repeat("x", maxFile-10) + ": 1",
		"many keys":      manyKeys(6_000),
		"deep by indent": deepByIndent(1400),
		"quotes":         strings.Repeat(`"`, maxFile-1),
		"references":     minimal + "log: {level: \"" + strings.Repeat("${SET}", 100_000) + "\"}\n",
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			if _, _, err := load(t, text, "SET=x"); err == nil {
				t.Error("no error")
			} else if n := len(err.Error()); n > 1<<20 {
				t.Errorf("the message has %d bytes", n)
			}
			if d := time.Since(start); d > 30*time.Second {
				t.Errorf("took %v", d)
			} else {
				t.Log(d)
			}
		})
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("key")
		b.WriteString(strings.Repeat("x", i%7))
		b.WriteByte(byte('a' + i%26))
		b.WriteString(": 1\n")
	}
	return b.String()
}

func deepByIndent(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

func FuzzParse(f *testing.F) {
	fs, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range fs {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, _, err := Parse(context.Background(), "fuzz.yaml", data, []string{"SET=s3t-v4lue"}, nil)
		if (c == nil) == (err == nil) {
			t.Fatalf("configuration %v, error %v", c != nil, err)
		}
		if err != nil && strings.Contains(err.Error(), "s3t-v4lue") && !strings.Contains(string(data), "s3t-v4lue") {
			t.Errorf("the message shows what a reference holds: %v", err)
		}
		if c == nil {
			return
		}
		shown, err := c.Show()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(shown), masked) {
			return
		}
		if _, _, err := Parse(context.Background(), "shown.yaml", shown, nil, nil); err != nil {
			t.Errorf("what is shown does not load: %v\n%s", err, shown)
		}
	})
}
