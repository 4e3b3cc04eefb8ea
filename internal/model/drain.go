package main

import (
	"fmt"
	"math/bits"
)

// Positions are bytes: epoch*64 + claim*8 + index. A cursor or a document's position p means: everything below p.
const (
	unk = 254 // position not known to the pump: read before the next update
	NM  = 3   // update messages in the network
)

type Cfg struct {
	L, R, Claims, Pumps, Faults uint8 // lists, records a list, claims a list, pumps, fault budget
	MongoRollback               bool
	Failover                    bool
	Delete                      string // "", "ttl", "rollup"
	NewSink                     bool   // pump 2 has sink C as well, pump 1 not
	DelayedScripts              bool
	// rules of the design; the planted errors turn them off
	LE, EarlyCursor, NoRefold, Prune, RelTrim, Optimistic, TwoSameExp, LocalRead, NoOwner, CursorSet, CachedBase bool
	NoWait, WaitOnTake, EpochSplit, CurrentEpoch, UpsertOnlyAbsent, TakeUnowed, RollupFence                      bool
	BFast, HandOver, NoReload, Quiet, RollupTomb                                                                 bool
	CAS                                                                                                          bool // a cursor moves only from where the pump believes it
	Fence                                                                                                        bool // a script of before the list was leased anew changes nothing
}

type Claim struct{ ep, num, mask, base, owes, _ uint8 }
type RL struct {
	live, owner, exp, ep, n, pushed, run uint8
	cl                                   [2]Claim
	cur                                  [3]uint8
}
type Doc struct {
	ex   uint8
	pos  [2]uint8
	mask [2]uint8
}
type Msg struct {
	used, pump, live, doc, cov uint8
	exp, set, mask             [2]uint8
}
type Pump struct {
	has, w, flight         uint8
	from, to, bfrom, cfrom [2]uint8
	base                   [2]uint8 // cached offset of the first open claim (CachedBase)
	shift                  [2]uint8
	rd                     [2]uint8    // claims read: bit epoch*4+number
	srv                    [2]uint8    // server run under which the registry was read
	wn                     [2]uint8    // WAIT covers positions below this
	kp                     [2][2]uint8 // [doc][list]
}
type Script struct{ kind, list, claim, arg, from uint8 }
type St struct {
	l, rep    [2]RL
	doc, maj  [2]Doc
	b         [2]uint8
	c         [2]uint8
	cpos      [2]uint8
	cold      [2]uint8 // coarse document after rollup
	gone      [2]uint8
	lost      [2]uint8
	next      [2]uint8
	hist      [2][2][4]uint8
	net       [NM]Msg
	p         [2]Pump
	zs        [2]Script
	srv       uint8
	faults    uint8
	failovers uint8
	dels      uint8
	_         [4]uint8
}

func pos(c Claim, i int) uint8 { return c.ep*64 + c.num*8 + uint8(i) }
func ln(c Claim) int           { return bits.OnesCount8(c.mask) }
func rec(mask uint8, i int) int { // i-th set bit, or -1
	for r := 0; r < 8; r++ {
		if mask>>r&1 == 1 {
			if i == 0 {
				return r
			}
			i--
		}
	}
	return -1
}
func touches(l, r int) int { return (r + l) & 1 }

// at returns the record at a position as the claim's history has it.
func (s *St) at(l int, p uint8, shift uint8) int {
	return rec(s.hist[l][p>>6&1][p>>3&3], int(p&7)+int(shift))
}

func open(q *RL, x uint8) (m uint8) { // open claims that begin below x
	for _, c := range q.cl {
		if c.num != 0 && pos(c, 0) < x {
			m |= 1 << (c.ep&1*4 + c.num)
		}
	}
	return
}

func (k *Cfg) each(s *St, pu *Pump, l int, lo, hi uint8, f func(p uint8, r int)) {
	for e := uint8(0); e < 2; e++ {
		for c := uint8(1); c <= 3; c++ {
			n := bits.OnesCount8(s.hist[l][e][c])
			if pu.rd[l]>>(e*4+c)&1 == 0 {
				continue
			}
			for i := 0; i < n; i++ {
				p := e*64 + c*8 + uint8(i)
				if p >= lo && p < hi {
					if r := s.at(l, p, pu.shift[l]); r >= 0 {
						f(p, r)
					}
				}
			}
		}
	}
}

