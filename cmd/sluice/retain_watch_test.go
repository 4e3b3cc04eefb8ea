package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sluice/retention/report"
)

// TestRetentionWatches: the first round is at once, its figures are served and left for the console of a pump, and a signal
// ends it with 0.
func TestRetentionWatches(t *testing.T) {
	t.Parallel()
	r := newRig(t).withFiles()
	r.aged()
	file := r.file(nil)
	p := r.start("retain", "--apply", "--watch", "--listen", "127.0.0.1:0", "--output", "json", "--config", file)
	var base string
	get := func(path string) string {
		t.Helper()
		res, err := http.Get(base + path)
		if err != nil {
			return err.Error()
		}
		defer http.DefaultClient.CloseIdleConnections()
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	addr := regexp.MustCompile(`address=(http://[^/\s]+)/retention`)
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if m := addr.FindStringSubmatch(p.Stderr()); m != nil {
			base = m[1]
			if strings.Contains(get("/metrics"), "sluice_retention_last_run_ok 1") {
				break
			}
		}
		if time.Now().After(end) {
			t.Fatalf("no round was done:\n%s%s", p.Stdout(), p.Stderr())
		}
	}
	for _, want := range []string{`sluice_retention_store_bytes{kind="archive",store="files"} `, "sluice_retention_due_actions 1", "sluice_retention_done_actions 1"} {
		if m := get("/metrics"); !strings.Contains(m, want) {
			t.Errorf("the metrics lack %s:\n%s", want, m)
		}
	}
	var said report.Report
	if err := json.Unmarshal([]byte(get("/api/retention")), &said); err != nil || said.Done != 1 || len(said.Stores) == 0 || !said.Applies {
		t.Errorf("%+v, %v", said, err)
	}
	if !strings.Contains(get("/"), "stores and retention") {
		t.Error("the page is not served")
	}
	p.Terminate()
	if code := p.Wait(); code != 0 {
		t.Errorf("told to stop it exits %d: %s", code, p.Stderr())
	}
	var printed retainReport
	if err := json.Unmarshal([]byte(p.Stdout()), &printed); err != nil || len(printed.Applied) != 1 {
		t.Errorf("a round prints %s: %v", p.Stdout(), err)
	}
	if got := r.agesIn(r.fileStore(), ""); got != "60:300 1:300" {
		t.Errorf("the archive holds %s", got)
	}
	left, err := report.Read(report.Path(filepath.Join(r.dir, "state")))
	if err != nil || left == nil || left.Done != 1 {
		t.Errorf("left for a pump's console: %+v, %v", left, err)
	}
	if _, err := os.Stat(report.Path(filepath.Join(r.dir, "state")) + ".new"); err == nil {
		t.Error("a temporary file is left")
	}
	for _, wrong := range [][]string{{"--listen", "127.0.0.1:0"}, {"--watch", "--listen", "nowhere:x"}, {"--watch", "--listen", "0.0.0.0:0"}, {"--every", "5m"}, {"--watch", "--every", "1s"}, {"--rate", "-1"}} {
		if code := r.start(append([]string{"retain", "--config", file}, wrong...)...).Wait(); code != 2 {
			t.Errorf("%v exits %d, want 2", wrong, code)
		}
	}
}

// TestRetentionWarns: of a store that will be full, in the plan and in the log, and with an exit code where that is asked for.
func TestRetentionWarns(t *testing.T) {
	t.Parallel()
	r := newRig(t).withFiles()
	r.aged()
	// as if every disk were about to be full: within a thousand years
	file := r.file(func(s string) string { return s + "retention: {warn_within: 99y, archive: {keep: 0s}}\n" })
	quiet := r.retain(r.file(nil), 0)
	if len(quiet.Warnings) != 0 {
		t.Errorf("by default: %v", quiet.Warnings)
	}
	p := r.start("retain", "--output", "json", "--fail-on-warning", "--config", file)
	code := p.Wait()
	var said retainReport
	if err := json.Unmarshal([]byte(p.Stdout()), &said); err != nil {
		t.Fatalf("%v: %s%s", err, p.Stdout(), p.Stderr())
	}
	var full bool
	for _, f := range said.Forecasts {
		full = full || !f.Full.IsZero()
	}
	if full != (len(said.Warnings) > 0) || full != (code == 1) || full != strings.Contains(p.Stderr(), "a store will soon be full") {
		t.Errorf("exit %d, warnings %v, log %s", code, said.Warnings, p.Stderr())
	}
	if full && r.start("retain", "--config", file).Wait() != 0 {
		t.Error("without being told to, a warning fails the command")
	}
}
