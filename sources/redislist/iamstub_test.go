package redislist

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"sluice/internal/testenv"
)

// cache stands before a Redis as ElastiCache does: who logs in with a token that is signed and not older than 15 minutes is let in, by its
// clock, and after 12 hours every connection is cut.
type cache struct {
	t        *testing.T
	l        net.Listener
	upstream string
	creds    aws.CredentialsProvider
	ahead    atomic.Int64 // of the clock, in nanoseconds

	mu     sync.Mutex
	tokens map[string]int // accepted, and how often
	open   map[net.Conn]bool
	wg     sync.WaitGroup
}

func newCache(t *testing.T, upstream string, creds aws.CredentialsProvider) *cache {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cache{t: t, l: l, upstream: upstream, creds: creds, tokens: map[string]int{}, open: map[net.Conn]bool{}}
	c.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.wg.Go(func() { c.serve(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		c.cut()
		c.wg.Wait()
	})
	return c
}

func (c *cache) now() time.Time {
	return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(time.Duration(c.ahead.Load()))
}

// cut ends all connections.
func (c *cache) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.open {
		conn.Close()
	}
}

func (c *cache) serve(conn net.Conn) {
	defer conn.Close()
	up, err := net.Dial("tcp", c.upstream)
	if err != nil {
		return
	}
	defer up.Close()
	c.mu.Lock()
	c.open[conn] = true
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.open, conn)
		c.mu.Unlock()
	}()
	in := bufio.NewReader(conn)
	args, err := command(in)
	if err != nil {
		return
	}
	if len(args) != 3 || !strings.EqualFold(args[0], "AUTH") || args[1] != "sluice" {
		c.t.Errorf("a connection begins with %q", args)
		return
	}
	now := c.now()
	if made, err := madeAt(args[2]); err != nil || now.Sub(made) >= tokenLife {
		_, _ = io.WriteString(conn, "-WRONGPASS invalid username-password pair or user is disabled.\r\n")
		return
	}
	verifyIAM(c.t, args[2], c.creds, now)
	c.mu.Lock()
	c.tokens[args[2]]++
	c.mu.Unlock()
	if _, err := io.WriteString(conn, "+OK\r\n"); err != nil {
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.Copy(up, in); up.Close() })
	_, _ = io.Copy(conn, up)
	conn.Close()
	wg.Wait()
}

// madeAt is the time that a token names.
func madeAt(token string) (time.Time, error) {
	u, err := url.Parse("http://" + token)
	if err != nil {
		return time.Time{}, err
	}
	return time.Parse("20060102T150405Z", u.Query().Get("X-Amz-Date"))
}

// command reads one command in RESP.
func command(in *bufio.Reader) ([]string, error) {
	var n int
	if _, err := fmt.Fscanf(in, "*%d\r\n", &n); err != nil {
		return nil, err
	}
	args := make([]string, n)
	for i := range args {
		var size int
		if _, err := fmt.Fscanf(in, "$%d\r\n", &size); err != nil {
			return nil, err
		}
		b := make([]byte, size+2)
		if _, err := io.ReadFull(in, b); err != nil {
			return nil, err
		}
		args[i] = string(b[:size])
	}
	return args, nil
}

// TestDrainThroughIAM: every connection logs in with a token that the service takes, also when it cut the earlier ones after their 12 hours,
// and the drain goes on.
func TestDrainThroughIAM(t *testing.T) {
	srv := testenv.StartRedis(t)
	creds := credentials.NewStaticCredentialsProvider("AKID", "secret", "session")
	c := newCache(t, srv.Addr, creds)
	cfg := testConfig(c.l.Addr().String())
	cfg.IAM = IAMConfig{Enabled: true, CacheName: "cache", User: "sluice"} // TLS, which it asks for, is before the stub
	s, err := New("main", cfg, Deps{Token: tokenA, Home: "home", Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	s.dialer.token.clock = c.now
	s.dialer.token.load = func(context.Context) (aws.Config, error) {
		return aws.Config{Region: "eu-west-1", Credentials: creds}, nil
	}
	d, r, l := newDrain("x"), dialRedis(t, srv.Addr), analytics()
	run(t, s, d)
	for i := range 3 {
		r.push(l.name, 10*i, 10)
		eventually(t, "records are claimed", func() bool { return r.int("LLEN", l.name) == 0 })
		c.ahead.Add(int64(12 * time.Hour))
		c.cut()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.tokens) < 3 {
		t.Errorf("%d tokens in 24 hours, want one for each life of the connections", len(c.tokens))
	}
}
