package fault

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo answers each line with itself and counts them.
func echo(t *testing.T) (addr string, lines *atomic.Int64) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	lines = new(atomic.Int64)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for in := bufio.NewScanner(c); in.Scan(); {
					lines.Add(1)
					if _, err := io.WriteString(c, in.Text()+"\n"); err != nil {
						return
					}
				}
			}()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-ended })
	return ln.Addr().String(), lines
}

func proxied(t *testing.T, target string) (*Proxy, func() net.Conn) {
	t.Helper()
	p, err := NewProxy(target, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p, func() net.Conn {
		c, err := net.Dial("tcp", p.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
}

// ask sends a line and reads what comes back within a short time.
func ask(c net.Conn, line string) (string, error) {
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		return "", err
	}
	_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	return bufio.NewReader(c).ReadString('\n')
}

func TestProxyPassesAndSlowsDown(t *testing.T) {
	addr, _ := echo(t)
	p, dial := proxied(t, addr)
	c := dial()
	if got, err := ask(c, "hello"); got != "hello\n" {
		t.Fatalf("%q, %v", got, err)
	}
	p.Set(Rule{Latency: 50 * time.Millisecond, Drip: 1})
	began := time.Now()
	if got, err := ask(c, "slow"); got != "slow\n" || time.Since(began) < 50*time.Millisecond {
		t.Errorf("%q after %s, %v", got, time.Since(began), err)
	}
}

func TestProxyCutsInMidReply(t *testing.T) {
	addr, lines := echo(t)
	p, dial := proxied(t, addr)
	p.Set(Rule{Cut: 1})
	got, err := ask(dial(), strings.Repeat("x", 500))
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) || len(got) >= 501 {
		t.Errorf("%d bytes and %v, want a part of the reply and the end of the connection", len(got), err)
	}
	if lines.Load() != 1 || p.Hits() != 1 {
		t.Errorf("%d requests arrived, %d hits", lines.Load(), p.Hits())
	}
}

func TestProxyLosesReplies(t *testing.T) {
	addr, lines := echo(t)
	p, dial := proxied(t, addr)
	for _, tt := range []struct {
		rule    Rule
		arrives int64
	}{{Rule{Deaf: true}, 1}, {Rule{Silent: true}, 0}} {
		lines.Store(0)
		p.Set(tt.rule)
		c := dial()
		if got, err := ask(c, "x"); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%+v: %q, %v, want silence", tt.rule, got, err)
		}
		if lines.Load() != tt.arrives {
			t.Errorf("%+v: %d requests arrived, want %d", tt.rule, lines.Load(), tt.arrives)
		}
		p.Set(Rule{})
		if got, err := ask(c, "y"); err == nil {
			t.Errorf("%+v: a connection that lost bytes goes on with %q", tt.rule, got)
		}
		if got, err := ask(dial(), "z"); got != "z\n" {
			t.Errorf("%+v: a new connection: %q, %v", tt.rule, got, err)
		}
	}
}

func TestProxyDeliversLateWhatWasSent(t *testing.T) {
	addr, lines := echo(t)
	p, dial := proxied(t, addr)
	p.Set(Rule{Hold: 100 * time.Millisecond})
	c := dial()
	if _, err := io.WriteString(c, "last words\n"); err != nil {
		t.Fatal(err)
	}
	c.Close()
	time.Sleep(20 * time.Millisecond)
	if lines.Load() != 0 {
		t.Error("a request that is held has arrived")
	}
	for end := time.Now().Add(5 * time.Second); lines.Load() == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a request whose client is gone did not arrive")
		}
	}
}

func TestProxyResets(t *testing.T) {
	addr, _ := echo(t)
	p, dial := proxied(t, addr)
	c := dial()
	if _, err := ask(c, "x"); err != nil {
		t.Fatal(err)
	}
	p.Reset()
	if got, err := ask(c, "x"); err == nil {
		t.Errorf("a connection that was reset answers %q", got)
	}
}

// gated is a gate before a server that counts what it carried out.
func gated(t *testing.T) (g *Gate, done *atomic.Int64) {
	t.Helper()
	done = new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		b, _ := io.ReadAll(q.Body)
		done.Add(1)
		w.Header().Set("X-Host", q.Host)
		_, _ = w.Write(append([]byte("stored "), b...))
	}))
	t.Cleanup(s.Close)
	g, err := NewGate(s.Listener.Addr().String(), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g, done
}

