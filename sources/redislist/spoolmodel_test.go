package redislist

import (
	"maps"
	"slices"

	"pgregory.net/rapid"

	"sluice/internal/pipeline"
)

// segment is a range of a claim that lies in a spool.
type segment struct {
	claim    pipeline.ClaimID
	from, to uint32
	elements []int
}

func (s segment) start() pipeline.Position { return pipeline.Position{Claim: s.claim, Index: s.from} }
func (s segment) end() pipeline.Position   { return pipeline.Position{Claim: s.claim, Index: s.to} }

// modelSpool is a sink's spool in the model.
type modelSpool struct {
	where    string
	from     pipeline.Position
	segments []segment
}

func (s modelSpool) to() pipeline.Position { return s.segments[len(s.segments)-1].end() }

// spoolOf is where a sink's batches go: those of y lie in a directory.
func spoolOf(sink string, o owner) string {
	if sink == "y" {
		return "dir:" + o.home
	}
	return "s3://bucket/"
}

func (m *protocol) spool(t *rapid.T) {
	p := m.pump(t)
	if p.reg == nil {
		return
	}
	sink := rapid.SampledFrom([]string{"x", "y", "local"}).Draw(t, "sink")
	for i := range p.reg.Claims {
		c := &p.reg.Claims[i]
		from := c.Cursor[sink]
		if !slices.Contains(c.Sinks, sink) || from >= c.Len {
			continue
		}
		to := rapid.Uint32Range(from+1, c.Len).Draw(t, "to")
		if rapid.Bool().Draw(t, "all") {
			to = c.Len
		}
		r := pipeline.Settled{Claim: c.ID, From: from, To: to, Counts: pipeline.Counts{Spooled: uint64(to - from)}}
		lineage, o := p.reg.Lineage, p.owner
		send := func(t *rapid.T) error {
			_, err := settle(m.ctx(), m.b.c, o, m.b.l, lineage, sink, spoolOf(sink, o), []pipeline.Settled{r})
			if want := m.moveToSpool(o, sink, r); !sameKind(err, want) {
				t.Fatalf("spool %s %v answered %v, want %v", sink, r, err, want)
			}
			return err
		}
		m.sent = append(m.sent, func(t *rapid.T) { _ = send(t) })
		if send(t) != nil {
			m.forget(t, p)
			return
		}
		c.Cursor[sink] = to
		return
	}
}

// moveToSpool is what a settle into a spool does to the model.
func (m *protocol) moveToSpool(o owner, sink string, r pipeline.Settled) error {
	where := spoolOf(sink, o)
	c := m.find(r.Claim)
	sp, ok := m.spools[sink]
	switch {
	case !m.leases(o):
		return errLost
	case c == nil:
		return nil
	case !slices.Contains(c.owes, sink):
		return errStale
	case c.cursor[sink] >= r.To:
		return nil
	case c.cursor[sink] != r.From, ok && sp.where != where:
		return errStale
	case sink == "y" && m.home != "" && m.home != o.home:
		return &homeError{}
	}
	s := segment{r.Claim, r.From, r.To, c.elements[r.From:r.To]}
	if !ok {
		sp = modelSpool{where: where, from: s.start()}
	}
	sp.segments = append(slices.Clone(sp.segments), s)
	m.spools[sink] = sp
	c.cursor[sink] = r.To
	m.book(sink, "spooled", len(s.elements))
	if sink == "y" {
		m.home = o.home
	}
	m.sweep(false)
	return nil
}

