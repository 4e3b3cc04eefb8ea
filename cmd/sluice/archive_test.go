package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sluice runs the program with the configuration file and wants the exit code.
func (r *rig) sluice(file string, code int, args ...string) (stdout, stderr string) {
	r.t.Helper()
	p := r.start(append(args, "--config", file)...)
	if got := p.Wait(); got != code {
		r.t.Fatalf("%v exits %d, want %d:\n%s%s", args, got, code, p.Stdout(), p.Stderr())
	}
	return p.Stdout(), p.Stderr()
}

// sluiceJSON is sluice with --output json.
func (r *rig) sluiceJSON(file string, code int, into any, args ...string) {
	r.t.Helper()
	out, _ := r.sluice(file, code, append(args, "--output", "json")...)
	if err := json.Unmarshal([]byte(out), into); err != nil {
		r.t.Fatalf("%v: %v\n%s", args, err, out)
	}
}

// objects are the files of the archive's directory.
func (r *rig) objects() []string {
	r.t.Helper()
	found, err := filepath.Glob(filepath.Join(r.filesDir(), "region=*", "dt=*", "hour=*", "*.csv.zst"))
	if err != nil || len(found) == 0 {
		r.t.Fatalf("%d objects, %v", len(found), err)
	}
	return found
}

// damage flips a byte in the middle of a file.
func damage(t *testing.T, name string) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 0x40
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestArchiveCommandsTellWhatIsThere(t *testing.T) {
	t.Parallel()
	r := newRig(t).withFiles()
	r.sink("nowhere", "discard", "filters: {}")
	for i := range 4 {
		if i == 2 {
			continue // nothing in the third hour
		}
		r.push(msgpackList, many(100, capturedHour.Add(time.Duration(i)*time.Hour))...)
	}
	file := r.file(nil)
	r.once(file, 0)

	var l listing
	r.sluiceJSON(file, 0, &l, "archive", "ls")
	if len(l.Hours) != 3 || l.Hours[2].Records != 100 || l.Hours[2].Stored == 0 || l.Hours[2].Bytes < l.Hours[2].Stored {
		t.Errorf("hours: %+v", l.Hours)
	}
	if len(l.Gaps) != 1 || !l.Gaps[0].From.Equal(capturedHour.Add(2*time.Hour)) || !l.Gaps[0].To.Equal(capturedHour.Add(3*time.Hour)) {
		t.Errorf("gaps: %+v", l.Gaps)
	}
	if text, _ := r.sluice(file, 0, "archive", "ls"); !strings.Contains(text, "2026-11-23T09Z") || !strings.Contains(text, "300") {
		t.Errorf("ls prints\n%s", text)
	}
	var st archiveStatistics
	r.sluiceJSON(file, 0, &st, "archive", "stats")
	if len(st.Regions) != 1 || st.Regions[0].Records != 300 || st.Regions[0].Lists != 1 || st.Regions[0].Hours != 3 {
		t.Errorf("stats: %+v", st.Regions)
	}
	var v verification
	r.sluiceJSON(file, 0, &v, "archive", "verify")
	if v.Records != 300 || v.Objects != 3 || v.Corrupt.Count != 0 {
		t.Errorf("verify: %+v", v)
	}

	text, _ := r.sluice(file, 0, "archive", "cat", "--from", "2026-11-23T09:00Z", "--to", "2026-11-23T10", "--org", "org1", "--status", "4xx")
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	want := 0
	for i := range 100 {
		if i%3 == 1 && i%5 == 2 {
			want++
		}
	}
	if err != nil || len(rows) != want+1 || rows[1][2] != "org1" || rows[1][12] != "400" {
		t.Errorf("%d rows, want %d: %v\n%.500s", len(rows)-1, want, err, text)
	}
	lines, _ := r.sluice(file, 0, "archive", "cat", "--output", "json", "--limit", "7")
	if n := strings.Count(lines, "\n"); n != 7 || !strings.HasPrefix(lines, `{"record_id":"`) {
		t.Errorf("%d lines:\n%.300s", n, lines)
	}
}

func TestArchiveVerifyNamesWhatIsDamaged(t *testing.T) {
	t.Parallel()
	r := newRig(t).withFiles()
	for i := range 3 {
		r.push(fmt.Sprintf("%s_%d", msgpackList, i), many(50, capturedHour)...)
	}
	file := r.file(nil)
	r.once(file, 0)
	objects := r.objects()
	damage(t, objects[1])
	manifest := strings.TrimSuffix(objects[2], ".csv.zst") + ".manifest.json"
	if err := os.WriteFile(manifest, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	var v verification
	r.sluiceJSON(file, 1, &v, "archive", "verify")
	if v.Records != 50 || v.Corrupt.Count != 2 || !strings.HasSuffix(objects[1], v.Corrupt.Named[0].Object) ||
		!strings.HasSuffix(manifest, v.Corrupt.Named[1].Object) {
		t.Errorf("verify: %+v", v)
	}
	out, stderr := r.sluice(file, 1, "archive", "cat", "--output", "json")
	if n := strings.Count(out, "\n"); n < 50 || !strings.Contains(stderr, filepath.Base(objects[1])) || !strings.Contains(stderr, filepath.Base(manifest)) {
		t.Errorf("%d rows; it is said: %s", n, stderr)
	}
	if text, _ := r.sluice(file, 1, "archive", "ls"); !strings.Contains(text, "corrupt: ") {
		t.Errorf("ls prints\n%s", text)
	}
}

func TestArchiveIsChosenByName(t *testing.T) {
	t.Parallel()
	r := newRig(t).withFiles()
	r.sink("more", "csv", "dir: "+filepath.Join(r.dir, "more"))
	file := r.file(nil)
	for _, c := range []struct{ args, say string }{
		{"archive ls", "name one with --archive (files, more)"},
		{"archive ls --archive raw", "--archive raw"},
		{"archive ls --archive files --from yesterday", "--from"},
		{"archive ls --archive files --from 2026-11-24 --to 2026-11-23", "is not before"},
		{"archive cat --archive files --status teapot", "--status"},
	} {
		if _, stderr := r.sluice(file, 2, strings.Fields(c.args)...); !strings.Contains(stderr, c.say) {
			t.Errorf("%s says %s", c.args, stderr)
		}
	}
	if _, stderr := r.sluice(file, 1, "archive", "ls", "--archive", "files"); !strings.Contains(stderr, "there is no directory") {
		t.Errorf("a directory that is not there: %s", stderr)
	}
}
