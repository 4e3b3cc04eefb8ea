package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice/internal/deadletter"
	"sluice/internal/pipeline"
	"sluice/internal/statedir"
)

// A list of many letters is written page by page, of one sink where that is asked for, and as one JSON array.
func TestListOfLettersInPages(t *testing.T) {
	file, state := bareConfig(t, "127.0.0.1:1")
	box, err := deadletter.Open(statedir.Letters(state))
	if err != nil {
		t.Fatal(err)
	}
	const n = 2500
	var all []pipeline.Letter
	for i := range n {
		sink := []string{"*", "raw"}[i%2]
		all = append(all, pipeline.Letter{ID: fmt.Sprintf("id%d", i), Sink: sink, Reason: "a <reason>", Time: time.Unix(1, 0).UTC(), List: "l", Lineage: "l",
			Position: fmt.Sprint(i), Length: 3, Bytes: []byte("abc")})
	}
	if err := box.Store(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	if err := box.Close(); err != nil {
		t.Fatal(err)
	}
	list := func(args ...string) string {
		t.Helper()
		code, stdout, stderr := runs(t, append([]string{"deadletters", "list", "--config", file}, args...)...)
		if code != exitDone {
			t.Fatalf("%v: exit code %d, %s", args, code, stderr)
		}
		return stdout
	}
	ids := func(table string) (ids []string) {
		for line := range strings.Lines(table) {
			if strings.HasPrefix(line, "id") {
				ids = append(ids, strings.Fields(line)[0])
			}
		}
		return ids
	}
	if got := ids(list()); len(got) != n || got[0] != "id0" || got[n-1] != fmt.Sprint("id", n-1) {
		t.Errorf("all: %d", len(got))
	}
	page := list("--sink", "raw", "--skip", "2", "--limit", "3")
	if got := fmt.Sprint(ids(page)); got != "[id5 id7 id9]" || !strings.Contains(page, "there are more") {
		t.Errorf("a page: %s", page)
	}
	if end := list("--skip", "2499", "--limit", "1"); len(ids(end)) != 1 || strings.Contains(end, "more") {
		t.Errorf("the last page: %s", end)
	}
	for args, want := range map[string]int{"": n, "--limit 7": 7, "--sink none": 0} {
		var out []pipeline.Letter
		if err := json.Unmarshal([]byte(list(append(strings.Fields(args), "--output", "json")...)), &out); err != nil || len(out) != want || out == nil {
			t.Errorf("JSON %q: %d, %v", args, len(out), err)
		} else if want > 0 && (out[0].Reason != "a <reason>" || string(out[0].Bytes) != "abc") {
			t.Errorf("%+v", out[0])
		}
	}
	if code, _, stderr := runs(t, "deadletters", "list", "--config", file, "--limit", "-1"); code != exitUsage {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}
