package redislist

import (
	"errors"
	"fmt"
	"slices"
	"sluice/internal/pipeline"
	"sluice/internal/record"
	"time"

	"pgregory.net/rapid"
)

// claimed is what a claim does to the model.
func (m *protocol) claimed(o owner, id pipeline.ClaimID, owed pipeline.Owed) error {
	switch {
	case !m.leases(o):
		return errLost
	case m.moved || id.Epoch != m.epochs[len(m.epochs)-1]:
		return errEpoch
	case m.find(id) != nil:
		return nil
	case id.Number != m.n+1:
		return errLost
	case owed.Local && m.home != "" && m.home != o.home:
		return &homeError{}
	case len(m.live) == 0:
		return errNothing
	}
	m.claims = append(m.claims, &modelClaim{id: id, elements: m.live, owes: owed.Sinks, local: owed.Local, open: true, cursor: map[string]uint32{}})
	for _, s := range owed.Sinks {
		m.book(s, "taken", len(m.live))
	}
	m.live, m.n = nil, m.n+1
	if owed.Local {
		m.home = o.home
	}
	return nil
}

func (m *protocol) book(sink, column string, n int) {
	if m.ledger[sink] == nil {
		m.ledger[sink] = map[string]uint64{}
	}
	m.ledger[sink][column] += uint64(n)
}

// moveCursor is what a settle does to the model.
func (m *protocol) moveCursor(t *rapid.T, o owner, sink string, rs []pipeline.Settled) error {
	if !m.leases(o) {
		return errLost
	}
	passed := 0
	for _, r := range rs {
		c := m.find(r.Claim)
		if c == nil || c.cursor[sink] >= r.To && slices.Contains(c.owes, sink) {
			passed++
		} else if !slices.Contains(c.owes, sink) || c.cursor[sink] != r.From {
			return errStale
		}
	}
	if passed == len(rs) {
		return nil
	}
	if _, spooled := m.spools[sink]; passed > 0 || spooled {
		return errStale
	}
	for _, r := range rs {
		c := m.find(r.Claim)
		m.deliver(t, sink, c.elements[r.From:r.To])
		c.cursor[sink] = r.To
		m.book(sink, "effective", int(r.Counts.Effective))
		m.book(sink, "dead_letters", int(r.Counts.DeadLetters))
	}
	m.sweep(false)
	return nil
}

// deliver books that a sink is done with elements, each once.
func (m *protocol) deliver(t *rapid.T, sink string, elements []int) {
	if m.settled[sink] == nil {
		m.settled[sink] = map[int]bool{}
	}
	for _, e := range elements {
		if m.settled[sink][e] {
			t.Fatalf("element %d was settled twice for %s", e, sink)
		}
		m.settled[sink][e] = true
	}
}

func (c *modelClaim) least() uint32 {
	n := uint32(len(c.elements))
	for _, s := range c.owes {
		n = min(n, c.cursor[s])
	}
	return n
}

// sweep closes what is finished; emptied: a spool was.
func (m *protocol) sweep(emptied bool) {
	_, local := m.spools["y"]
	finished := emptied
	for _, c := range m.open() {
		if int(c.least()) == len(c.elements) {
			c.open, finished = false, true
		} else {
			local = local || c.local
		}
	}
	if finished && !local {
		m.home = ""
	}
}

