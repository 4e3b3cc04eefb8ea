package config

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sluice/sinks/mongoraw"
	"sluice/sources/redislist"
)

// fakeAWS resolves from a map and counts what it is asked.
type fakeAWS struct {
	values map[string]string
	asked  []string
}

func (f *fakeAWS) Resolve(_ context.Context, scheme, name string) (string, error) {
	f.asked = append(f.asked, scheme+":"+name)
	v, ok := f.values[scheme+":"+name]
	if !ok {
		return "", errors.New("ResourceNotFoundException: there is no such secret")
	}
	return v, nil
}

func TestReferences(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(" p4ss: [word\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	aws := &fakeAWS{values: map[string]string{"aws-sm:prod/mongo": "u:p%40", "aws-ssm:/prod/db": "5"}}
	c, _, err := Parse(t.Context(), "x.yaml", []byte(`region: ${REGION}
sources:
  main:
    type: redis
    username: $${literal}
    password: ${file:`+file+`}
    db: ${aws-ssm:/prod/db}
    uptime: ${UPTIME:-false}
sinks:
  raw:
    type: mongo-raw
    uri: mongodb://${aws-sm:prod/mongo}@${HOST:-h}:27017/?replicaSet=rs0
  two:
    type: mongo-raw
    uri: mongodb://${aws-sm:prod/mongo}@other/
`), []string{"REGION=eu: {x: ${HOST}}"}, aws)
	// A value is one value whatever it looks like: here it is refused as a region.
	if err == nil || !strings.Contains(err.Error(), "region: has characters that cannot stand") || strings.Contains(err.Error(), "eu:") {
		t.Fatal(err)
	}
	if c != nil || len(aws.asked) != 2 {
		t.Errorf("asked %v", aws.asked)
	}
	c, _, err = Parse(t.Context(), "x.yaml", []byte(replaceOnce(minimal, "region: r", "region: ${REGION}")), []string{"REGION=eu"}, nil)
	if err != nil || c.Region != "eu" {
		t.Fatal(err)
	}
}

func TestReferenceValues(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(" p4ss: [word]}\n- ${HOST} *a\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	aws := &fakeAWS{values: map[string]string{"aws-sm:prod/mongo": "u:p%40", "aws-ssm:/prod/db": "5"}}
	c, _, err := Parse(t.Context(), "x.yaml", []byte(`region: r
sources:
  main: {type: redis, username: "$${literal}", password: "${file:`+file+`}", db: "${aws-ssm:/prod/db}", uptime: "${UPTIME:-false}"}
sinks:
  raw:
    type: mongo-raw
    uri: mongodb://${aws-sm:prod/mongo}@${HOST:-h}:27017/?replicaSet=rs0
`), []string{"HOST=db"}, aws)
	if err != nil {
		t.Fatal(err)
	}
	s := c.Sources["main"].Settings.(redislist.Config)
	if s.Username != "${literal}" || s.Password != "p4ss: [word]}\n- ${HOST} *a" || s.DB != 5 || s.Uptime {
		t.Errorf("%q %q %d %v", s.Username, s.Password, s.DB, s.Uptime)
	}
	if got := c.Sinks["raw"].Settings.(mongoraw.Config).URI; got != "mongodb://u:p%40@db:27017/?replicaSet=rs0" {
		t.Error(got)
	}
}

// TestStructureBeforeAWS: a file that is wrong whatever AWS holds makes no call.
func TestStructureBeforeAWS(t *testing.T) {
	aws := &fakeAWS{}
	for _, wrong := range []string{"colour: red\n", "log: [info]\n", "pipeline: {memory: lots}\n", "state: {dir: \"${UNSET}\"}\n"} {
		text := strings.Replace(minimal, "{type: redis}", `{type: redis, password: "${aws-sm:x}"}`, 1) + wrong
		if _, _, err := Parse(t.Context(), "x.yaml", []byte(text), nil, aws); err == nil {
			t.Errorf("%s: no error", wrong)
		}
	}
	if len(aws.asked) > 0 {
		t.Errorf("asked %v", aws.asked)
	}
}

func TestReferenceToAWSFails(t *testing.T) {
	text := strings.Replace(minimal, "{type: redis}", `{type: redis, username: "${aws-ssm:/y}", password: "${aws-sm:x}"}`, 1)
	_, _, err := Parse(t.Context(), "x.yaml", []byte(text), nil, &fakeAWS{})
	want := `x.yaml:2:41: sources.main.username: cannot resolve ${aws-ssm:/y}: ResourceNotFoundException: there is no such secret; check its name, the region and the rights of this machine's role
x.yaml:2:68: sources.main.password: cannot resolve ${aws-sm:x}: ResourceNotFoundException: there is no such secret; check its name, the region and the rights of this machine's role`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	_, _, err = Parse(t.Context(), "x.yaml", []byte(text), nil, nil)
	if err == nil || !strings.Contains(err.Error(), "references to AWS are not resolved here") {
		t.Errorf("got %v", err)
	}
}

func TestFileReferences(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, make([]byte, maxFileValue+1), 0o600); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		large:                      "the file " + large + " is larger than 65536 bytes",
		pipe:                       "cannot read the file " + pipe + ": not a file",
		dir:                        "cannot read the file " + dir + ": not a file",
		filepath.Join(dir, "none"): "cannot read the file " + filepath.Join(dir, "none") + ": no such file or directory",
	} {
		if _, err := fileValue(path); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

func TestSplitReferences(t *testing.T) {
	for text, want := range map[string]string{
		"plain":             "[plain]",
		"$${A}":             "[${][A}]",
		"$$${A}":            "[$${][A}]",
		"a${A}b${B:-c:-d}":  "[a]<env A ><b>",
		"${file:/a b}":      "<file /a b >",
		"${aws-sm:a:b#key}": "<aws-sm a:b#key >",
		"$5 ${":             "error",
		"${}":               "error",
		"${a b}":            "error",
		"${vault:x}":        "error",
		"${file:}":          "error",
		"${1A}":             "error",
	} {
		var b strings.Builder
		ps, err := splitReferences(text)
		if err != nil {
			b.WriteString("error")
		}
		for _, p := range ps {
			if p.scheme == "" {
				b.WriteString("[" + p.text + "]")
			} else {
				b.WriteString("<" + p.scheme + " " + p.name + " " + p.dflt + ">")
			}
		}
		if text == "a${A}b${B:-c:-d}" {
			want = "[a]<env A >[b]<env B c:-d>"
		}
		if b.String() != want {
			t.Errorf("%s: %s, want %s", text, b.String(), want)
		}
	}
}
