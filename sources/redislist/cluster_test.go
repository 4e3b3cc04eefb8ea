package redislist

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/internal/pipeline"
	"sluice/internal/testenv"
)

func clusterConfig(c *testenv.RedisCluster) Config {
	cfg := testConfig("")
	cfg.Mode, cfg.Addrs = ModeCluster, c.Addrs
	cfg.Username, cfg.Password = "enough", "p"
	return cfg
}

// clusterRig is a Cluster with the means to change it.
type clusterRig struct {
	t *testing.T
	*testenv.RedisCluster
	s *Source // looks, and never runs
}

// nodes are those of a list's slot, the primary first.
func (c *clusterRig) nodes(l list) []clusterNode {
	c.t.Helper()
	var nodes []clusterNode
	eventually(c.t, "the Cluster works", func() bool {
		slots, err := c.s.dialer.topology(c.t.Context())
		if err == nil {
			nodes = slots.owner(slotOf(l.name))
		}
		return len(nodes) > 0
	})
	return nodes
}

func (c *clusterRig) server(addr string) *testenv.RedisServer {
	return c.Nodes[slices.Index(c.Addrs, addr)]
}

// primaryOf is where a gateway pushes to.
func (c *clusterRig) primaryOf(l list) func() (string, error) {
	return func() (string, error) {
		slots, err := c.s.dialer.topology(c.t.Context())
		if err != nil {
			return "", err
		}
		return slots.owner(slotOf(l.name))[0].addr, nil
	}
}

func TestCluster(t *testing.T) {
	t.Parallel()
	rc := testenv.StartRedisCluster(t, 1)
	for _, addr := range rc.Addrs { // all of it with the rights that check asks for, and no others
		grant(dialRedis(t, addr))
	}
	c := &clusterRig{t: t, RedisCluster: rc, s: newSource(t, clusterConfig(rc), tokenB)}
	_ = t.Run("slots", c.testSlots) && // what fails leaves the Cluster in a state that the others do not expect
		t.Run("all lists are drained", c.testAllLists) &&
		t.Run("a slot moves under an open claim", c.testMove) &&
		t.Run("a primary is killed", c.testKill)
}

func grant(r *testRedis) {
	r.do("ACL", "SETUSER", "enough", "on", ">p", "~analytics-*", "~{analytics-*", "~host-checker:*", "~{host-checker:*", "-@all")
	for _, c := range slices.Concat(commands, clusterCommands) {
		r.do("ACL", "SETUSER", "enough", "+"+c)
	}
}

// Keys of ours hash to the slot of their list, as the server counts it.
func (c *clusterRig) testSlots(t *testing.T) {
	r := dialRedis(t, c.Addrs[0])
	for _, l := range append(lists("analytics-", true, "sink"), lists("{tyk}-", false)...) {
		for _, key := range []string{l.name, l.registry(), l.claim(pipeline.ClaimID{}), l.retriedKey()} {
			if want := r.int("CLUSTER", "KEYSLOT", key); want != int64(slotOf(l.name)) {
				t.Errorf("%s is in slot %d, its list in %d", key, want, slotOf(l.name))
			}
		}
	}
}

// Lists of all nodes are drained at once, and what looks or acts once finds each where it is.
func (c *clusterRig) testAllLists(t *testing.T) {
	s, d := newSource(t, clusterConfig(c.RedisCluster), tokenA), newDrain("x")
	o := newOracle(t, "x")
	at := map[string]bool{}
	for _, l := range lists("analytics-", true)[:20] {
		addr := c.nodes(l)[0].addr
		at[addr] = true
		r := dialRedis(t, addr)
		var payloads []string
		for i := range 300 {
			payloads = append(payloads, fmt.Sprint(l.name, i))
		}
		r.do(append([]string{"RPUSH", l.name}, payloads...)...)
		o.pushed(payloads, true)
	}
	if len(at) != 3 {
		t.Fatalf("the lists lie on %d nodes", len(at))
	}
	if idle, _, err := s.Idle(t.Context()); err != nil || idle {
		t.Fatal(idle, err)
	}
	again := []Retry{{Lineage: "lineage", Of: "*", Payload: []byte("again")}}
	for i := range 2 { // once, however often it is asked for
		if n, err := s.Retry(t.Context(), RetryList{Kind: pipeline.Analytics}, again, 0); err != nil || n != 1-i {
			t.Fatal(n, err)
		}
	}
	o.pushed([]string{"again"}, true)
	stop := run(t, s, d)
	o.watch(d)
	o.judge()
	wantDrained(t, s)
	eventually(t, "nothing is left", func() bool { idle, _, err := s.Idle(t.Context()); return err == nil && idle })
	if st := s.Status(); !st.Connected || st.Error != "" || len(st.Lists) != 21 {
		t.Errorf("%+v", st)
	}
	if bad := fails(s.Check(t.Context())); len(bad) > 0 {
		t.Error(bad)
	}
	stop()
}