func (k *Cfg) pending(s *St, pu *Pump, d, l int) (mask uint8) {
	lo := pu.from[l]
	if kp := pu.kp[d][l]; kp != unk && kp > lo && !k.NoRefold {
		lo = kp
	}
	any := false
	k.each(s, pu, l, pu.from[l], pu.to[l], func(p uint8, r int) {
		if touches(l, r) == d {
			if kp := pu.kp[d][l]; kp == unk || kp <= p {
				any = true
			}
			if p >= lo {
				mask |= 1 << r
			}
		}
	})
	if !any {
		return 0
	}
	return
}

func (k *Cfg) settled(s *St, pu *Pump, l int) uint8 {
	out := pu.to[l]
	k.each(s, pu, l, pu.from[l], pu.to[l], func(p uint8, r int) {
		kp := pu.kp[touches(l, r)][l]
		fl := k.Optimistic && pu.flight>>touches(l, r)&1 == 1
		if (kp == unk || kp <= p || fl) && p < out {
			out = p
		}
	})
	if k.EarlyCursor {
		return pu.to[l]
	}
	return out
}

// ends: positions a pump may read up to, from the registry's open claims.
func ends(q *RL, lo uint8, sink uint8, f func(x uint8)) {
	for _, c := range q.cl {
		if c.num == 0 {
			continue
		}
		if c.owes>>sink&1 == 0 {
			continue
		}
		for i := int(c.base) + 1; i <= ln(c); i++ {
			if x := pos(c, i); x > lo {
				f(x)
			}
		}
	}
}

func (k *Cfg) least(q *RL, c Claim) int {
	n := ln(c)
	for sk := uint8(0); sk < 3; sk++ {
		if c.owes>>sk&1 == 0 {
			continue
		}
		cu := q.cur[sk]
		switch {
		case cu >= pos(c, ln(c)):
		case cu <= pos(c, 0):
			n = 0
		default:
			if m := int(cu & 7); m < n {
				n = m
			}
		}
	}
	return n
}

// trim to an absolute index; returns a violation.
func (k *Cfg) trim(s *St, l int, ci int, idx int) string {
	q := &s.l[l]
	c := &q.cl[ci]
	bad := ""
	for i := int(c.base); i < idx && i < ln(*c); i++ {
		r := rec(c.mask, i)
		d := touches(l, r)
		dead := (s.gone[l]|s.cold[l])>>r&1 == 1
		if s.maj[d].mask[l]>>r&1 == 0 && !dead {
			bad = fmt.Sprintf("trim removed record %d of list %d before it was durable in the aggregates", r, l)
		}
		if s.b[l]>>r&1 == 0 {
			bad = fmt.Sprintf("trim removed record %d of list %d before it was in the ID-keyed sink", r, l)
		}
		if c.owes>>2&1 == 1 && s.c[l]>>r&1 == 0 {
			bad = fmt.Sprintf("trim removed record %d of list %d before it was in the added sink", r, l)
		}
	}
	if idx > int(c.base) {
		c.base = uint8(idx)
	}
	if int(c.base) >= ln(*c) {
		q.cl[ci] = Claim{}
		if ci == 0 && q.cl[1].num != 0 {
			q.cl[0], q.cl[1] = q.cl[1], Claim{}
		}
		if k.Prune && q.cl[0].num == 0 {
			for d := range s.doc {
				s.doc[d].pos[l], s.maj[d].pos[l] = 0, 0
			}
		}
	}
	return bad
}

func (k *Cfg) setCursor(s *St, l int, sk int, from, x uint8) string {
	q := &s.l[l]
	if k.CAS && q.cur[sk] != from {
		return "" // stale or repeated: nothing changes
	}
	if x > q.cur[sk] || k.CursorSet {
		q.cur[sk] = x
	}
	// the cursor tells the truth
	for e := uint8(0); e < 2; e++ {
		for c := uint8(1); c <= 3; c++ {
			for i := 0; i < bits.OnesCount8(s.hist[l][e][c]); i++ {
				p := e*64 + c*8 + uint8(i)
				r := s.at(l, p, 0)
				if p >= x || s.lost[l]>>r&1 == 1 || e == 0 && (s.l[l].live|s.hist[l][1][1]|s.hist[l][1][2]|s.hist[l][1][3])>>r&1 == 1 {
					continue
				}
				if sk == 0 && s.maj[touches(l, r)].mask[l]>>r&1 == 0 && (s.gone[l]|s.cold[l])>>r&1 == 0 {
					return fmt.Sprintf("aggregate cursor passed record %d of list %d, which is not durable", r, l)
				}
				if sk == 1 && s.b[l]>>r&1 == 0 {
					return "ID-keyed sink's cursor is ahead of the truth"
				}
			}
		}
	}
	return ""
}

