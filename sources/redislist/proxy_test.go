package redislist

import (
	"bytes"
	"context"
	"net"
	"sluice/internal/pipeline"
	"sync"
	"sync/atomic"
	"testing"
)

// cutter is a proxy that, once armed, lets the next request that holds a word through to the server, waits for the answer,
// and cuts the connection instead of passing it on: what was asked for is done, and nobody knows.
type cutter struct {
	addr   string
	frozen sync.Mutex // while it is held nothing reaches the server
	armed  atomic.Pointer[string]
	cuts   atomic.Int32

	mu       sync.Mutex
	upstream string
	conns    map[net.Conn]bool
}

func newCutter(t testing.TB, upstream string) *cutter {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &cutter{addr: ln.Addr().String(), upstream: upstream, conns: map[net.Conn]bool{}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			up := p.accept(c)
			if up == nil {
				_ = c.Close()
				continue
			}
			var cut atomic.Bool
			wg.Go(func() { p.up(c, up, &cut) })
			wg.Go(func() { p.down(c, up, &cut) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		p.redirect("")
		wg.Wait()
	})
	return p
}

// accept connects to where the proxy leads now; nil if it cannot.
func (p *cutter) accept(c net.Conn) net.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	up, err := net.Dial("tcp", p.upstream)
	if err != nil {
		return nil
	}
	p.conns[c], p.conns[up] = true, true
	return up
}

// redirect leads to another server and cuts all connections.
func (p *cutter) redirect(addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.upstream = addr
	for c := range p.conns {
		_ = c.Close()
	}
	clear(p.conns)
}

func (p *cutter) up(c, up net.Conn, cut *atomic.Bool) {
	defer up.Close()
	b := make([]byte, 1<<20)
	for {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		if w := p.armed.Load(); w != nil && bytes.Contains(b[:n], []byte(*w)) && p.armed.CompareAndSwap(w, nil) {
			cut.Store(true)
		}
		p.frozen.Lock()
		_, err = up.Write(b[:n])
		p.frozen.Unlock()
		if err != nil {
			return
		}
	}
}

func (p *cutter) down(c, up net.Conn, cut *atomic.Bool) {
	defer c.Close()
	b := make([]byte, 1<<20)
	for {
		n, err := up.Read(b)
		if err != nil {
			return
		}
		if cut.Load() {
			p.cuts.Add(1)
			return
		}
		if _, err := c.Write(b[:n]); err != nil {
			return
		}
	}
}

func (p *cutter) arm(word string) { p.armed.Store(&word) }

// work settles whatever comes on a list until stop is closed, as a pipeline would: it begins at the cursors of a claim.
func work(d *fakeDrain, list string, stop <-chan struct{}) {
	for {
		var st *stream
		select {
		case <-stop:
			return
		case st = <-d.gained:
		}
		if st.id.List != list {
			continue
		}
		workOn(st, stop)
	}
}

func workOn(st *stream, stop <-chan struct{}) {
	for {
		cs, changed := st.Claims()
		for _, c := range cs {
			for _, sink := range c.Owes {
				for i := c.Cursor[sink]; i < c.Len; {
					es, err := st.Read(context.Background(), c.ID, i, 700, 1<<20)
					if err == nil {
						to := i + uint32(len(es))
						err = st.Settle(context.Background(), sink, []pipeline.Settled{rng(c.ID, i, to)})
						i = to
					}
					if err != nil {
						if st.failed() != nil {
							return
						}
						i = st.cursor(c.ID, sink)
					}
				}
			}
		}
		select {
		case <-changed:
		case <-st.Done():
			return
		case <-stop:
			return
		}
	}
}

// cursor is where a sink is, as far as the stream knows.
func (st *stream) cursor(id pipeline.ClaimID, sink string) uint32 {
	st.mu.Lock()
	defer st.mu.Unlock()
	if c := st.open[id]; c != nil {
		return c.Cursor[sink]
	}
	return ^uint32(0)
}
