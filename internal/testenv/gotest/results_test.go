package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const passing = `{"Action":"start","Package":"m/a"}
{"Action":"run","Package":"m/a","Test":"TestA"}
{"Action":"output","Package":"m/a","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"m/a","Test":"TestA","Output":"    a_test.go:1: chatter\n"}
{"Action":"pass","Package":"m/a","Test":"TestA","Elapsed":0.1}
{"Action":"output","Package":"m/a","Output":"PASS\n"}
{"Action":"output","Package":"m/a","Output":"ok  \tm/a\t0.2s\n"}
{"Action":"pass","Package":"m/a","Elapsed":0.2}
`

const skipping = `{"Action":"run","Package":"m/s","Test":"TestS"}
{"Action":"output","Package":"m/s","Test":"TestS","Output":"=== RUN   TestS\n"}
{"Action":"output","Package":"m/s","Test":"TestS","Output":"    s_test.go:1: no server, start one\n"}
{"Action":"output","Package":"m/s","Test":"TestS","Output":"--- SKIP: TestS (0.00s)\n"}
{"Action":"skip","Package":"m/s","Test":"TestS","Elapsed":0}
{"Action":"output","Package":"m/s","Output":"ok  \tm/s\t0.2s\n"}
{"Action":"pass","Package":"m/s","Elapsed":0.2}
`

const failing = `{"Action":"run","Package":"m/f","Test":"TestF"}
{"Action":"output","Package":"m/f","Test":"TestF","Output":"=== RUN   TestF\n"}
{"Action":"output","Package":"m/f","Test":"TestF","Output":"    f_test.go:1: got 1\n"}
{"Action":"output","Package":"m/f","Test":"TestF","Output":"--- FAIL: TestF (0.00s)\n"}
{"Action":"fail","Package":"m/f","Test":"TestF","Elapsed":0}
{"Action":"output","Package":"m/f","Output":"FAIL\tm/f\t0.2s\n"}
{"Action":"fail","Package":"m/f","Elapsed":0.2}
`

const crashing = `{"Action":"run","Package":"m/c","Test":"TestC"}
{"Action":"output","Package":"m/c","Test":"TestC","Output":"panic: test timed out\n"}
{"Action":"output","Package":"m/c","Output":"FAIL\tm/c\t0.2s\n"}
{"Action":"fail","Package":"m/c","Elapsed":0.2}
`

const failingBelow = `{"Action":"run","Package":"m/g","Test":"TestG"}
{"Action":"run","Package":"m/g","Test":"TestG/sub"}
{"Action":"output","Package":"m/g","Test":"TestG/sub","Output":"=== RUN   TestG/sub\n"}
{"Action":"output","Package":"m/g","Test":"TestG/sub","Output":"    g_test.go:2: got 2\n"}
{"Action":"output","Package":"m/g","Test":"TestG/sub","Output":"    g_test.go:3: got 3\n"}
{"Action":"output","Package":"m/g","Test":"TestG","Output":"--- FAIL: TestG (0.00s)\n"}
{"Action":"output","Package":"m/g","Test":"TestG/sub","Output":"    --- FAIL: TestG/sub (0.00s)\n"}
{"Action":"fail","Package":"m/g","Test":"TestG/sub","Elapsed":0}
{"Action":"fail","Package":"m/g","Test":"TestG","Elapsed":0}
{"Action":"output","Package":"m/g","Output":"FAIL\n"}
{"Action":"output","Package":"m/g","Output":"FAIL\tm/g\t0.2s\n"}
{"Action":"fail","Package":"m/g","Elapsed":0.2}
`

const leaking = `{"Action":"run","Package":"m/l","Test":"TestL"}
{"Action":"pass","Package":"m/l","Test":"TestL","Elapsed":0}
{"Action":"output","Package":"m/l","Output":"goleak: Errors on successful test run: a goroutine\n"}
{"Action":"output","Package":"m/l","Output":"exit status 1\n"}
{"Action":"output","Package":"m/l","Output":"FAIL\tm/l\t0.2s\n"}
{"Action":"fail","Package":"m/l","Elapsed":0.2}
`

