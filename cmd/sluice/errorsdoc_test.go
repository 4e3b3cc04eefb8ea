package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sluice/internal/archive/dirstore"
	"sluice/internal/archive/s3store"
	"sluice/internal/config"
	"sluice/internal/kafka"
	"sluice/internal/mongo"
	"sluice/internal/pipeline"
	"sluice/sinks/opensearch"
	"sluice/sinks/sqlite"
	"sluice/sources/redislist"
)

var update = flag.Bool("update", false, "write documents that are made from the code")

// TestErrorsDocument holds docs/errors.md against the tables that decide.
func TestErrorsDocument(t *testing.T) {
	name := filepath.Join("..", "..", "docs", "errors.md")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	want := string(data)
	for _, p := range []struct {
		name string
		rows []pipeline.Answer
	}{
		{"Redis", redislist.Answers()}, {"MongoDB", mongo.Answers()}, {"OpenSearch", opensearch.Answers()}, {"S3", s3store.Answers()},
		{"csv", dirstore.Answers()},
		{"Sentinel", redislist.SentinelAnswers()}, {"CLUSTER", redislist.ClusterAnswers()}, {"Kafka", kafka.Answers()},
		{"sqlite", sqlite.Answers()},
	} {
		if want, err = replaced(want, p.name, answersTable(p.rows)); err != nil {
			t.Fatal(err)
		}
	}
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(data) != want {
		t.Errorf("%s is not what the code does: go test ./cmd/sluice -run ErrorsDocument -update", name)
	}
}

// replaced puts a text between the marks of that name.
func replaced(doc, name, text string) (string, error) {
	begin, end := "<!-- made from the code: "+name+" -->\n", "<!-- end -->\n"
	before, rest, ok := strings.Cut(doc, begin)
	_, after, ended := strings.Cut(rest, end)
	if !ok || !ended {
		return "", fmt.Errorf("no place for the table of %s", name)
	}
	return before + begin + text + end + after, nil
}

func answersTable(rows []pipeline.Answer) string {
	var b strings.Builder
	head := "| answer | class | |\n| --- | --- | --- |\n"
	if rows[0].Of != "" {
		head = "| of | answer | class | |\n| --- | --- | --- | --- |\n"
	}
	b.WriteString(head)
	for _, r := range rows {
		if r.Of != "" {
			fmt.Fprintf(&b, "| %s ", r.Of)
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", r.Answer, r.Action, r.Why)
	}
	return b.String()
}

// Every type of source and sink has its place in docs/errors.md: in a heading, or as a row.
func TestErrorsDocumentHasEveryType(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "docs", "errors.md"))
	if err != nil {
		t.Fatal(err)
	}
	var reference bytes.Buffer
	if err := config.Reference(&reference); err != nil {
		t.Fatal(err)
	}
	types := regexp.MustCompile(`(?m)^(SOURCE|SINK) OF TYPE (\S+)$`).FindAllStringSubmatch(reference.String(), -1)
	if len(types) < 12 {
		t.Fatalf("types %q", types)
	}
	for _, m := range types {
		what, name := strings.ToLower(m[1]), strings.ToLower(m[2])
		place := regexp.MustCompile("(?m)^(## .*" + what + "s? (`[a-z0-9-]+`,? )*`" + name + "`|\\| `" + name + "` )")
		if !place.Match(data) {
			t.Errorf("docs/errors.md does not tell what a %s of type %s does", what, name)
		}
	}
}