func (m *protocol) unspool(t *rapid.T) {
	p := m.pump(t)
	if p.reg == nil {
		return
	}
	sink := rapid.SampledFrom([]string{"x", "y", "local"}).Draw(t, "sink")
	if _, fresh := p.spools[sink]; !fresh || rapid.Bool().Draw(t, "read again") {
		p.spools = maps.Clone(m.spools)
	}
	sp, ok := p.spools[sink]
	if !ok {
		return
	}
	var rs []pipeline.Settled
	for _, s := range sp.segments {
		to := s.to
		if rapid.IntRange(0, 3).Draw(t, "part") == 0 {
			to = rapid.Uint32Range(s.from+1, s.to).Draw(t, "to")
		}
		dead := rapid.Uint32Range(0, to-s.from).Draw(t, "dead")
		rs = append(rs, pipeline.Settled{Claim: s.claim, From: s.from, To: to,
			Counts: pipeline.Counts{Effective: uint64(to - s.from - dead), DeadLetters: uint64(dead)}})
		if to < s.to || rapid.Bool().Draw(t, "enough") {
			break
		}
	}
	lineage, o, before := p.reg.Lineage, p.owner, sp.from
	send := func(t *rapid.T) error {
		_, err := unspool(m.ctx(), m.b.c, o, m.b.l, lineage, sink, before, rs)
		if want := m.takeFromSpool(t, o, sink, before, rs); !sameKind(err, want) {
			t.Fatalf("unspool %s %v answered %v, want %v", sink, rs, err, want)
		}
		return err
	}
	m.sent = append(m.sent, func(t *rapid.T) { _ = send(t) })
	if send(t) != nil {
		m.forget(t, p)
	}
	if rapid.Bool().Draw(t, "follow") {
		delete(p.spools, sink)
	}
}

// takeFromSpool is what unspooling does to the model.
func (m *protocol) takeFromSpool(t *rapid.T, o owner, sink string, before pipeline.Position, rs []pipeline.Settled) error {
	end := endOf(rs)
	sp, ok := m.spools[sink]
	switch {
	case !m.leases(o):
		return errLost
	case !ok || end.Compare(sp.from) <= 0:
		return nil
	case sp.from != before || end.Compare(sp.to()) > 0:
		return errStale
	}
	m.emptySpool(t, sink, end)
	for _, r := range rs {
		m.book(sink, "effective", int(r.Counts.Effective))
		m.book(sink, "dead_letters", int(r.Counts.DeadLetters))
	}
	return nil
}

// emptySpool delivers what lies in a spool up to a position, and returns how many elements those are.
func (m *protocol) emptySpool(t *rapid.T, sink string, end pipeline.Position) (n int) {
	sp := m.spools[sink]
	var rest []segment
	for _, s := range sp.segments {
		part := s.elements
		switch {
		case s.start().Compare(end) >= 0:
			rest = append(rest, s)
			continue
		case s.end().Compare(end) > 0:
			part = s.elements[:end.Index-s.from]
			rest = append(rest, segment{s.claim, end.Index, s.to, s.elements[end.Index-s.from:]})
		}
		m.deliver(t, sink, part)
		n += len(part)
	}
	m.ledger[sink]["spooled"] -= uint64(n)
	sp.from, sp.segments = end, rest
	m.spools[sink] = sp
	if len(rest) == 0 {
		delete(m.spools, sink)
		m.sweep(true)
	}
	return n
}

// checkSpools compares what the registry says of spools with the model.
func (m *protocol) checkSpools(t *rapid.T, reg *registry) {
	want := map[string]pipeline.Spooled{}
	for sink, sp := range m.spools {
		want[sink] = pipeline.Spooled{From: sp.from, To: sp.to(), Where: sp.where}
	}
	if !maps.Equal(want, reg.Spools) {
		t.Fatalf("spools %+v, want %+v", reg.Spools, want)
	}
	layout := "1"
	if len(want) > 0 {
		layout = "2"
	}
	if v := m.b.r.str("HGET", m.b.l.registry(), "v"); v != layout {
		t.Fatalf("layout %s with the spools %v", v, want)
	}
}

// finishSpools delivers what is left in spools.
func (m *protocol) finishSpools(t *rapid.T, o owner, lineage string) {
	for sink, sp := range maps.Clone(m.spools) {
		var rs []pipeline.Settled
		for _, s := range sp.segments {
			rs = append(rs, rng(s.claim, s.from, s.to))
		}
		if _, err := unspool(m.ctx(), m.b.c, o, m.b.l, lineage, sink, sp.from, rs); err != nil {
			t.Fatal(err)
		}
		if err := m.takeFromSpool(t, o, sink, sp.from, rs); err != nil {
			t.Fatal(err)
		}
	}
}
