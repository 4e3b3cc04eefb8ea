package redislist

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"sluice/internal/pipeline"
)

// TestProtocol drives the scripts of two owners against a model in Go that knows nothing of Redis: any order of pushes,
// leases, claims, settles of three sinks in any cut, also into spools and out of them, expiries, crashes, changes of the server's identity, releases, and
// repeats of any earlier script at any later time. After every step the registry is what the model says, the ledger
// balances, and nothing was trimmed that a sink was still owed; at the end everything was settled, each position once a
// sink.
func TestProtocol(t *testing.T) {
	b := newBench(t)
	rapid.Check(t, func(rt *rapid.T) {
		b.r.do("FLUSHALL")
		m := &protocol{b: b, owners: []*pump{{owner: b.a}, {owner: b.b}}, settled: map[string]map[int]bool{}, ledger: map[string]map[string]uint64{},
			spools: map[string]modelSpool{}}
		steps := map[string]func(*rapid.T){
			"":             m.check,
			"push":         m.push,
			"take":         m.take,
			"expire":       m.expire,
			"claim":        m.claim,
			"settle":       m.settle,
			"settle again": m.settle,
			"settle more":  m.settle,
			"spool":        m.spool,
			"spool more":   m.spool,
			"unspool":      m.unspool,
			"repeat":       m.repeat,
			"crash":        m.crash,
			"give back":    m.giveBack,
			"new server":   m.newServer,
			"release sink": m.releaseSink,
			"release home": m.releaseHome,
		}
		for range 4 { // longer runs than a Repeat makes by itself
			rt.Repeat(steps)
		}
		m.finish(rt)
		m.check(rt)
	})
}

type protocol struct {
	b      *bench
	owners []*pump
	pushed int
	live   []int // elements that are not claimed

	exists  bool // the registry
	owner   string
	session string // that leases
	expired bool
	home    string
	n       uint32
	moved   bool // the server's identity is another than the registry knows
	epochs  []pipeline.Epoch

	sessions int // that there were
	claims   []*modelClaim
	spools   map[string]modelSpool

	settled map[string]map[int]bool // by sink
	ledger  map[string]map[string]uint64
	sent    []func(*rapid.T) // scripts, to be sent again
}

type modelClaim struct {
	id       pipeline.ClaimID
	elements []int
	owes     []string
	local    bool
	cursor   map[string]uint32
	open     bool
}

// pump is what an owner remembers.
type pump struct {
	owner
	reg    *registry
	spools map[string]modelSpool
}

// leases tells whether scripts of an owner's session are heard.
func (m *protocol) leases(o owner) bool { return m.owner == o.token && m.session == o.session }

func (m *protocol) ctx() context.Context { return context.Background() }

func (m *protocol) pump(t *rapid.T) *pump { return rapid.SampledFrom(m.owners).Draw(t, "pump") }

func (m *protocol) open() (out []*modelClaim) {
	for _, c := range m.claims {
		if c.open {
			out = append(out, c)
		}
	}
	return out
}

func (m *protocol) find(id pipeline.ClaimID) *modelClaim {
	for _, c := range m.open() {
		if c.id == id {
			return c
		}
	}
	return nil
}

func (m *protocol) push(t *rapid.T) {
	n := rapid.SampledFrom([]int{1, 3, 999, 1000, 1001, 2500}).Draw(t, "n")
	m.b.r.push(m.b.l.name, m.pushed, n)
	for range n {
		m.live = append(m.live, m.pushed)
		m.pushed++
	}
}

func (m *protocol) take(t *rapid.T) {
	p := m.pump(t)
	if rapid.Bool().Draw(t, "connects anew") { // whatever it sent before comes late from now on
		m.sessions++
		p.session = strconv.Itoa(m.sessions)
	}
	reg, _, err := take(m.ctx(), m.b.c, p.owner, m.b.l, newNovelty(pipeline.Epoch{}), true)
	var want error
	switch {
	case !m.exists && len(m.live) == 0:
		want = errIdle
	case m.owner != "" && m.owner != p.token && !m.expired:
		want = &otherError{}
	case len(m.live) == 0 && len(m.open())+len(m.spools) == 0:
		want = errIdle
	case m.home != "" && m.home != p.home:
		want = &homeError{}
	}
	if !sameKind(err, want) {
		t.Fatalf("take answered %v, want %v", err, want)
	}
	if err != nil {
		return
	}
	if !m.exists || m.moved {
		if n := len(m.epochs); n > 0 && (pipeline.ClaimID{Epoch: reg.Epoch}).Compare(pipeline.ClaimID{Epoch: m.epochs[n-1]}) <= 0 {
			t.Fatal("an epoch went back")
		}
		m.epochs = append(m.epochs, reg.Epoch)
	}
	m.exists, m.moved, m.owner, m.session, m.expired = true, false, p.token, p.session, false
	if p.reg == nil || rapid.IntRange(0, 2).Draw(t, "old memory") > 0 {
		p.reg = reg
	}
	if m.home == "" && slices.ContainsFunc(m.open(), func(c *modelClaim) bool { return c.local }) {
		m.home = p.home
	}
}

func (m *protocol) expire(t *rapid.T) {
	if m.owner != "" {
		m.b.r.do("HSET", m.b.l.registry(), "until", "0")
		m.expired = true
	}
}

func (m *protocol) newServer(t *rapid.T) {
	if m.exists {
		m.b.r.do("HSET", m.b.l.registry(), "ids", "another")
		m.moved = true
	}
}

func (m *protocol) crash(t *rapid.T) { m.pump(t).reg = nil }

