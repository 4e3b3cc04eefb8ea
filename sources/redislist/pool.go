package redislist

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"
)

const (
	poolSize = 4 // more readers than cores only wait for each other
	// readSilence is how long a reader may hear nothing in the midst of a reply.
	readSilence = 10 * time.Second
)

// readPool has the connections that elements are read over, apart from the one that scripts go over, but to the same
// server. It is safe for concurrent use.
type readPool struct {
	dialer *dialer
	addr   string // as the control connection dialled it
	cut    int64
	slots  chan struct{}

	mu     sync.Mutex
	server string // run ID of the control connection's server; empty: not known
	idle   []*readConn
	busy   map[*readConn]struct{}
	closed bool
}

func newReadPool(d *dialer, addr string, cut int64) *readPool {
	return &readPool{dialer: d, addr: addr, cut: cut, slots: make(chan struct{}, poolSize), busy: map[*readConn]struct{}{}}
}

var (
	errPoolClosed = errors.New("the connections are closed")
	// errOtherServer says that the address leads to another server by now than the one that scripts go to.
	errOtherServer = errors.New("the address leads to another server now")
)

// expect says which server the address must lead to.
func (p *readPool) expect(server string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.server = server
}

// get returns a connection that put must be given back. fresh asks for a new one.
func (p *readPool) get(ctx context.Context, fresh bool) (*readConn, error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if c, err := p.fromIdle(fresh); c != nil || err != nil {
		if err != nil {
			<-p.slots
		}
		return c, err
	}
	c, err := p.dialer.readConn(ctx, p.addr, p.cut)
	if err != nil {
		<-p.slots
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		err = errPoolClosed
	case p.server != "" && c.server != unknownServer && c.server != p.server:
		err = errOtherServer
	}
	if err != nil {
		<-p.slots
		return nil, errors.Join(err, c.net.Close())
	}
	p.busy[c] = struct{}{}
	return c, nil
}

func (p *readPool) fromIdle(fresh bool) (*readConn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errPoolClosed
	}
	n := len(p.idle)
	if fresh || n == 0 {
		return nil, nil
	}
	c := p.idle[n-1]
	p.idle = p.idle[:n-1]
	p.busy[c] = struct{}{}
	return c, nil
}

// put takes a connection back; keep says that it is at the start of a reply.
func (p *readPool) put(c *readConn, keep bool) {
	p.mu.Lock()
	delete(p.busy, c)
	if keep = keep && !p.closed && len(p.idle) < poolSize; keep {
		p.idle = append(p.idle, c)
	}
	p.mu.Unlock()
	if !keep {
		_ = c.net.Close()
	}
	<-p.slots
}

// close ends all connections; reads on their way fail.
func (p *readPool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, c := range p.idle {
		_ = c.net.Close()
	}
	for c := range p.busy {
		_ = c.net.Close()
	}
	p.idle = nil
}

// unknownServer stands for the run ID of a server that shows none.
const unknownServer = "unknown"

// readConn is a connection that elements are read over. One goroutine uses it at a time.
type readConn struct {
	net    net.Conn
	r      *respReader
	server string // its run ID, or a word for one that shows none; never empty
}

// silence makes every read of a connection wait for a limited time.
type silence struct{ net.Conn }

func (s silence) Read(b []byte) (int, error) {
	if err := s.SetReadDeadline(time.Now().Add(readSilence)); err != nil {
		return 0, err
	}
	return s.Conn.Read(b)
}

// readConn connects and logs in.
func (d *dialer) readConn(ctx context.Context, addr string, cut int64) (*readConn, error) {
	nc, err := d.conn(ctx, addr, d.tls)
	if err != nil {
		return nil, err
	}
	c := &readConn{net: nc, r: newRespReader(silence{nc}, cut)}
	defer context.AfterFunc(ctx, func() { _ = nc.Close() })()
	if err := d.login(ctx, c); err != nil {
		return nil, errors.Join(fmt.Errorf("log in to Redis: %w", err), nc.Close())
	}
	return c, nil
}

func (d *dialer) login(ctx context.Context, c *readConn) error {
	user, password, err := d.credentials(ctx)
	if err != nil {
		return err
	}
	if err := c.auth(user, password); err != nil {
		return err
	}
	if d.cfg.DB != 0 {
		if err := c.ask("SELECT", strconv.Itoa(d.cfg.DB)); err != nil {
			return err
		}
	}
	return c.identify()
}

// auth logs in, if there is a password.
func (c *readConn) auth(user, password string) error {
	switch {
	case password == "":
		return nil
	case user == "":
		return c.ask("AUTH", password)
	}
	return c.ask("AUTH", user, password)
}

// identify asks which server this is.
func (c *readConn) identify() error {
	if err := c.send(appendCommand(nil, "INFO", "server")); err != nil {
		return err
	}
	c.server = unknownServer
	n, err := c.r.size('$')
	var re replyError
	switch {
	case errors.As(err, &re):
		return nil // embedded: there is but one
	case err != nil:
		return err
	case n < 0 || n > respBuffer:
		return fmt.Errorf("%w: INFO has %d characters", errProtocol, n)
	}
	b, err := c.r.keep(n, 0)
	if err != nil {
		return err
	}
	if id := infoFields(string(b))["run_id"]; id != "" {
		c.server = id
	}
	return c.r.end()
}

// ask sends a command that is answered with OK.
func (c *readConn) ask(args ...string) error {
	if err := c.send(appendCommand(nil, args...)); err != nil {
		return err
	}
	return c.r.status("OK")
}

func (c *readConn) send(b []byte) error {
	if err := c.net.SetWriteDeadline(time.Now().Add(readSilence)); err != nil {
		return err
	}
	_, err := c.net.Write(b)
	return err
}

// appendCommand writes a command as RESP has it.
func appendCommand(b []byte, args ...string) []byte {
	b = append(strconv.AppendInt(append(b, '*'), int64(len(args)), 10), '\r', '\n')
	for _, a := range args {
		b = append(strconv.AppendInt(append(b, '$'), int64(len(a)), 10), '\r', '\n')
		b = append(append(b, a...), '\r', '\n')
	}
	return b
}