// land executes an update at the server; hit tells whether the filter matched (or the upsert inserted).
func (k *Cfg) land(s *St, m *Msg) (hit bool, bad string) {
	d := &s.doc[m.doc]
	ok := true
	if d.ex == 1 {
		for l := 0; l < 2; l++ {
			if m.cov>>l&1 == 0 {
				continue
			}
			if k.LE {
				ok = ok && d.pos[l] < m.set[l]
			} else {
				ok = ok && d.pos[l] == m.exp[l]
			}
		}
	} else if k.UpsertOnlyAbsent {
		ok = m.exp == [2]uint8{}
	}
	if !ok {
		return false, ""
	}
	d.ex = 1
	for l := 0; l < 2; l++ {
		if m.cov>>l&1 == 0 {
			continue
		}
		d.pos[l] = m.set[l]
		if d.mask[l]&m.mask[l] != 0 {
			bad = fmt.Sprintf("records %b of list %d counted twice in document %d", d.mask[l]&m.mask[l], l, m.doc)
		}
		if s.cold[l]&m.mask[l] != 0 {
			bad = fmt.Sprintf("records %b of list %d counted in the coarse document and again in a revived fine one", s.cold[l]&m.mask[l], l)
		}
		d.mask[l] |= m.mask[l]
	}
	return true, bad
}

func (s *St) put(m Msg) bool {
	for i := range s.net {
		if s.net[i].used == 0 {
			s.net[i] = m
			return true
		}
	}
	return false
}

var cnt = []string{"A", "B", "C"}

