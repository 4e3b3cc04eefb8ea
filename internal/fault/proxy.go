// Package fault puts faults between a program and the servers it uses. A Proxy knows bytes and fits every protocol; a
// Gate knows HTTP, and can let a server do the work and then deny it.
package fault

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Rule is what a Proxy does to the connections through it. The zero value does nothing to them.
type Rule struct {
	Latency time.Duration // before each piece of a reply
	Hold    time.Duration // before each piece of a request, which arrives though the client is gone meanwhile
	Drip    int           // bytes of a reply that pass at a time, with a short pause after each; 0: all of them
	Silent  bool          // a black hole: what either side sends vanishes
	Deaf    bool          // requests arrive and are carried out, replies vanish
	Cut     float64       // chance for each piece of a reply that it is cut at a random byte and the connection reset
	Refuse  bool          // nothing listens: connections are reset, and new ones at once
}

const (
	pieceSize   = 32 << 10
	dripPause   = 5 * time.Millisecond
	dialTimeout = 5 * time.Second
)

// Proxy passes TCP connections on to a server. Its methods may be called concurrently.
type Proxy struct {
	ln   net.Listener
	work sync.WaitGroup
	hits atomic.Int64

	mu     sync.Mutex
	target string
	rule   Rule
	rnd    *rand.Rand
	links  map[*link]struct{}
	closed bool
}

// link is one connection and its other half.
type link struct {
	client, server net.Conn
	gone           chan struct{}
	once           sync.Once
	doomed         atomic.Bool // bytes are missing in its middle: it cannot go on
}

// NewProxy listens on a free port of 127.0.0.1 for connections to target, which is host:port. Where replies are cut
// follows from the seed.
func NewProxy(target string, seed uint64) (*Proxy, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the proxy of %s: %w", target, err)
	}
	p := &Proxy{target: target, ln: ln, rnd: rand.New(rand.NewPCG(seed, 0xfa017)), links: map[*link]struct{}{}}
	p.work.Add(1)
	go p.accept()
	return p, nil
}

// Addr is host:port to connect to.
func (p *Proxy) Addr() string { return p.ln.Addr().String() }

// Hits is how often a rule has met something so far: connections that were reset or refused, and pieces of requests and
// replies that vanished, were held back or passed slowly.
func (p *Proxy) Hits() int64 { return p.hits.Load() }

// Set replaces the rule. Connections that lost bytes under the last one are reset.
func (p *Proxy) Set(r Rule) {
	p.mu.Lock()
	p.rule = r
	p.mu.Unlock()
	p.resetIf(func(l *link) bool { return r.Refuse || l.doomed.Load() })
}

// Retarget passes what connects from now on to another server, as a name does that has moved, and resets all connections.
func (p *Proxy) Retarget(target string) {
	p.mu.Lock()
	p.target = target
	p.mu.Unlock()
	p.Reset()
}

// Reset resets all connections.
func (p *Proxy) Reset() { p.resetIf(func(*link) bool { return true }) }

func (p *Proxy) resetIf(hit func(*link) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		if hit(l) {
			p.hits.Add(1)
			l.reset()
		}
	}
}

// Close resets all connections, stops listening and waits until nothing of the proxy runs.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	err := p.ln.Close()
	p.Reset()
	p.work.Wait()
	return err
}

func (p *Proxy) accept() {
	defer p.work.Done()
	for {
		client, err := p.ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(dripPause) // out of descriptors, say: others may end meanwhile
			continue
		}
		p.work.Add(1)
		go p.serve(client)
	}
}

func (p *Proxy) serve(client net.Conn) {
	defer p.work.Done()
	target, refused := p.to()
	if refused {
		p.hits.Add(1)
		abort(client)
		return
	}
	server, err := net.DialTimeout("tcp", target, dialTimeout)
	if err != nil {
		abort(client)
		return
	}
	l := &link{client: client, server: server, gone: make(chan struct{})}
	if !p.add(l) {
		l.reset()
		return
	}
	defer p.remove(l)
	p.work.Add(1)
	go func() {
		defer p.work.Done()
		p.requests(l)
	}()
	p.replies(l)
}

// to is where a new connection goes, or that it is refused.
func (p *Proxy) to() (target string, refused bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.target, p.rule.Refuse
}

func (p *Proxy) add(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.rule.Refuse {
		return false
	}
	p.links[l] = struct{}{}
	return true
}

func (p *Proxy) remove(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

// now is the rule, and the byte to cut n bytes of a reply at: -1 for not.
func (p *Proxy) now(n int) (Rule, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n > 0 && p.rule.Cut > 0 && p.rnd.Float64() < p.rule.Cut {
		return p.rule, p.rnd.IntN(n)
	}
	return p.rule, -1
}

func (p *Proxy) requests(l *link) {
	defer l.reset()
	buf := make([]byte, pieceSize)
	for {
		n, err := l.client.Read(buf)
		r, _ := p.now(0)
		if n > 0 && (r.Hold > 0 || r.Silent) {
			p.hits.Add(1)
		}
		if n > 0 && r.Hold > 0 && !l.pause(r.Hold) {
			return
		}
		if r.Silent || l.doomed.Load() && !r.Deaf {
			l.doomed.Store(true)
		} else if _, e := l.server.Write(buf[:n]); e != nil {
			return
		}
		if err != nil {
			return
		}
	}
}

func (p *Proxy) replies(l *link) {
	defer l.reset()
	buf := make([]byte, pieceSize)
	for {
		n, err := l.server.Read(buf)
		r, cut := p.now(n)
		if n > 0 && (r.Silent || r.Deaf || r.Latency > 0 || r.Drip > 0) {
			p.hits.Add(1)
		}
		switch {
		case r.Silent || r.Deaf || l.doomed.Load():
			l.doomed.Store(true)
		case cut >= 0:
			p.hits.Add(1)
			_, _ = l.client.Write(buf[:cut]) // it is reset in any case
			return
		case !l.pass(buf[:n], r):
			return
		}
		if err != nil {
			return
		}
	}
}

// pass hands a piece of a reply on, as slowly as the rule says.
func (l *link) pass(piece []byte, r Rule) bool {
	if r.Latency > 0 && !l.pause(r.Latency) {
		return false
	}
	for len(piece) > 0 {
		n := len(piece)
		if r.Drip > 0 {
			n = min(n, r.Drip)
		}
		if _, err := l.client.Write(piece[:n]); err != nil {
			return false
		}
		if piece = piece[n:]; r.Drip > 0 && !l.pause(dripPause) {
			return false
		}
	}
	return true
}

func (l *link) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-l.gone:
		return false
	}
}

// reset ends both halves; the client sees a reset rather than an orderly end.
func (l *link) reset() {
	l.once.Do(func() {
		close(l.gone)
		abort(l.client)
		abort(l.server)
	})
}

func abort(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // then Close sends RST; where it cannot be set, the end is orderly
	}
	_ = c.Close()
}