// check compares Redis with the model.
func (m *protocol) check(t *rapid.T) {
	if n := m.b.r.int("LLEN", m.b.l.name); int(n) != len(m.live) {
		t.Fatalf("%d elements wait, want %d", n, len(m.live))
	}
	if !m.exists {
		return
	}
	v, err := readListAndClaims(m.ctx(), m.b.c, m.b.l)
	if err != nil {
		t.Fatal(err)
	}
	a := v.audit(m.b.l, time.Now())
	if len(a.Strange) > 0 {
		t.Fatal(a.Strange)
	}
	if v.reg.Owner != m.owner || v.reg.Home != m.home || v.reg.N != m.n || len(v.reg.Claims) != len(m.open()) {
		t.Fatalf("the registry is %+v, the model %+v", v.reg, m)
	}
	m.checkSpools(t, v.reg)
	shapes := map[string]bool{}
	for i, c := range m.open() {
		got := v.reg.Claims[i]
		off := c.least() - c.least()%record.Span
		if got.ID != c.id || int(got.Len) != len(c.elements) || got.Offset > off || !slices.Equal(got.Sinks, c.owes) || got.Local != c.local {
			t.Fatalf("claim %+v, want %+v", got, c)
		}
		for _, s := range c.owes {
			if got.Cursor[s] != c.cursor[s] {
				t.Fatalf("cursor of %s is %d, want %d", s, got.Cursor[s], c.cursor[s])
			}
		}
		if first := m.b.r.str("LINDEX", m.b.l.claim(c.id), "0"); first != payload(c.elements[got.Offset]) {
			t.Fatalf("claim %s begins with %s, want %s", c.id, first, payload(c.elements[got.Offset]))
		}
		shapes[got.Key] = true
	}
	if len(v.reg.Shapes) != len(shapes) {
		t.Fatalf("shapes %v are kept, %v are referred to", v.reg.Shapes, shapes)
	}
	keys := m.b.r.do("KEYS", "*")
	names, _ := keys.AsStrSlice()
	if want := 1 + len(m.open()) + min(1, len(m.live)); len(names) != want {
		t.Fatalf("%d keys, want %d: %v", len(names), want, names)
	}
	for sink, cols := range m.ledger {
		for col, n := range cols {
			if got := v.reg.Ledger[sink][col]; got != n {
				t.Fatalf("%s of %s is %d, want %d", col, sink, got, n)
			}
		}
	}
}

// finish lets one pump do all that is left.
func (m *protocol) finish(t *rapid.T) {
	m.releaseAll(t)
	for round := 0; m.exists && len(m.open())+len(m.live)+len(m.spools) > 0; round++ {
		m.expire(t)
		o := m.owners[0].owner
		reg, _, err := take(m.ctx(), m.b.c, o, m.b.l, newNovelty(pipeline.Epoch{}), true)
		if err != nil || round > 3 {
			t.Fatalf("round %d: %v", round, err)
		}
		if m.moved {
			m.epochs = append(m.epochs, reg.Epoch)
		}
		m.moved, m.owner, m.session, m.expired = false, o.token, o.session, false
		if slices.ContainsFunc(m.open(), func(c *modelClaim) bool { return c.local }) {
			m.home = o.home
		}
		m.finishSpools(t, o, reg.Lineage)
		for _, c := range m.open() {
			if c.local {
				m.home = o.home
			}
			for _, s := range c.owes {
				n := uint32(len(c.elements))
				if c.cursor[s] == n {
					continue
				}
				rs := []pipeline.Settled{rng(c.id, c.cursor[s], n)}
				if _, err := settle(m.ctx(), m.b.c, o, m.b.l, reg.Lineage, s, "", rs); err != nil {
					t.Fatal(err)
				}
				if err := m.moveCursor(t, o, s, rs); err != nil {
					t.Fatal(err)
				}
			}
		}
		if len(m.live) > 0 {
			id := next(reg)
			if _, _, err := claim(m.ctx(), m.b.c, o, m.b.l, reg.Lineage, id, owing("x")); err != nil {
				t.Fatal(err)
			}
			if err := m.claimed(o, id, owing("x")); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range m.claims {
		if c.open {
			t.Fatalf("claim %s is left", c.id)
		}
		for _, s := range c.owes {
			for _, e := range c.elements {
				if !m.settled[s][e] {
					t.Fatalf("element %d was never settled for %s", e, s)
				}
			}
		}
	}
}

func (m *protocol) releaseAll(t *rapid.T) {
	if m.exists {
		m.b.r.do("HDEL", m.b.l.registry(), "home")
		m.home = ""
	}
}

func sameKind(got, want error) bool {
	if got == nil || want == nil {
		return got == nil && want == nil
	}
	if errors.Is(got, want) {
		return true
	}
	return fmt.Sprintf("%T", got) == fmt.Sprintf("%T", want) && fmt.Sprintf("%T", got) != fmt.Sprintf("%T", errors.New(""))
}