func (k *Cfg) Next(s *St, emit func(*St, string, func() string)) {
	e := func(t *St, bad string, f string, a ...any) {
		emit(t, bad, func() string { return fmt.Sprintf(f, a...) })
	}
	L := int(k.L)
	for l := 0; l < L; l++ {
		if s.next[l] < k.R {
			t := *s
			t.l[l].live |= 1 << t.next[l]
			t.next[l]++
			t.l[l].pushed = t.next[l]
			e(&t, "", "gateway pushes record %d to list %d", s.next[l], l)
		}
		if s.l[l].owner != 0 && s.l[l].exp == 0 && s.faults > 0 && k.Pumps > 1 {
			t := *s
			t.l[l].exp = 1
			t.faults--
			e(&t, "", "lease of list %d expires", l)
		}
	}
	for pi := 0; pi < int(k.Pumps); pi++ {
		pu := &s.p[pi]
		me := uint8(pi + 1)
		for l := 0; l < L; l++ {
			q := &s.l[l]
			owned := q.owner == me || k.NoOwner
			if pu.has>>l&1 == 0 {
				if q.owner == 0 || q.owner == me || q.exp == 1 {
					t := *s
					t.l[l].owner, t.l[l].exp = me, 0
					np := &t.p[pi]
					np.has |= 1 << l
					np.from[l], np.to[l], np.bfrom[l] = q.cur[0], q.cur[0], q.cur[1]
					np.cfrom[l] = q.cur[2]
					np.base[l], np.shift[l], np.rd[l], np.srv[l] = q.cl[0].base, 0, 0, s.srv
					if z := t.zs[pi]; k.Fence && z.kind != 0 && int(z.list) == l {
						t.zs[pi] = Script{}
					}
					if k.WaitOnTake {
						np.w &^= 1 << l
					} else {
						np.w |= 1 << l
					}
					e(&t, "", "pump %d leases list %d, reads registry (cursors A %d B %d)", me, l, q.cur[0], q.cur[1])
				}
				continue
			}
			refused := func(what string) {
				t := *s
				t.p[pi].has &^= 1 << l
				e(&t, "", "pump %d's %s of list %d is refused: it drops the list", me, what, l)
			}
			if k.Failover && pu.srv[l] != s.srv && !k.NoReload {
				t := *s
				t.p[pi].has &^= 1 << l
				t.p[pi].wn[l] = 0
				e(&t, "", "pump %d sees its connection break, will read the registry of list %d again", me, l)
			}
			if c := q.cl[0]; k.HandOver && pi == 0 && c.owes>>2&1 == 1 && q.owner == me {
				t := *s
				t.l[l].owner = 0
				t.p[pi].has &^= 1 << l
				e(&t, "", "pump %d lacks an owed sink and gives the lease of list %d back", me, l)
			}
			// epoch
			if k.Failover && q.run != s.srv && (owned) {
				t := *s
				k.newEpoch(&t, l)
				e(&t, "", "pump %d starts a new epoch for list %d", me, l)
			}
			// claim
			if q.live != 0 && q.n < k.Claims && q.cl[1].num == 0 {
				if !owned {
					refused("claim")
				} else {
					t := *s
					if k.Failover && !k.EpochSplit && q.run != s.srv {
						k.newEpoch(&t, l)
					}
					tq := &t.l[l]
					tq.n++
					c := Claim{ep: tq.ep, num: tq.n, mask: tq.live, owes: 3}
					if k.NewSink && pi == 1 {
						c.owes = 7
					}
					i := 0
					if tq.cl[0].num != 0 {
						i = 1
					}
					tq.cl[i] = c
					tq.live = 0
					t.hist[l][c.ep&1][c.num&3] = c.mask
					t.p[pi].w &^= 1 << l
					e(&t, "", "pump %d claims list %d as claim %d of epoch %d, records %b", me, l, c.num, c.ep, c.mask)
				}
			}
			if k.Failover && !k.NoWait && (pu.w>>l&1 == 0 || k.WaitOnTake && owned && (open(q, 255)&^open(q, pu.wn[l])) != 0) {
				t := *s
				t.rep = t.l
				t.p[pi].w |= 1 << l
				for _, c := range q.cl {
					if c.num != 0 && owned {
						t.p[pi].wn[l] = pos(c, 0) + 8
					}
				}
				e(&t, "", "pump %d: WAIT for list %d succeeds", me, l)
			}
			canRead := pu.w>>l&1 == 1 || !k.Failover || k.NoWait
			if canRead {
				view := *q
				if k.CachedBase && view.cl[0].num != 0 {
					view.cl[0].base = pu.base[l]
				}
				ends(&view, pu.to[l], 0, func(x uint8) {
					if k.Failover && k.WaitOnTake && x >= pu.wn[l] {
						return
					}
					t := *s
					np := &t.p[pi]
					if k.CachedBase {
						if np.to[l] > np.from[l] {
							return // memory must be empty: one shift for all of it
						}
						np.shift[l] = 0
						if c := q.cl[0]; c.num == x>>3&7 && c.base > np.base[l] {
							np.shift[l] = c.base - np.base[l]
						}
					}
					np.to[l] = x
					np.rd[l] |= open(q, x)
					e(&t, "", "pump %d reads list %d up to %d for the aggregates", me, l, x)
				})
				ends(q, pu.bfrom[l], 1, func(x uint8) {
					if k.Failover && k.WaitOnTake && x >= pu.wn[l] {
						return
					}
					if k.BFast && owned {
						for _, c := range q.cl {
							if c.num != 0 && x < pos(c, ln(c)) {
								return
							}
						}
					} else if k.BFast {
						return
					}
					t := *s
					k.each(s, &Pump{rd: [2]uint8{open(q, x), open(q, x)}}, l, pu.bfrom[l], x, func(p uint8, r int) {
						if p>>3 == q.cl[0].num+q.cl[0].ep*8 && int(p&7) < int(q.cl[0].base) {
							return
						}
						t.b[l] |= 1 << r
					})
					u := t
					t.p[pi].bfrom[l] = x
					if k.BFast {
						t.l[l].cur[1] = x
					}
					e(&t, "", "pump %d delivers list %d up to %d to B", me, l, x)
					if s.faults > 0 && !k.BFast && u.b != s.b {
						u.faults--
						e(&u, "", "pump %d delivers list %d up to %d to B, reply lost", me, l, x)
					}
				})
				if k.NewSink && pi == 1 {
					sk := uint8(2)
					if k.TakeUnowed {
						sk = 0
					}
					ends(q, pu.cfrom[l], sk, func(x uint8) {
						t := *s
						bad := ""
						k.each(s, &Pump{rd: [2]uint8{open(q, x), open(q, x)}}, l, t.cpos[l], x, func(p uint8, r int) {
							for _, c := range q.cl {
								if c.num == p>>3&7 && c.owes>>sk&1 == 1 && int(p&7) >= int(c.base) {
									if c.owes>>2&1 == 0 {
										bad = "added sink took a record of a claim that does not owe it"
									}
									t.c[l] |= 1 << r
								}
							}
						})
						if x > t.cpos[l] {
							t.cpos[l] = x
						}
						t.p[pi].cfrom[l] = x
						e(&t, bad, "pump %d delivers list %d up to %d to C", me, l, x)
					})
				}
			}
			// cursors
			script := func(kind uint8, claim, from, arg uint8, name string, run func(t *St) string, after func(t *St)) {
				if !owned {
					refused(name)
					return
				}
				t := *s
				bad := run(&t)
				after(&t)
				e(&t, bad, "pump %d: %s list %d to %d", me, name, l, arg)
				if k.DelayedScripts && s.faults > 0 && s.zs[pi].kind == 0 {
					t := *s
					t.faults--
					t.zs[pi] = Script{kind, uint8(l), claim, arg, from}
					e(&t, "", "pump %d sends %s list %d to %d; it times out and may arrive later", me, name, l, arg)
				}
				if k.RelTrim && kind == 4 && s.faults > 0 {
					t := *s
					t.faults--
					bad := run(&t)
					e(&t, bad, "pump %d: %s list %d to %d, reply lost, pump does not know", me, name, l, arg)
				}
			}
			if x := k.settled(s, pu, l); x > pu.from[l] {
				script(1, 0, pu.from[l], x, "cursor A", func(t *St) string { return k.setCursor(t, l, 0, pu.from[l], x) }, func(t *St) {
					if k.CAS && t.l[l].cur[0] < x { // stale: the stream is closed, the registry read again
						t.p[pi].has &^= 1 << l
						return
					}
					t.p[pi].from[l] = x
				})
			}
			if x := pu.bfrom[l]; x > q.cur[1] {
				script(2, 0, q.cur[1], x, "cursor B", func(t *St) string { return k.setCursor(t, l, 1, q.cur[1], x) }, func(t *St) {})
			}
			if x := pu.cfrom[l]; k.NewSink && x > q.cur[2] {
				script(3, 0, q.cur[2], x, "cursor C", func(t *St) string { t.l[l].cur[2] = x; return "" }, func(t *St) {})
			}
			if c := q.cl[0]; c.num != 0 {
				have := int(c.base)
				if k.RelTrim { // what the pump believes
					have = int(pu.base[l])
				}
				if n := k.least(q, c); n > have {
					arg := n
					if k.RelTrim {
						arg = n - int(pu.base[l])
					}
					script(4, c.num, 0, uint8(arg), "trim", func(t *St) string {
						if k.RelTrim {
							return k.trim(t, l, 0, int(t.l[l].cl[0].base)+arg)
						}
						return k.trim(t, l, 0, arg)
					}, func(t *St) {
						if k.CachedBase || k.RelTrim {
							t.p[pi].base[l] = t.l[l].cl[0].base
						}
					})
				}
			}
		}
		// aggregates
		for d := 0; d < 2; d++ {
			fl := pu.flight>>d&1 == 1
			if !fl && (pu.kp[d][0] == unk || pu.kp[d][1] == unk || pu.kp[d] == [2]uint8{}) {
				t := *s
				src := &t.maj[d]
				if k.LocalRead {
					src = &t.doc[d]
				}
				t.p[pi].kp[d] = src.pos
				if t.p[pi].kp != s.p[pi].kp {
					e(&t, "", "pump %d reads positions of document %d: %v", me, d, src.pos)
				}
			}
			if fl && !k.Optimistic && !k.TwoSameExp {
				continue
			}
			var m0 Msg
			pend := [2]uint8{}
			for l := 0; l < L; l++ {
				if pu.has>>l&1 == 1 && pu.kp[d][l] != unk {
					pend[l] = k.pending(s, pu, d, l)
				}
			}
			for cov := uint8(1); cov < 4; cov++ {
				ok := true
				m0 = Msg{used: 1, pump: me, live: 1, doc: uint8(d), cov: cov}
				for l := 0; l < 2; l++ {
					if cov>>l&1 == 1 {
						ok = ok && pend[l] != 0
						m0.exp[l], m0.set[l], m0.mask[l] = pu.kp[d][l], pu.to[l], pend[l]
					}
				}
				if !ok {
					continue
				}
				t := *s
				dup := false
				for _, n := range s.net {
					dup = dup || n == m0
				}
				if dup || !t.put(m0) {
					continue
				}
				t.p[pi].flight |= 1 << d
				if k.Optimistic {
					for l := 0; l < 2; l++ {
						if cov>>l&1 == 1 {
							t.p[pi].kp[d][l] = m0.set[l]
						}
					}
				}
				e(&t, "", "pump %d sends update of document %d: expects %v sets %v, records %b", me, d, m0.exp, m0.set, m0.mask)
			}
		}
		if s.faults > 0 && (pu.has != 0 || pu.flight != 0) {
			t := *s
			t.faults--
			t.p[pi] = Pump{}
			for i := range t.net {
				if t.net[i].pump == me {
					t.net[i].live = 0
				}
			}
			e(&t, "", "pump %d crashes and restarts", me)
		}
		if z := s.zs[pi]; z.kind != 0 {
			t := *s
			t.zs[pi] = Script{}
			bad := ""
			q := &t.l[z.list]
			if q.owner == me || k.NoOwner {
				switch z.kind {
				case 1, 2:
					bad = k.setCursor(&t, int(z.list), int(z.kind-1), z.from, z.arg)
				case 3:
					q.cur[2] = z.arg
				case 4:
					for ci := range q.cl {
						if q.cl[ci].num == z.claim {
							bad = k.trim(&t, int(z.list), ci, int(z.arg))
							break
						}
					}
				}
			}
			if k.CursorSet && !k.Quiet && bad == "" && z.kind <= 2 && q.cur[z.kind-1] < s.l[z.list].cur[z.kind-1] {
				bad = fmt.Sprintf("cursor %s moved back", cnt[z.kind-1])
			}
			e(&t, bad, "pump %d's delayed script arrives: kind %d list %d to %d", me, z.kind, z.list, z.arg)
		}
	}
	// network
	for i := range s.net {
		m := s.net[i]
		if m.used == 0 {
			continue
		}
		if m.live == 0 { // may vanish
			t := *s
			t.net[i] = Msg{}
			e(&t, "", "stale update of pump %d is lost for good", m.pump)
		}
		t := *s
		t.net[i] = Msg{}
		hit, bad := k.land(&t, &m)
		if m.live == 0 {
			if hit {
				e(&t, bad, "stale update of pump %d lands in document %d: sets %v", m.pump, m.doc, m.set)
			}
			continue
		}
		np := &t.p[m.pump-1]
		clear := func(t *St) {
			other := false
			for _, n := range t.net {
				other = other || n.used == 1 && n.live == 1 && n.pump == m.pump && n.doc == m.doc
			}
			if !other {
				t.p[m.pump-1].flight &^= 1 << m.doc
			}
		}
		if hit {
			if s.faults > 0 {
				u := t
				u.faults--
				if k.Optimistic {
					u.p[m.pump-1].kp[m.doc] = [2]uint8{unk, unk}
				}
				clear(&u)
				e(&u, bad, "update of pump %d lands in document %d, reply lost", m.pump, m.doc)
			}
			t.maj = t.doc // w: majority
			for l := 0; l < 2; l++ {
				if m.cov>>l&1 == 1 && (np.kp[m.doc][l] == m.exp[l] || k.Optimistic) {
					np.kp[m.doc][l] = m.set[l]
				}
			}
			clear(&t)
			e(&t, bad, "update of pump %d lands in document %d, acknowledged", m.pump, m.doc)
		} else {
			np.kp[m.doc] = [2]uint8{unk, unk}
			clear(&t)
			e(&t, "", "update of pump %d misses document %d", m.pump, m.doc)
		}
		if s.faults > 0 {
			u := *s
			u.faults--
			u.net[i].live = 0
			if k.Optimistic {
				u.p[m.pump-1].kp[m.doc] = [2]uint8{unk, unk}
			}
			clear(&u)
			e(&u, "", "update of pump %d for document %d times out, still on its way", m.pump, m.doc)
		}
	}
	if s.doc != s.maj {
		t := *s
		t.maj = t.doc
		e(&t, "", "document writes reach the majority")
		if k.MongoRollback && s.faults > 0 {
			t := *s
			t.doc = t.maj
			t.faults--
			e(&t, "", "Mongo rolls back what had not reached the majority")
		}
	}
	if k.Failover && s.failovers == 0 {
		if s.rep != s.l {
			t := *s
			t.rep = t.l
			e(&t, "", "Redis replica catches up")
		}
		t := *s
		t.failovers = 1
		t.srv++
		t.l = t.rep
		for l := 0; l < L; l++ {
			for r := s.rep[l].pushed; r < s.next[l]; r++ {
				t.lost[l] |= 1 << r
			}
		}
		e(&t, "", "Redis fails over to the replica as it was")
	}
	if k.Delete != "" && s.dels == 0 {
		for d := 0; d < 2; d++ {
			if s.doc[d].ex == 0 || s.doc[d] != s.maj[d] {
				continue
			}
			if k.Delete == "rollup" { // never what an open claim may still write
				busy := false
				for l := 0; l < L; l++ {
					busy = busy || s.l[l].cl[0].num != 0 || s.l[l].live != 0
				}
				if busy {
					continue
				}
				if k.RollupFence {
					for _, m := range s.net {
						busy = busy || m.used == 1
					}
					if busy {
						continue
					}
				}
			}
			t := *s
			t.dels = 1
			for l := 0; l < L; l++ {
				if k.Delete == "rollup" {
					t.cold[l] |= t.doc[d].mask[l]
				} else {
					t.gone[l] |= t.doc[d].mask[l]
				}
			}
			t.doc[d], t.maj[d] = Doc{}, Doc{}
			if k.RollupTomb {
				t.doc[d] = Doc{ex: 1, pos: s.doc[d].pos}
				t.maj[d] = t.doc[d]
			}
			e(&t, "", "%s removes document %d", k.Delete, d)
		}
	}
}

