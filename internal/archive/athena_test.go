package archive

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/record"
	"sluice/schemas"
)

// TestAthenaTableHasTheColumnsOfTheFile: OpenCSVSerde goes by place, so names and order must be those of the file.
func TestAthenaTableHasTheColumnsOfTheFile(t *testing.T) {
	ddl := schemas.Athena{Table: "db.t", View: "db.v", Location: "s3://b/p/", Regions: []string{"eu-west-1", "us%20east"},
		From: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)}.DDL()
	if strings.Contains(ddl, "{{") {
		t.Errorf("not filled in:\n%s", ddl)
	}
	table, view, ok := strings.Cut(ddl, "PARTITIONED BY")
	if !ok {
		t.Fatal("no partitions")
	}
	renamed := map[string]string{"day": "record_day", "month": "record_month", "year": "record_year", "hour": "record_hour"} // hour is a partition
	var want, have []string
	for _, c := range Columns() {
		if r := renamed[c]; r != "" {
			c = r
		}
		want = append(want, c)
		if !strings.Contains(view, `"`+c+`"`) {
			t.Errorf("the view has no %s", c)
		}
	}
	for _, m := range regexp.MustCompile("(?m)^  `([a-z_]+)` string,?$").FindAllStringSubmatch(table, -1) {
		have = append(have, m[1])
	}
	if !slices.Equal(want, have) {
		t.Errorf("columns %q, want %q", have, want)
	}
	template := regexp.MustCompile(`'storage.location.template' = '(.*)'`).FindStringSubmatch(ddl)
	at := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	got := strings.NewReplacer("${region}", "us%20east", "${dt}", "2026-01-02", "${hour}", "03").Replace(template[1])
	if got != "s3://b/"+Partition("p/", "us east", at) {
		t.Errorf("an hour is looked for in %s, it lies in %s", got, Partition("p/", "us east", at))
	}
}

// nasty are texts that have broken readers of CSV.
var nasty = []string{"", ",", `"`, `""`, "a,b", "a\nb", "\r\n", "\x00", "nul\x00in", "\xff\xfe", "é\xc3", `\`, `\\x41`, `\x41`, `\"`, `"\`, " lead", "tail ",
	"'; DROP TABLE", "=1+1", "\u2028", "\x7f", "日本", strings.Repeat(`"`, 9), "tab\there", "\ufeffbom", "\U0001F600", "a\"b,c\nd\\e\x01f\xfag"}

// TestPythonReadsRows: another csv reader, which knows nothing of ours, finds every cell where the header says, line by
// line, as readers do that cut files into lines before they look at quotes.
func TestPythonReadsRows(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("python3 is not there: install it")
		}
		t.Skip("SKIPPED: the second CSV reader is not there; install python3")
	}
	var enc Encoder
	content := AppendHeader(nil)
	for i, s := range nasty {
		r := &record.Record{TimeStamp: nine, OrgID: "o", Path: s, RawPath: "/" + s, APIKey: s, UserAgent: s + s, RawResponse: s, Tags: []string{s, "x"}}
		rw := row(r, uint32(i))
		content = enc.AppendRow(content, &rw)
	}
	cmd := exec.CommandContext(t.Context(), python, "-c", `
import csv, json, re, sys
lines = sys.stdin.buffer.read().decode("utf-8").split("\n")[:-1]
names = next(csv.reader([lines[0]]))
undo = lambda s: re.sub(rb"\\(\\|x[0-9a-f]{2})", lambda m: b"\\" if m[1] == b"\\" else bytes([int(m[1][1:], 16)]), s.encode())
for line in lines[1:]:
    rows = list(csv.reader([line], strict=True))
    assert len(rows) == 1 and len(rows[0]) == len(names), line
    cell = dict(zip(names, rows[0]))
    tags = json.loads(cell["tags"])
    print(json.dumps({"tags": len(tags), "hex": [undo(cell[c]).hex() for c in ("path", "raw_path", "api_key", "user_agent", "raw_response")]}))
`)
	cmd.Stdin = bytes.NewReader(content)
	cmd.Env = append(os.Environ(), "PYTHONUTF8=1")
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("python: %v\n%s", err, complaint.String())
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != len(nasty) {
		t.Fatalf("%d rows, want %d", len(lines), len(nasty))
	}
	for i, s := range nasty {
		var got struct {
			Tags int
			Hex  []string
		}
		if err := json.Unmarshal([]byte(lines[i]), &got); err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, v := range []string{s, "/" + s, s, s + s, s} {
			want = append(want, hexOf(v))
		}
		if got.Tags != 2 || !slices.Equal(got.Hex, want) {
			t.Errorf("%q comes as %q", s, got.Hex)
		}
	}
}

func hexOf(s string) string {
	var b []byte
	for _, c := range []byte(s) {
		b = append(b, hexDigits[c>>4], hexDigits[c&15])
	}
	return string(b)
}
