package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDrainWithLeastRights drains as the user that deploy/redis describes, and no other.
func TestDrainWithLeastRights(t *testing.T) {
	t.Parallel()
	r := newRig(t).withFiles()
	data, err := os.ReadFile(filepath.Join("..", "..", "deploy", "redis", "sluice.acl"))
	if err != nil {
		t.Fatal(err)
	}
	var rules []string
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "user "); ok {
			rules = strings.Fields(rest)
		}
	}
	if len(rules) < 3 {
		t.Fatalf("no user in deploy/redis/sluice.acl:\n%s", data)
	}
	for i, rule := range rules {
		if strings.HasPrefix(rule, ">") || strings.HasPrefix(rule, "#") {
			rules[i] = ">secret"
		}
	}
	if err := r.client.Do(t.Context(), r.client.B().Arbitrary("ACL", "SETUSER").Args(rules...).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	if err := r.client.Do(t.Context(), r.client.B().Arbitrary("ACL", "SETUSER", rules[0], ">secret").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	r.push(msgpackList, many(500, capturedHour)...)
	r.push(msgpackList, []byte("poison"))
	file := r.file(func(s string) string {
		return strings.Replace(s, "type: redis", "type: redis\n    username: "+rules[0]+"\n    password: secret", 1)
	})
	p := r.once(file, 0)
	if strings.Contains(p.Stderr(), "NOPERM") {
		t.Errorf("a command was refused:\n%s", p.Stderr())
	}
	want := effective(500)
	want.DeadLetters = 1
	r.wantLedger(file, 501, map[string]sinkLedger{"files": want})
	retry := r.start("deadletters", "retry", "--all", "--config", file)
	if code := retry.Wait(); code != 0 {
		t.Errorf("deadletters retry exits %d:\n%s", code, retry.Stderr())
	}
	r.once(file, 0)
	r.wantRedisEmpty()
}
