package redislist

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"sluice/internal/pipeline"
	"sluice/internal/units"
)

// patience is how long a test waits for what must come: long, since machines that build are busy.
const patience = time.Minute

// testRedis is a client of the test's own, beside the source.
type testRedis struct {
	t    testing.TB
	addr string
	c    rueidis.Client
}

func dialRedis(t testing.TB, addr string) *testRedis {
	t.Helper()
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{addr}, ForceSingleClient: true, AlwaysRESP2: true,
		DisableCache: true, PipelineMultiplex: -1, RingScaleEachConn: 8, Dialer: net.Dialer{Timeout: 5 * time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return &testRedis{t, addr, c}
}

func (r *testRedis) try(args ...string) rueidis.RedisResult {
	return r.c.Do(context.Background(), r.c.B().Arbitrary(args...).Build())
}

func (r *testRedis) do(args ...string) rueidis.RedisMessage {
	r.t.Helper()
	m, err := r.try(args...).ToMessage()
	if err != nil && !rueidis.IsRedisNil(err) {
		r.t.Fatalf("%v: %v", args, err)
	}
	return m
}

func (r *testRedis) int(args ...string) int64 {
	r.t.Helper()
	m := r.do(args...)
	n, err := m.AsInt64()
	if err != nil {
		r.t.Fatalf("%v: %v", args, err)
	}
	return n
}

func (r *testRedis) str(args ...string) string {
	r.t.Helper()
	m := r.do(args...)
	s, _ := m.ToString()
	return s
}

// push appends n payloads that are numbered from first on.
func (r *testRedis) push(list string, first, n int) {
	r.t.Helper()
	for lo := first; lo < first+n; lo += 10000 {
		args := []string{"RPUSH", list}
		for i := lo; i < min(lo+10000, first+n); i++ {
			args = append(args, payload(i))
		}
		r.do(args...)
	}
}

func payload(i int) string { return "record-" + strconv.Itoa(i) }

func (r *testRedis) registry(l list) *registry {
	r.t.Helper()
	m := r.do("HGETALL", l.registry())
	f, err := m.AsStrMap()
	if err != nil {
		r.t.Fatal(err)
	}
	reg, err := parseRegistry(f)
	if err != nil {
		r.t.Fatal(err)
	}
	return reg
}

// fakeDrain is a pipeline of which the test does the work.
type fakeDrain struct {
	gained    chan *stream
	unwilling atomic.Bool
	mu        sync.Mutex
	owed      pipeline.Owed
	noUptime  bool
}

func newDrain(sinks ...string) *fakeDrain {
	return &fakeDrain{gained: make(chan *stream, 1000), owed: owing(sinks...)}
}

func owing(sinks ...string) pipeline.Owed {
	slices.Sort(sinks)
	key := fmt.Sprintf("shape-%d", len(sinks))
	return pipeline.Owed{Sinks: sinks, Key: key, JSON: []byte(`{"shape":"` + key + `"}`)}
}

func (d *fakeDrain) Gained(s pipeline.Stream) { d.gained <- s.(*stream) }
func (d *fakeDrain) Willing() bool            { return !d.unwilling.Load() }
func (d *fakeDrain) Owes(k pipeline.Kind) pipeline.Owed {
	d.mu.Lock()
	defer d.mu.Unlock()
	if k == pipeline.Uptime && d.noUptime {
		return pipeline.Owed{}
	}
	return d.owed
}

// stream waits for the next stream of a list.
func (d *fakeDrain) stream(t testing.TB, list string) *stream {
	t.Helper()
	for {
		select {
		case st := <-d.gained:
			if st.id.List == list {
				return st
			}
		case <-time.After(patience):
			t.Fatalf("list %s was not gained", list)
		}
	}
}

// testLease is short, since some tests wait for its end, and long enough for a busy machine to renew it in time.
const testLease = 1500 * time.Millisecond

func testConfig(addr string) Config {
	c := Defaults()
	c.Addrs = []string{addr}
	c.Claim.Interval = units.Duration(20 * time.Millisecond)
	c.Claim.Lease = units.Duration(testLease)
	return c
}

const (
	tokenA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	tokenB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

func newSource(t testing.TB, cfg Config, token string) *Source {
	t.Helper()
	if ps := cfg.Validate(); len(ps) > 0 {
		t.Fatal(ps)
	}
	s, err := New("main", cfg, Deps{Token: token, Home: "home-" + token[:1], Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func testLog(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// run starts a source; the function it returns ends it, and so does the end of the test.
func run(t testing.TB, s *Source, d pipeline.Drain) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, d) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			t.Error("Run does not end")
		}
	})
	t.Cleanup(stop)
	return stop
}

// claims waits until n claims may be delivered from.
func claims(t testing.TB, st *stream, n int) []pipeline.Claim {
	t.Helper()
	deadline := time.After(patience)
	for {
		cs, changed := st.Claims()
		if len(cs) >= n {
			return cs
		}
		select {
		case <-changed:
		case <-st.Done():
			t.Fatalf("stream closed: %v", st.failed())
		case <-deadline:
			t.Fatalf("%d claims, want %d", len(cs), n)
		}
	}
}

func readAll(t testing.TB, st *stream, c pipeline.Claim, from uint32) (out []pipeline.Element) {
	t.Helper()
	for i := from; i < c.Len; i = from + uint32(len(out)) {
		es, err := st.Read(t.Context(), c.ID, i, 1000, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, es...)
	}
	return out
}

// settleAll settles a whole claim for sinks.
func settleAll(t testing.TB, st *stream, c pipeline.Claim, sinks ...string) {
	t.Helper()
	for _, s := range sinks {
		if err := st.Settle(t.Context(), s, whole(c)); err != nil {
			t.Fatal(err)
		}
	}
}

func whole(c pipeline.Claim) []pipeline.Settled {
	return []pipeline.Settled{{Claim: c.ID, From: 0, To: c.Len, Counts: pipeline.Counts{Effective: uint64(c.Len)}}}
}

// eventually waits until f is true.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if f() {
			return
		}
	}
	t.Fatalf("it never came to pass: %s", what)
}

func closed(t testing.TB, st *stream) {
	t.Helper()
	select {
	case <-st.Done():
	case <-time.After(patience):
		t.Fatal("the stream is not closed")
	}
}

// dialControl makes a control connection of the test's own.
func dialControl(t testing.TB, cfg Config) *control {
	t.Helper()
	d, err := newDialer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c, err := d.control(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

func analytics() list { return lists("analytics-", false)[0] }

// nopConn takes what is written and has nothing to read.
type nopConn struct{ net.Conn }

func (nopConn) Write(b []byte) (int, error)      { return len(b), nil }
func (nopConn) SetWriteDeadline(time.Time) error { return nil }
func (nopConn) Close() error                     { return nil }
