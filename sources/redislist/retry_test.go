package redislist

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice/internal/pipeline"
)

const aDay = 24 * time.Hour

// letters are n of a claim of 5,000 records after another, every step-th.
func letters(n, step int) []Retry {
	out := make([]Retry, n)
	for i := range out {
		at := i * step
		out[i] = Retry{Lineage: strings.Repeat("a", 32), Of: "x", Payload: []byte(payload(i)),
			Position: pipeline.Position{Claim: pipeline.ClaimID{Number: uint32(1 + at/5000)}, Index: uint32(at % 5000)}}
	}
	return out
}

// What is kept by two pumps, or was put back by a command that died before it said so, goes in once, whatever lies between; what
// Redis remembers of it is small, and forgotten in the end.
func TestLettersGoInOnce(t *testing.T) {
	b := newBench(t)
	s := newSource(t, testConfig(b.r.addr), tokenA)
	to := RetryList{Kind: pipeline.Analytics, Sink: "x"}
	l := retryList(testConfig(b.r.addr).KeyPrefix, to.Kind, to.Format, to.Sink)
	s.lists = append(s.lists, l)
	retry := func(letters []Retry, forget time.Duration) int {
		t.Helper()
		n, err := s.Retry(t.Context(), to, letters, forget)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	all := letters(20_000, 3)
	pushed := 0
	for i := 0; i < len(all); i += 500 {
		pushed += retry(all[i:i+500], 0)
	}
	if pushed != len(all) {
		t.Fatalf("%d of %d went in", pushed, len(all))
	}
	if n := retry(all[700:1900], aDay); n != 0 {
		t.Errorf("%d of another pump's copies went in as well", n)
	}
	other := all[0]
	for what, change := range map[string]func(*Retry){
		"lineage": func(r *Retry) { r.Lineage = strings.Repeat("b", 32) }, "sink": func(r *Retry) { r.Of = "*" },
		"epoch": func(r *Retry) { r.Position.Claim.Epoch.Ms = 1 }, "claim": func(r *Retry) { r.Position.Claim.Number = 99 },
		"index": func(r *Retry) { r.Position.Index = 1 },
	} {
		r := other
		change(&r)
		if n := retry([]Retry{r, r}, 0); n != 1 {
			t.Errorf("a letter of another %s: %d went in", what, n)
		}
	}
	if n := b.r.int("LLEN", l.name); n != int64(len(all))+5 {
		t.Errorf("%d lie in the list", n)
	}
	if size := b.r.int("MEMORY", "USAGE", l.retriedKey(), "SAMPLES", "0"); size > 32<<10 {
		t.Errorf("what is remembered of %d letters takes %d bytes", len(all), size)
	}

	old := fmt.Sprintf("%d:\x01", time.Now().Unix()/86400-101)
	field, _ := other.mark()
	b.r.do("HSET", l.retriedKey(), field, old, "gone", old)
	fields := b.r.int("HLEN", l.retriedKey())
	if n := retry(all[:1], 102*aDay); n != 0 || b.r.int("HLEN", l.retriedKey()) != fields {
		t.Errorf("what is younger than it is to be remembered is not")
	}
	b.r.do("HSET", l.retriedKey(), field, old)
	if retry(all[5000:5001], 100*aDay); b.r.int("HLEN", l.retriedKey()) != fields-2 {
		t.Errorf("what is older than it is to be remembered is kept")
	}
}

// At maxmemory nothing goes in and nothing is remembered of it.
func TestLettersStayWhereRedisHasNoRoom(t *testing.T) {
	b := newBench(t)
	s := newSource(t, testConfig(b.r.addr), tokenA)
	b.r.do("CONFIG", "SET", "maxmemory", "1")
	if n, err := s.Retry(t.Context(), RetryList{Kind: pipeline.Analytics}, letters(3, 1), aDay); err == nil || !strings.Contains(err.Error(), "OOM") {
		t.Errorf("%d went in, %v", n, err)
	}
	b.r.do("CONFIG", "SET", "maxmemory", "0")
	if n, err := s.Retry(t.Context(), RetryList{Kind: pipeline.Analytics}, letters(3, 1), aDay); err != nil || n != 3 {
		t.Errorf("%d went in, %v", n, err)
	}
}

// A letter counts as put back when replicas hold it, as a claim counts as made: a failover takes away no letter that was marked.
func TestLettersWaitForReplicas(t *testing.T) {
	t.Parallel()
	primary, replica, _ := withReplica(t)
	cfg := testConfig(primary.Addr)
	s := newSource(t, cfg, tokenA)
	to := RetryList{Kind: pipeline.Analytics}
	// A replica that has just come counts as online a second before it takes what is written, and longer on a busy machine: asked for
	// again it confirms, and nothing goes in twice.
	retry := func(letters []Retry) (pushed int) {
		t.Helper()
		eventually(t, "the replica confirms", func() bool {
			n, err := s.Retry(t.Context(), to, letters, 0)
			pushed += n
			if err != nil && !strings.Contains(err.Error(), "replicas hold it") {
				t.Fatal(err)
			}
			return err == nil
		})
		return pushed
	}
	if n := retry(letters(2, 1)); n != 2 {
		t.Errorf("%d went in, want 2", n)
	}
	name := retryList(cfg.KeyPrefix, to.Kind, to.Format, "").name
	if n := dialRedis(t, replica.Addr).int("LLEN", name); n != 2 { // at once, not soon
		t.Errorf("the replica has %d when they count as put back", n)
	}
	replica.Pause()
	n, err := s.Retry(t.Context(), to, letters(3, 1), 0)
	replica.Continue()
	if err == nil || !strings.Contains(err.Error(), "0 replicas hold it, 1 must") {
		t.Errorf("with a replica that hangs: %d, %v", n, err)
	}
	if more := retry(letters(3, 1)); n+more != 1 {
		t.Errorf("%d went in, and %d when asked for again; want 1", n, more)
	}
	if n := dialRedis(t, primary.Addr).int("LLEN", name); n != 3 {
		t.Errorf("%d went in, want 3", n)
	}
}
