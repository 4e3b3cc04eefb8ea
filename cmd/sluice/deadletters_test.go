package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/internal/deadletter"
	"sluice/internal/pipeline"
	"sluice/internal/statedir"
	"sluice/internal/testenv"
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

// More than ten thousand records that do not decode come among as many good ones, through a Redis that has room for a tenth of them:
// the drain goes on, the first letter is said once, all are counted and kept, and what is good arrives.
func TestThousandsOfLettersHoldNothingUp(t *testing.T) {
	t.Parallel()
	const rounds, each = 12, 900
	r := newRig(t, "--maxmemory", "8mb", "--maxmemory-policy", "noeviction").withRaw()
	port := testenv.FreePort(t)
	r.config = strings.Replace(r.config, "127.0.0.1:0", fmt.Sprint("127.0.0.1:", port), 1)
	file := r.file(nil)
	p := r.start("run", "--config", file)
	used := regexp.MustCompile(`(?m)^used_memory:(\d+)`)
	drained := func() bool {
		info, err := r.client.Do(t.Context(), r.client.B().Info().Section("memory").Build()).ToString()
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(used.FindStringSubmatch(info)[1])
		return err == nil && n < 3<<20
	}
	for round := range rounds {
		for deadline := time.Now().Add(time.Minute); !drained(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the drain stands still after %d letters:\n%s", round*each, p.Stderr())
			}
		}
		var payloads [][]byte
		for i, good := range fat(round*each, each) {
			payloads = append(payloads, good, fmt.Appendf(nil, "no record %d-%d %s", round, i, strings.Repeat("x", 1000)))
		}
		r.push(msgpackList, payloads...) // it fails when Redis has no room
	}
	r.until(file, "all is delivered", func(l sinkLedger) bool { return l.Effective == rounds*each && l.DeadLetters == rounds*each })
	page := get(t, fmt.Sprintf("http://127.0.0.1:%d/metrics", port), "")
	if n := metric(t, page, `sluice_dead_letters_total{cause="undecodable",sink="*"}`); n != rounds*each {
		t.Errorf("%v letters are counted, want %d", n, rounds*each)
	}
	p.Terminate()
	if code := p.Wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if n := strings.Count(p.Stderr(), "first dead letter of this run"); n != 1 {
		t.Errorf("the first letter is said %d times:\n%s", n, p.Stderr())
	}
	wantIDs(t, "raw", r.expect().wanted(inRaw), r.rawIDs())
	var want sinkLedger
	want.Effective, want.DeadLetters = rounds*each, rounds*each
	r.wantLedger(file, 2*rounds*each, map[string]sinkLedger{"raw": want})
	kept := map[string]bool{}
	for _, l := range r.letters(file) {
		kept[string(l.Bytes)] = true
	}
	if len(kept) != rounds*each {
		t.Errorf("%d letters are kept, want %d", len(kept), rounds*each)
	}
	r.wantRedisEmpty()
}
