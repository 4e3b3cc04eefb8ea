package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"sluice/internal/testenv"
)

// TestSecondRegionWithACopiedConfiguration: two Redis, the same names and labels everywhere, one set of stores.
func TestSecondRegionWithACopiedConfiguration(t *testing.T) {
	t.Parallel()
	r := newRig(t).withAll()
	first := r.file(nil)
	other := testenv.StartRedis(t)
	second := r.file(func(s string) string {
		return strings.Replace(strings.Replace(s, r.redis.Addr, other.Addr, 1), r.dir+"/state", r.dir+"/state2", 1)
	})
	ours := many(1500, capturedHour)
	theirs := many(1500, capturedHour.Add(30*time.Minute))
	r.push(msgpackList, ours...)
	here := r.client
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{other.Addr}, DisableCache: true, ForceSingleClient: true})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	r.client = client
	r.push(msgpackList, theirs...)
	r.client = here
	a := r.start("run", "--once", "--config", first)
	b := r.start("run", "--once", "--config", second)
	if x, y := a.Wait(), b.Wait(); x != 0 || y != 0 {
		t.Fatalf("exit codes %d and %d:\n%s\n%s", x, y, a.Stderr(), b.Stderr())
	}
	r.lists = map[string][][]byte{"here": ours, "there": theirs} // each was claimed as a whole
	r.wantEverywhere()
	for _, file := range []string{first, second} {
		r.wantLedger(file, 1500, map[string]sinkLedger{"raw": effective(1500), "archive": effective(1500), "search": effective(1500)})
	}
}

// TestBadConfigurationConnectsToNothing: what is wrong is said before any connection is made.
func TestBadConfigurationConnectsToNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var connections atomic.Int32
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			c.Close()
		}
	}()
	dir := t.TempDir()
	good := "region: r\nsources: {main: {type: redis, addrs: [\"" + l.Addr().String() + "\"]}}\nstate: {dir: " + dir + "/state}\nsinks:\n  raw: {type: mongo-raw, uri: \"mongodb://" +
		l.Addr().String() + "/\", database: d}\n  search: {type: opensearch, urls: [\"http://" + l.Addr().String() + "\"]}\n"
	file := filepath.Join(dir, "sluice.yaml")
	for _, bad := range []string{"pipelin: {}\n", "pipeline: {memory: lots}\n", "log: {level: loud}\n"} {
		if err := os.WriteFile(file, []byte(good+bad), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, command := range [][]string{{"run"}, {"run", "--once"}, {"check", "--connect"}, {"audit"}, {"deadletters", "list"}} {
			if code, _, stderr := runs(t, append(command, "--config", file)...); code != exitUsage || !strings.Contains(stderr, "sluice.yaml:7:") {
				t.Errorf("%v: exit code %d, %s", command, code, stderr)
			}
		}
	}
	l.Close()
	<-done
	if n := connections.Load(); n > 0 {
		t.Errorf("%d connections were made", n)
	}
	if _, err := os.Stat(filepath.Join(dir, "state")); err == nil {
		t.Error("a state directory was made")
	}
}