func put(g *Gate, body string) (status int, content string, err error) {
	q, err := http.NewRequest(http.MethodPut, "http://"+g.Addr()+"/x", strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	q.Host = "a.name"
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		return 0, "", err
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	return a.StatusCode, a.Header.Get("X-Host") + a.Header.Get("Retry-After") + " " + string(b), err
}

func TestGate(t *testing.T) {
	g, done := gated(t)
	for _, tt := range []struct {
		name    string
		rule    HTTPRule
		body    string
		status  int // 0: an error of the connection
		content string
		done    int64
	}{
		{"passes", HTTPRule{}, "it", 200, "a.name stored it", 1},
		{"answers itself", HTTPRule{Chance: 1, Status: 429, RetryAfter: 2 * time.Second}, "it", 429, "2 Too Many Requests\n", 0},
		{"denies what was done", HTTPRule{Chance: 1, Status: 500, After: true}, "it", 500, " Internal Server Error\n", 1},
		{"resets before", HTTPRule{Chance: 1}, "it", 0, "", 0},
		{"resets after", HTTPRule{Chance: 1, After: true}, "it", 0, "", 1},
		{"cuts the answer", HTTPRule{Chance: 1, Half: true}, "it", 200, "a.name stor", 1},
		{"refuses the large", HTTPRule{Chance: 1, Status: 413, MaxBody: 3}, "large", 413, " Request Entity Too Large\n", 0},
		{"and takes the small", HTTPRule{Chance: 1, Status: 413, MaxBody: 3}, "it", 200, "a.name stored it", 1},
	} {
		done.Store(0)
		g.Set(tt.rule)
		status, content, err := put(g, tt.body)
		if status != tt.status || content != tt.content || (err != nil) != (tt.status == 0 || tt.rule.Half) {
			t.Errorf("%s: %d %q, %v; want %d %q", tt.name, status, content, err, tt.status, tt.content)
		}
		if done.Load() != tt.done {
			t.Errorf("%s: the server did it %d times, want %d", tt.name, done.Load(), tt.done)
		}
	}
}

func TestGateHitsOnlyWhatItIsToldAndTellsOfIt(t *testing.T) {
	g, done := gated(t)
	g.Watch("stored")
	met := int64(-1)
	for _, tt := range []struct {
		name    string
		rule    HTTPRule
		status  int
		content string
		done    int64
		met     int64 // how often the server had done it when the gate told of it; -1: it did not tell
	}{
		{"another method", HTTPRule{Chance: 1, Status: 500, Method: http.MethodGet}, 200, "a.name stored it", 1, -1},
		{"another path", HTTPRule{Chance: 1, Status: 500, Suffix: "/y"}, 200, "a.name stored it", 1, -1},
		{"an answer of its own", HTTPRule{Chance: 1, Status: 400, Suffix: "/x", Answer: `{"a":1}`}, 400, ` {"a":1}`, 0, 0},
		{"goes its way", HTTPRule{Chance: 1, Pass: true}, 200, "a.name stored it", 1, 0},
		{"told of afterwards", HTTPRule{Chance: 1, Status: 500, After: true}, 500, " Internal Server Error\n", 1, 1},
	} {
		done.Store(0)
		met = -1
		tt.rule.Met = func() { met = done.Load() }
		g.Set(tt.rule)
		status, content, err := put(g, "it")
		if status != tt.status || content != tt.content || done.Load() != tt.done || met != tt.met || err != nil {
			t.Errorf("%s: %d %q, done %d times, met %d, %v", tt.name, status, content, done.Load(), met, err)
		}
	}
	if g.Seen("stored") != 4 {
		t.Errorf("%d answers held the word, want 4", g.Seen("stored"))
	}
	g.Set(HTTPRule{Chance: 1, Status: 500, Only: 2})
	for i, want := range []int{500, 500, 200} {
		if status, _, err := put(g, "it"); status != want || err != nil {
			t.Errorf("request %d of which 2 are hit: %d, %v", i, status, err)
		}
	}
}

func TestProxyRefusesAndMoves(t *testing.T) {
	first, lines := echo(t)
	second, others := echo(t)
	p, dial := proxied(t, first)
	c := dial()
	if _, err := ask(c, "x"); err != nil {
		t.Fatal(err)
	}
	p.Set(Rule{Refuse: true})
	gone := func(c net.Conn) {
		if got, err := ask(c, "x"); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a server that is gone answers %q, %v", got, err)
		}
	}
	gone(c)
	if c, err := net.Dial("tcp", p.Addr()); err == nil { // else it was refused sooner
		defer c.Close()
		gone(c)
	}
	p.Set(Rule{})
	p.Retarget(second)
	if got, err := ask(dial(), "y"); got != "y\n" || lines.Load() != 1 || others.Load() != 1 {
		t.Errorf("%q, %v; the first had %d lines, the second %d", got, err, lines.Load(), others.Load())
	}
}