func (m *protocol) claim(t *rapid.T) {
	p := m.pump(t)
	if p.reg == nil {
		return
	}
	owed := owing(rapid.SampledFrom([][]string{{"x"}, {"x", "y"}, {"local", "x", "y"}, {"local"}}).Draw(t, "owed")...)
	owed.Local = slices.Contains(owed.Sinks, "local")
	id, lineage, o := next(p.reg), p.reg.Lineage, p.owner
	send := func(t *rapid.T) error {
		c, _, err := claim(m.ctx(), m.b.c, o, m.b.l, lineage, id, owed)
		want := m.claimed(o, id, owed)
		if !sameKind(err, want) {
			t.Fatalf("claim %s answered %v, want %v", id, err, want)
		}
		if have := m.find(id); err == nil && int(c.Len) != len(have.elements) {
			t.Fatalf("claim of %d, want %d", c.Len, len(have.elements))
		}
		return err
	}
	m.sent = append(m.sent, func(t *rapid.T) { _ = send(t) })
	switch err := send(t); {
	case err == nil:
		p.reg.N++
		have := m.find(id)
		p.reg.Claims = append(p.reg.Claims, claimEntry{ID: id, Len: uint32(len(have.elements)), Sinks: have.owes, Cursor: map[string]uint32{}})
	case errors.Is(err, errLost), errors.Is(err, errEpoch):
		m.forget(t, p)
	}
}

// forget is what an owner does that was refused, but for one whose later scripts were on their way already.
func (m *protocol) forget(t *rapid.T, p *pump) {
	if rapid.Bool().Draw(t, "forget") {
		p.reg = nil
	}
}

func (m *protocol) settle(t *rapid.T) {
	p := m.pump(t)
	if p.reg == nil {
		return
	}
	sink := rapid.SampledFrom([]string{"x", "y", "local"}).Draw(t, "sink")
	var rs []pipeline.Settled
	for i := range p.reg.Claims {
		c := &p.reg.Claims[i]
		from := c.Cursor[sink]
		if !slices.Contains(c.Sinks, sink) || from >= c.Len {
			continue
		}
		to := c.Len
		if rapid.Bool().Draw(t, "part") {
			to = rapid.Uint32Range(from+1, c.Len).Draw(t, "to")
		}
		dead := rapid.Uint32Range(0, to-from).Draw(t, "dead")
		rs = append(rs, pipeline.Settled{Claim: c.ID, From: from, To: to,
			Counts: pipeline.Counts{Effective: uint64(to - from - dead), DeadLetters: uint64(dead)}})
		if to < c.Len || rapid.Bool().Draw(t, "enough") {
			break
		}
	}
	if len(rs) == 0 {
		return
	}
	lineage, o := p.reg.Lineage, p.owner
	send := func(t *rapid.T) error {
		_, err := settle(m.ctx(), m.b.c, o, m.b.l, lineage, sink, "", rs)
		if want := m.moveCursor(t, o, sink, rs); !sameKind(err, want) {
			t.Fatalf("settle %s %v answered %v, want %v", sink, rs, err, want)
		}
		return err
	}
	m.sent = append(m.sent, func(t *rapid.T) { _ = send(t) })
	if rapid.IntRange(0, 3).Draw(t, "fate") == 0 {
		p.reg = nil // the reply is lost: nothing that was remembered counts
		_ = send(t)
		return
	}
	if send(t) != nil {
		m.forget(t, p)
		return
	}
	for _, r := range rs {
		for i := range p.reg.Claims {
			if p.reg.Claims[i].ID == r.Claim {
				p.reg.Claims[i].Cursor[sink] = r.To
			}
		}
	}
}

func (m *protocol) repeat(t *rapid.T) {
	if len(m.sent) > 0 {
		m.sent[rapid.IntRange(max(0, len(m.sent)-20), len(m.sent)-1).Draw(t, "which")](t)
	}
}

func (m *protocol) giveBack(t *rapid.T) {
	p := m.pump(t)
	var want error
	if !m.leases(p.owner) {
		want = errLost
	}
	if err := giveBack(m.ctx(), m.b.c, p.owner, m.b.l); !sameKind(err, want) {
		t.Fatalf("give back answered %v, want %v", err, want)
	}
	if want == nil {
		m.owner, m.expired = "", false
	}
	m.forget(t, p)
}

func (m *protocol) releaseSink(t *rapid.T) {
	if !m.exists || rapid.IntRange(0, 4).Draw(t, "really") > 0 {
		return
	}
	sink := rapid.SampledFrom([]string{"y", "local"}).Draw(t, "sink")
	var ids []pipeline.ClaimID
	want := uint64(0)
	for _, c := range m.open() {
		if !slices.Contains(c.owes, sink) {
			continue
		}
		ids = append(ids, c.id)
		rest := c.elements[c.cursor[sink]:]
		want += uint64(len(rest))
		m.deliver(t, sink, rest)
		m.book(sink, "filtered", len(rest))
		c.owes = slices.DeleteFunc(slices.Clone(c.owes), func(s string) bool { return s == sink })
		delete(c.cursor, sink)
	}
	if sp, ok := m.spools[sink]; ok {
		n := m.emptySpool(t, sink, sp.to())
		m.book(sink, "filtered", n)
		want += uint64(n)
	}
	m.sweep(false)
	got, err := dropSink(m.ctx(), m.b.c, m.b.l, sink, ids)
	if err != nil || got != want {
		t.Fatalf("released %d, want %d: %v", got, want, err)
	}
}

func (m *protocol) releaseHome(t *rapid.T) {
	if !m.exists || rapid.IntRange(0, 4).Draw(t, "really") > 0 {
		return
	}
	if _, _, err := m.b.c.eval(m.ctx(), dropHomeScript, []string{m.b.l.registry()}, nil); err != nil {
		t.Fatal(err)
	}
	m.home = ""
}
