package sqlite

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// helperEnv makes the test binary a process that writes batches to the file named, until it is killed.
const helperEnv = "SLUICE_SQLITE_HELPER"

const (
	crashRecords = 3000
	crashBatch   = 50
)

// helperMain is the process that is killed. It says what it has settled, a line a batch.
func helperMain() bool {
	path := os.Getenv(helperEnv)
	if path == "" {
		return false
	}
	c := Defaults()
	c.Path = path
	s, err := New("local", c, slog.New(slog.DiscardHandler))
	if err == nil {
		err = s.Open(context.Background())
	}
	if err != nil {
		fmt.Println("error", err)
		return true
	}
	recs := makeRecords(crashRecords)
	for i := uint32(0); i < crashRecords; i += crashBatch {
		if _, err := s.Write(context.Background(), batchOf(recs, 1, i, i+crashBatch)); err != nil {
			fmt.Println("error", err)
			return true
		}
		fmt.Println("settled", i+crashBatch)
	}
	return true
}

// TestKilledInMidWrite kills a writing process three times and goes on from the beginning, as a pump does whose cursor
// was never moved.
func TestKilledInMidWrite(t *testing.T) {
	c := testConfig(t)
	for _, lines := range []int{1, 9, 25} {
		killAfter(t, c.Path, lines)
	}
	s := openSink(t, c)
	recs := makeRecords(crashRecords)
	for i := uint32(0); i < crashRecords; i += 700 {
		mustWrite(t, s, batchOf(recs, 1, i, min(i+700, crashRecords)))
	}
	if diff := cmp.Diff(recount(recs), counted(t, c.Path, 3600)); diff != "" {
		t.Error(diff)
	}
}

// killAfter runs the helper and kills it, with SIGKILL, when it has settled that many batches.
func killAfter(t *testing.T, path string, lines int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperEnv+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	sc := bufio.NewScanner(out)
	seen := 0
	for seen < lines && sc.Scan() {
		var n int
		if _, err := fmt.Sscanf(sc.Text(), "settled %d", &n); err != nil {
			t.Errorf("the helper says %q", sc.Text())
			break
		}
		seen++
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the helper ended by itself: nothing was killed in mid-write")
	}
	if seen != lines {
		t.Errorf("the helper settled %d batches, want %d", seen, lines)
	}
}
