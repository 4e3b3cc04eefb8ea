package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/internal/record"
	"sluice/internal/testenv"
)

// TestHugeElementsKillNothing: a list element of 512 MB among ordinary records, and records of 20 MB, in a process that is
// to live within 192 MiB.
func TestHugeElementsKillNothing(t *testing.T) {
	const huge = 512 << 20
	r := newRig(t, "--proto-max-bulk-len", "1gb").withFiles()
	r.bin = testenv.BuildShipped(t) // the race detector has memory of its own
	r.sink("local", "sqlite", "path: "+r.dir+"/local.db")
	r.config += "pipeline: {memory: 192MiB, accept: {past: 36500d, future: 36500d}}\n"
	r.config = strings.Replace(r.config, "pipeline: {accept: {past: 36500d, future: 36500d}}\n", "", 1)
	file := r.file(nil)

	r.push(msgpackList, many(300, capturedHour)...)
	r.pushHuge(msgpackList, huge)
	for i := range 2 {
		r.push(msgpackList, made(1000+i, capturedHour, func(r *record.Record) { r.RawResponse = strings.Repeat("A", 20<<20) }))
	}
	r.push(msgpackList, many(300, capturedHour.Add(time.Hour))...)

	p := r.start("run", "--config", file)
	deadline := time.Now().Add(90 * time.Second)
	for a := r.audit(file); a.Taken < 603 || a.Sinks["files"].Pending+a.Sinks["local"].Pending > 0; a = r.audit(file) {
		if time.Now().After(deadline) {
			t.Fatalf("never drained: %+v", a.Sinks)
		}
		time.Sleep(500 * time.Millisecond)
	}
	peak := residentPeak(t, p.PID())
	p.Terminate()
	if code := p.Wait(); code != 0 {
		t.Errorf("the pump ends with %d", code)
	}
	want := effective(602)
	want.DeadLetters = 1
	r.wantLedger(file, 603, map[string]sinkLedger{"files": want, "local": want})
	letters := r.letters(file)
	if len(letters) != 1 || letters[0].Sink != "*" || len(letters[0].Bytes) != 64<<10 || letters[0].Bytes[0] != 'h' {
		t.Fatalf("%d dead letters", len(letters))
	}
	for _, say := range []string{strconv.Itoa(huge), "64KiB"} {
		if !strings.Contains(letters[0].Reason, say) {
			t.Errorf("the reason does not tell %s: %s", say, letters[0].Reason)
		}
	}
	if c := r.start("deadletters", "retry", "--all", "--config", file); c.Wait() != 1 || !strings.Contains(c.Stderr(), "65536 of its 536870912 bytes") {
		t.Errorf("a letter that was cut goes back: %s", c.Stderr())
	}
	// The limit is of the Go runtime's memory; what the kernel counts has the program's own pages and a margin on top.
	if t.Logf("peak of resident memory: %d MiB", peak>>20); peak > 288<<20 {
		t.Errorf("%d MiB were resident", peak>>20)
	}
}

// pushHuge pushes one element of n bytes without holding it.
func (r *rig) pushHuge(list string, n int) {
	r.t.Helper()
	c, err := net.Dial("tcp", r.redis.Addr)
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	w := bufio.NewWriterSize(c, 1<<20)
	fmt.Fprintf(w, "*3\r\n$5\r\nRPUSH\r\n$%d\r\n%s\r\n$%d\r\n", len(list), list, n)
	part := []byte(strings.Repeat("h", 1<<20))
	for left := n; left > 0; left -= len(part) {
		if _, err := w.Write(part[:min(len(part), left)]); err != nil {
			r.t.Fatal(err)
		}
	}
	if _, err := w.WriteString("\r\n"); err != nil || w.Flush() != nil {
		r.t.Fatal(err)
	}
	if answer, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.HasPrefix(answer, ":") {
		r.t.Fatalf("%q: %v", answer, err)
	}
}

// residentPeak is the most memory that a process ever had resident, in bytes.
func residentPeak(t *testing.T, pid int) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		t.Fatalf("no peak in %s", status)
	}
	n, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}
