package redislist

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"sluice/internal/pipeline"
)

// errBroken is what every call on a connection answers that failed once: what happened to the call is not known.
var errBroken = errors.New("the connection to Redis is broken")

// control is the one connection that a source's scripts, INFO and WAIT go over, so that WAIT covers its writes. It never
// repeats a command and never reconnects: with its first failure it is broken for good. It is safe for concurrent use.
type control struct {
	client rueidis.Client
	conn   rueidis.DedicatedClient
	addr   string        // host:port, as it was dialled
	lines  *lines        // below client and conn
	broken chan struct{} // closed with the first failure

	mu     sync.Mutex
	err    error
	writes atomic.Uint64 // scripts that were answered
}

// do sends a command. ctx is asked before only: a command that is on its way is waited for, since one whose outcome is
// not known breaks the connection. An error is the server's own (see serverError) or the connection is broken.
func (c *control) do(ctx context.Context, cmd rueidis.Completed) (rueidis.RedisMessage, error) {
	r, err := c.doMulti(ctx, cmd)
	if err != nil {
		return rueidis.RedisMessage{}, err
	}
	return r[0].ToMessage()
}

// doMulti sends commands in one round trip. The error is that of the connection; each result has the server's.
func (c *control) doMulti(ctx context.Context, cmds ...rueidis.Completed) ([]rueidis.RedisResult, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c.failed() {
		return nil, c.cause()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commandTimeout)
	defer cancel()
	rs := c.conn.DoMulti(ctx, cmds...)
	for _, r := range rs {
		if err := r.NonRedisError(); err != nil {
			c.fail(err)
			return nil, c.cause()
		}
		// A primary that became a replica or restarts, or a node that has given a slot away, is not where anything
		// remembered counts. ASK, TRYAGAIN and CLUSTERDOWN are of one list or pass by, and are the caller's.
		if err := r.Error(); err != nil && serverError(err, breaking()...) {
			c.fail(err)
			return nil, c.cause()
		}
	}
	return rs, nil
}

func (c *control) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = fmt.Errorf("%w: %w", errBroken, err)
		close(c.broken)
		c.lines.close() // whoever waits for an answer of a server that hangs need not wait longer
	}
}

// lines are the network connections of a client. It is safe for concurrent use.
type lines struct {
	mu     sync.Mutex
	open   []net.Conn
	closed bool
}

func (l *lines) add(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open = append(l.open, c); l.closed {
		_ = c.Close()
	}
}

func (l *lines) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, c := range l.open {
		_ = c.Close()
	}
}

func (c *control) cause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *control) failed() bool {
	select {
	case <-c.broken:
		return true
	default:
		return false
	}
}

// close ends the connection; calls on their way fail.
func (c *control) close() {
	c.fail(errors.New("closed"))
	c.conn.Close()
	c.client.Close()
}

// isPrimary tells whether the server is a primary, as far as it can be seen.
func (c *control) isPrimary(ctx context.Context) bool {
	m, err := c.do(ctx, c.conn.B().Info().Section("replication").Build())
	if err != nil {
		return !c.failed() // what is not allowed is said elsewhere
	}
	text, _ := m.ToString()
	return notPrimary(c.addr, infoFields(text)) == nil
}

// eval runs a script and returns its answer and the number of its write: a WAIT sent later covers it.
func (c *control) eval(ctx context.Context, s *script, keys, args []string) (reply, uint64, error) {
	run := func(cmd, what string) (rueidis.RedisMessage, error) {
		return c.do(ctx, c.conn.B().Arbitrary(cmd, what, strconv.Itoa(len(keys))).Keys(keys...).Args(args...).Build())
	}
	m, err := run("EVALSHA", s.sha)
	if serverError(err, "NOSCRIPT") {
		m, err = run("EVAL", s.body)
	}
	if err != nil {
		return reply{}, 0, fmt.Errorf("script %s: %w", s.name, err)
	}
	all, err := m.ToArray()
	if err != nil || len(all) == 0 {
		return reply{}, 0, fmt.Errorf("script %s: strange answer", s.name)
	}
	return reply{all}, c.writes.Add(1), nil
}

// wait asks until n replicas hold what was written on this connection, at most a second, and returns how many do.
func (c *control) wait(ctx context.Context, n int) (int, error) {
	m, err := c.do(ctx, c.conn.B().Wait().Numreplicas(int64(n)).Timeout(int64(waitTimeout/time.Millisecond)).Build())
	if err != nil {
		return 0, fmt.Errorf("WAIT: %w", err)
	}
	got, err := m.ToInt64()
	return int(got), err
}

// reply is a script's answer: a word, and what goes with it.
type reply struct{ all []rueidis.RedisMessage }

func (r reply) word() string { return r.str(0) }

func (r reply) str(i int) string {
	if i >= len(r.all) {
		return ""
	}
	if n, err := r.all[i].ToInt64(); err == nil {
		return strconv.FormatInt(n, 10)
	}
	s, _ := r.all[i].ToString()
	return s
}

func (r reply) int(i int) int64 {
	n, _ := strconv.ParseInt(r.str(i), 10, 64)
	return n
}

// serverError tells whether the server answered with one of these error codes.
func serverError(err error, codes ...string) bool {
	var re *rueidis.RedisError
	if !errors.As(err, &re) {
		return false
	}
	for _, code := range codes {
		if strings.HasPrefix(re.Error(), code+" ") || re.Error() == code || strings.Contains(re.Error(), "-"+code+" ") {
			return true
		}
	}
	return false
}

// denied tells whether the server says that the user lacks a right.
func denied(msg string) bool { return answerTo(msg).action == pipeline.Operator }
