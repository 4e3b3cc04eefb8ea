package main

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sluice/retention/plan"
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
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
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

// TestRetentionWarns: a store that will soon be full is in the log, and fails the command where that is asked for.
func TestRetentionWarns(t *testing.T) {
	var log strings.Builder
	r := &retainer{log: slog.New(slog.NewTextHandler(&log, nil))}
	p := &plan.Plan{}
	if err := r.judge(p); err != nil || log.Len() > 0 {
		t.Errorf("without a warning: %v, %s", err, log.String())
	}
	p.Warnings = []string{"raw: it is full on 2026-12-05"}
	if err := r.judge(p); err != nil || !strings.Contains(log.String(), "raw: it is full on 2026-12-05") {
		t.Errorf("with one: %v, %s", err, log.String())
	}
	r.o.failOnWarning = true
	if err := r.judge(p); !errors.Is(err, errWarned) {
		t.Errorf("asked to fail: %v", err)
	}
	p.Problems = []string{"search cannot be looked into"}
	if err := r.judge(p); !errors.Is(err, errProblems) {
		t.Errorf("with a problem: %v", err)
	}
}