func (k *Cfg) newEpoch(t *St, l int) {
	q := &t.l[l]
	q.ep, q.run = q.ep+1, t.srv
	if k.CurrentEpoch { // planted: open claims get the new epoch
		for i := range q.cl {
			if q.cl[i].num != 0 {
				q.cl[i].ep = q.ep
				t.hist[l][q.ep&1][q.cl[i].num&3] = q.cl[i].mask
			}
		}
	}
}

func (k *Cfg) Goal(s *St) bool {
	for l := 0; l < int(k.L); l++ {
		if s.next[l] < k.R || s.l[l].cl[0].num != 0 {
			return false
		}
		if s.l[l].live != 0 && s.l[l].n < k.Claims {
			return false
		}
	}
	return s.doc == s.maj
}

func (k *Cfg) Final(s *St) string {
	for l := 0; l < int(k.L); l++ {
		for r := 0; r < int(k.R); r++ {
			if s.l[l].live>>r&1 == 1 { // the bound on claims, not the protocol, left it
				continue
			}
			in := s.doc[touches(l, r)].mask[l]>>r&1 == 1 || (s.gone[l]|s.cold[l])>>r&1 == 1
			inb := s.b[l]>>r&1 == 1
			if s.lost[l]>>r&1 == 1 {
				continue
			}
			if !in {
				return fmt.Sprintf("at rest, record %d of list %d is not in the aggregates", r, l)
			}
			if !inb {
				return fmt.Sprintf("at rest, record %d of list %d is not in B", r, l)
			}
		}
	}
	return ""
}

func (k Cfg) Sys() Sys[St] {
	kk := &k
	var s St
	s.faults = k.Faults
	return Sys[St]{Init: s, Next: kk.Next, Goal: kk.Goal, Final: kk.Final}
}
