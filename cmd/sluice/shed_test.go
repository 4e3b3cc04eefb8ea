package main

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/internal/testenv"
)

// metric reads a metric of a page of them; -1 when it is not there.
func metric(t *testing.T, page, name string) float64 {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindStringSubmatch(page)
	if m == nil {
		return -1
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Two sinks are down and Redis runs short of room. The one that may give its oldest records up does, and that is counted, named in
// the log, an alarm and a metric; the other one's lie in its spool, and are measured there. What was not given up arrives. A history
// that went back is shown beside: the process is degraded, and ready.
func TestShedIsCountedNamedAndAlarmed(t *testing.T) {
	t.Parallel()
	const n, list = 6000, msgpackList
	r := newRig(t, "--maxmemory", "64mb", "--maxmemory-policy", "noeviction").withFiles()
	r.sink("raw", "mongo-raw", r.database()+", capped_size: 1GiB, on_full: wait, shed: oldest")
	r.sink("dashboard", "mongo-aggregate", r.database())
	live, port := r.mongo, testenv.FreePort(t)
	r.config = strings.Replace(r.config, "claim: {", "guard: {memory: 20}\n    claim: {", 1)
	r.config = strings.Replace(r.config, "pipeline: {", "pipeline: {batch: {records: 250}, ", 1)
	r.config = strings.Replace(r.config, "127.0.0.1:0", fmt.Sprint("127.0.0.1:", port), 1)
	file := r.file(nil)
	down := r.file(func(s string) string {
		return strings.ReplaceAll(s, live, "mongodb://"+nowhere+"/?replicaSet=rs0&serverSelectionTimeoutMS=200")
	})
	p := r.start("run", "--config", down)
	for i := 0; i < n; i += 500 {
		r.push(list, fat(i, 500)...)
		time.Sleep(50 * time.Millisecond)
	}
	last := uint64(0)
	r.until(down, "nothing more is shed", func(l sinkLedger) bool {
		still := l.Shed > 0 && l.Shed == last && l.Pending > 0 && r.audit(down).Sinks["dashboard"].Pending < n/2
		last = l.Shed
		if still {
			time.Sleep(2500 * time.Millisecond) // the guard's look, and a step
		}
		return still && r.audit(down).Sinks["raw"].Shed == last
	})
	a := r.audit(down)
	shed := a.Sinks["raw"].Shed
	if a.Sinks["raw"].Filtered != shed || shed >= n || a.Sinks["dashboard"].Shed != 0 || a.Sinks["files"].Shed != 0 || a.Sinks["dashboard"].Spooled == 0 {
		t.Errorf("%+v", a.Sinks)
	}
	key := "{" + list + "}:sluice:suspect"
	if err := r.client.Do(context.Background(), r.client.B().Hset().Key(key).FieldValue().
		FieldValue("x", fmt.Sprintf("1700000000000 1700003600000 3 %032x", 1)).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	where := fmt.Sprint("http://127.0.0.1:", port)
	var page string
	for deadline := time.Now().Add(time.Minute); metric(t, page, `sluice_sink_spool_batches{sink="dashboard"}`) <= 0 ||
		metric(t, page, fmt.Sprintf(`sluice_source_suspect_stretches{list=%q,source="main"}`, list)) != 1; time.Sleep(time.Second) {
		if page = get(t, where+"/metrics", ""); time.Now().After(deadline) {
			t.Fatalf("not in the metrics:\n%s", page)
		}
	}
	for name, want := range map[string]float64{
		`sluice_sink_shed_records_total{sink="raw"}`: float64(shed), `sluice_sink_shed_records_total{sink="dashboard"}`: 0,
		`sluice_sink_spool_batches{sink="raw"}`: 0, `sluice_ledger_balanced`: 1,
	} {
		if got := metric(t, page, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if size, age := metric(t, page, `sluice_sink_spool_bytes{sink="dashboard"}`), metric(t, page, `sluice_sink_spool_oldest_seconds{sink="dashboard"}`); size < 1e6 ||
		age <= 0 || age > 3600 || metric(t, page, "sluice_alarms") < 3 {
		t.Errorf("%v bytes, %v s, %v alarms", size, age, metric(t, page, "sluice_alarms"))
	}
	status := get(t, where+"/api/status", "")
	for _, say := range []string{fmt.Sprintf("sink raw shed %d records of list %s", shed, list), "records of sink dashboard lie in its spool", "history of a list went back"} {
		if !strings.Contains(status, say) {
			t.Errorf("%q is not among the alarms: %s", say, status)
		}
	}
	if log := p.Stderr(); !strings.Contains(log, "records are shed") || !strings.Contains(log, "list="+list) {
		t.Errorf("the log does not say what was shed:\n%s", log)
	}
	p.Terminate()
	if code := p.Wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}

	p = r.start("run", "--config", file)
	r.until(file, "the rest arrives", func(l sinkLedger) bool { return l.Effective+l.Shed == n })
	ready := ""
	for deadline := time.Now().Add(time.Minute); !strings.HasPrefix(ready, "ready, degraded\nthe history of Redis went back in 1 places"); time.Sleep(200 * time.Millisecond) {
		if ready = get(t, where+"/ready", ""); time.Now().After(deadline) {
			t.Fatalf("/ready says %q", ready)
		}
	}
	p.Terminate()
	p.Wait()
	r.once(file, 0)
	raw := sinkLedger{}
	raw.Effective, raw.Filtered, raw.Shed = n-shed, shed, shed
	if a := r.audit(file); !a.Balanced || a.Sinks["raw"] != raw || a.Sinks["files"].Effective != n || a.Sinks["dashboard"].Effective != n {
		t.Errorf("%+v, want raw %+v", a.Sinks, raw)
	}
	if got := len(r.rawIDs()); got != int(n-shed) {
		t.Errorf("raw has %d, want %d", got, n-shed)
	}
	if text, _ := r.sluice(file, 0, "release", list, "--suspect"); !strings.Contains(text, list) {
		t.Errorf("the release says %s", text)
	}
}