const broken = `{"ImportPath":"m/b","Action":"build-output","Output":"b.go:1: undefined: x\n"}
{"ImportPath":"m/b","Action":"build-fail"}
{"Action":"output","Package":"m/b","Output":"FAIL\tm/b [build failed]\n"}
{"Action":"fail","Package":"m/b","Elapsed":0,"FailedBuild":"m/b"}
`

func TestResultsPrintWhatGoTestPrintsAndTheSummary(t *testing.T) {
	tests := []struct {
		name, events string
		want         []string
		wantNot      string
		failed       bool
	}{
		{"passing", passing, []string{"ok  \tm/a\t0.2s\n", "1 tests passed, 0 failed, 0 skipped; 1 packages ok", "0.1s m/a TestA\n", "\nPASS\n"}, "chatter", false},
		{"skipping", skipping, []string{"ok  \tm/s", "SKIPPED m/s TestS: s_test.go:1: no server, start one"}, "RUN", false},
		{"failing", failing, []string{"f_test.go:1: got 1", "--- FAIL: TestF", "FAILED m/f TestF\n    f_test.go:1: got 1\n", "FAILED m/f\n", "\nFAIL\n"}, "RUN", true},
		{"crashing", crashing, []string{"panic: test timed out", "FAILED m/c TestC\n    panic: test timed out\n", "FAILED m/c\n"}, "PASS", true},
		{"failing below", failingBelow, []string{"FAILED m/g TestG/sub\n    g_test.go:2: got 2\n    g_test.go:3: got 3\nFAILED m/g\n"}, "FAILED m/g TestG\n", true},
		{"leaking", leaking, []string{"FAILED m/l\n    goleak: Errors on successful test run: a goroutine\nFAILED m/l\n"}, "PASS", true},
		{"broken", broken, []string{"undefined: x", "[build failed]", "FAILED m/b"}, "PASS", true},
		{"noise", "not json\n" + passing, []string{"not json\n", "\nPASS\n"}, "chatter", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			r := newResults(&out)
			if err := r.read(strings.NewReader(test.events)); err != nil {
				t.Fatal(err)
			}
			got := out.String() + r.summary(time.Second, "", false)
			for _, want := range test.want {
				if !strings.Contains(got, want) {
					t.Errorf("%q is missing in:\n%s", want, got)
				}
			}
			if strings.Contains(got, test.wantNot) {
				t.Errorf("%q is in:\n%s", test.wantNot, got)
			}
			if r.failed() != test.failed {
				t.Errorf("failed: %v, want %v", r.failed(), test.failed)
			}
		})
	}
}

func TestRaceOptions(t *testing.T) {
	for given, want := range map[string]string{"": "atexit_sleep_ms=0", "halt_on_error=1": "halt_on_error=1 atexit_sleep_ms=0", "atexit_sleep_ms=5": "atexit_sleep_ms=5"} {
		if got := raceOptions(given); got != want {
			t.Errorf("%q: %q, want %q", given, got, want)
		}
	}
}

// TestRunAgainstRealGoTest runs go test on a module with one test that passes
// and one that skips.
func TestRunAgainstRealGoTest(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{
		"go.mod":    "module m\n\ngo 1.26\n",
		"m_test.go": "package m\n\nimport \"testing\"\n\nfunc TestA(t *testing.T) {}\n\nfunc TestB(t *testing.T) { t.Skip(\"not today\") }\n",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	t.Setenv("GOFLAGS", "")
	for _, strict := range []bool{false, true} {
		var out, problems bytes.Buffer
		code := run([]string{"./..."}, strict, &out, &problems)
		if want := map[bool]int{false: 0, true: 1}[strict]; code != want {
			t.Errorf("strict %v: exit code %d, want %d\n%s%s", strict, code, want, out.String(), problems.String())
		}
		for _, want := range []string{"ok  \tm\t", "1 tests passed, 0 failed, 1 skipped", "SKIPPED m TestB: m_test.go:7: not today"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%q is missing in:\n%s", want, out.String())
			}
		}
	}
}