// A slot moves key by key while its list is drained and pushed to; half-way it stays for a while, as a resharding that was
// broken off does.
func (c *clusterRig) testMove(t *testing.T) {
	l := lists("analytics-", false)[4]
	s, d := newSource(t, clusterConfig(c.RedisCluster), tokenA), newDrain("x")
	o := newOracle(t, "x")
	o.pause = 5 * time.Millisecond
	g := &gateway{o: o, list: l.name, find: c.primaryOf(l)}
	stop := g.traffic("moving", 50, 5*time.Millisecond)
	run(t, s, d)
	o.watch(d)
	eventually(t, "the drain is under way", func() bool { return o.n.Load() > 500 })

	from := c.nodes(l)[0]
	var to clusterNode
	for _, other := range lists("analytics-", false) {
		if n := c.nodes(other)[0]; n.id != from.id {
			to = n
		}
	}
	m := newMover(t, c, slotOf(l.name), from, to)
	m.open()
	eventually(t, "the list is shielded where it is", func() bool {
		here, err := m.from.try("TTL", l.name).AsInt64()
		return err == nil && here > 590 || m.asks("TTL", l.name) > 590
	})
	m.key(l.name) // from now on gateways push to the importing node, and a new list has their TTL
	m.asks("EXPIRE", l.name, "30")
	eventually(t, "the list is shielded on the importing node", func() bool { return m.asks("TTL", l.name) > 590 })
	m.move(1)
	time.Sleep(300 * time.Millisecond)
	m.close()
	before := o.certain()
	eventually(t, "gateways go on", func() bool { return o.certain() > before+500 })
	stop()
	o.judge()
	wantDrained(t, s)
	if now := c.nodes(l)[0]; now.id != to.id {
		t.Fatalf("the slot is at %s", now.addr)
	}
	if reg := dialRedis(t, to.addr).registry(l); reg.Owner != tokenA || reg.N < 2 {
		t.Errorf("%+v", reg)
	}
}

// mover moves a slot as redis-cli does, in steps.
type mover struct {
	t        *testing.T
	slot     string
	c        *clusterRig
	from, to *testRedis
	a, b     clusterNode
}

func newMover(t *testing.T, c *clusterRig, slot uint16, from, to clusterNode) *mover {
	return &mover{t: t, c: c, slot: strconv.Itoa(int(slot)), from: dialRedis(t, from.addr), to: dialRedis(t, to.addr), a: from, b: to}
}

func (m *mover) open() {
	m.to.do("CLUSTER", "SETSLOT", m.slot, "IMPORTING", m.a.id)
	m.from.do("CLUSTER", "SETSLOT", m.slot, "MIGRATING", m.b.id)
}

// asks asks the importing node for a number.
func (m *mover) asks(args ...string) int64 {
	conn, release := m.to.c.Dedicate()
	defer release()
	rs := conn.DoMulti(m.t.Context(), conn.B().Asking().Build(), conn.B().Arbitrary(args...).Build())
	n, _ := rs[1].AsInt64()
	return n
}

// move moves up to n keys and tells whether there were any.
func (m *mover) move(n int) bool {
	keys, err := m.from.try("CLUSTER", "GETKEYSINSLOT", m.slot, strconv.Itoa(n)).AsStrSlice()
	if err != nil {
		m.t.Fatal(err)
	}
	for _, k := range keys {
		m.key(k)
	}
	return len(keys) > 0
}

// key moves one key, if it is there.
func (m *mover) key(name string) {
	host, port, err := net.SplitHostPort(m.b.addr)
	if err != nil {
		m.t.Fatal(err)
	}
	m.from.do("MIGRATE", host, port, name, "0", "5000")
}

func (m *mover) close() {
	for m.move(10) {
	}
	m.to.do("CLUSTER", "SETSLOT", m.slot, "NODE", m.b.id)
	m.from.do("CLUSTER", "SETSLOT", m.slot, "NODE", m.b.id)
}

// A primary is killed in the midst of a drain and its replica takes over. Nothing is delivered from it before it has a
// replica of its own: the shard had one. Lists of other nodes go on as soon as the Cluster is whole.
func (c *clusterRig) testKill(t *testing.T) {
	l := analytics()
	s, d := newSource(t, clusterConfig(c.RedisCluster), tokenA), newDrain("x")
	o := newOracle(t, "x")
	o.pause = 10 * time.Millisecond
	g := &gateway{o: o, list: l.name, find: c.primaryOf(l)}
	g.wait.Store(1)
	stop := g.traffic("before", 50, 5*time.Millisecond)
	run(t, s, d)
	o.watch(d)
	eventually(t, "the drain is under way", func() bool { return o.n.Load() > 1000 })
	nodes := c.nodes(l)
	killed := c.server(nodes[0].addr)
	killed.Kill()
	eventually(t, "the replica is promoted", func() bool {
		addr, err := c.primaryOf(l)()
		return err == nil && addr == nodes[1].addr
	})
	stop()
	eventually(t, "the pump is there", func() bool { return s.Status().Connected })
	had := o.n.Load()
	time.Sleep(1500 * time.Millisecond)
	if n := o.n.Load(); n > had {
		t.Errorf("%d records were delivered without a replica", n-had)
	}
	killed.Restart()
	grant(dialRedis(t, killed.Addr))
	before := o.certain()
	stop = g.traffic("after", 50, 5*time.Millisecond)
	eventually(t, "gateways go on", func() bool { return o.certain() > before+300 })
	stop()
	o.judge()
	wantDrained(t, s)
	if reg := dialRedis(t, nodes[1].addr).registry(l); !strings.Contains(reg.IDs, ":") || reg.Owner != tokenA {
		t.Errorf("%+v", reg)
	}
}
