package redislist

import (
	"net"
	"strings"
	"testing"
	"time"

	"sluice/internal/pipeline"
	"sluice/internal/testenv"
)

func sentinelConfig(s *testenv.Sentinels) Config {
	c := testConfig("")
	c.Mode, c.Addrs, c.MasterName = ModeSentinel, s.Addrs, s.Master
	return c
}

// withSentinels starts a primary with a replica in sync and three Sentinels that know both.
func withSentinels(t *testing.T, lines ...string) (primary, replica *testenv.RedisServer, s *testenv.Sentinels) {
	t.Helper()
	primary, replica, _ = withReplica(t)
	s = testenv.StartSentinels(t, primary, lines...)
	_, port, err := net.SplitHostPort(replica.Addr)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range s.Each {
		eventually(t, "each Sentinel knows the replica and the others", func() bool {
			return strings.Contains(one.Log(), "+slave slave 127.0.0.1:"+port) && strings.Count(one.Log(), "+sentinel sentinel") == 2
		})
	}
	return primary, replica, s
}

// The primary is killed in the midst of a drain, and the Sentinels promote its replica: each record has one effect.
func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	primary, replica, sentinels := withSentinels(t)
	cfg := sentinelConfig(sentinels)
	cfg.Claim.WaitReplicas = 1
	s, d := newSource(t, cfg, tokenA), newDrain("x")
	o := newOracle(t, "x")
	o.pause = 10 * time.Millisecond
	g := &gateway{o: o, list: analytics().name, find: func() (string, error) { return s.dialer.primary(t.Context()) }}
	g.wait.Store(1)
	stop := g.traffic("before", 100, 5*time.Millisecond)
	run(t, s, d)
	o.watch(d)
	eventually(t, "the drain is under way", func() bool { return o.n.Load() > 2000 })
	primary.Kill()
	eventually(t, "the replica is promoted", func() bool {
		addr, err := s.dialer.primary(t.Context())
		return err == nil && addr == replica.Addr
	})
	stop()
	had := o.n.Load()
	time.Sleep(time.Second) // the promoted one has no replica, which is asked for
	if n := o.n.Load(); n > had {
		t.Errorf("%d records were delivered without a replica", n-had)
	}
	primary.Restart() // empty, and made the replica before the Sentinels come to it
	host, port, err := net.SplitHostPort(replica.Addr)
	if err != nil {
		t.Fatal(err)
	}
	dialRedis(t, primary.Addr).do("REPLICAOF", host, port)
	before := o.certain()
	stop = g.traffic("after", 100, 5*time.Millisecond)
	eventually(t, "gateways go on", func() bool { return o.certain() > before+500 })
	stop()
	o.judge()
	wantDrained(t, s)
}

// A primary that is cut off from its Sentinels is left when they name another one, though it answers and takes writes.
func TestSentinelsNameAnotherPrimary(t *testing.T) {
	t.Parallel()
	primary, replica, sentinels := withSentinels(t)
	cfg := sentinelConfig(sentinels)
	cfg.Claim.WaitReplicas = 0
	s, d := newSource(t, cfg, tokenA), newDrain("x")
	r, l := dialRedis(t, primary.Addr), analytics()
	r.push(l.name, 0, 10)
	run(t, s, d)
	st := d.stream(t, l.name)
	if st.se.c.addr != primary.Addr {
		t.Fatal(st.se.c.addr)
	}
	primary.Pause() // the connection stays open, without a word
	eventually(t, "the replica is promoted", func() bool {
		addr, err := s.dialer.primary(t.Context())
		return err == nil && addr == replica.Addr
	})
	st2 := d.stream(t, l.name)
	if st2.se.c.addr != replica.Addr {
		t.Fatal(st2.se.c.addr)
	}
	closed(t, st)
	primary.Continue()
}

// Sentinels have a password of their own, and what is wrong about them is said.
func TestSentinelLogin(t *testing.T) {
	t.Parallel()
	_, _, sentinels := withSentinels(t, "requirepass hush")
	cfg := sentinelConfig(sentinels)
	cfg.Sentinel.Password = "hush"
	if bad := fails(newSource(t, cfg, tokenA).Check(t.Context())); len(bad) > 0 {
		t.Error(bad)
	}
	for password, want := range map[string]string{"": "set sentinel.password", "wrong-one": "refuses sentinel.username"} {
		cfg.Sentinel.Password = password
		err := newSource(t, cfg, tokenA).Run(t.Context(), newDrain("x"))
		if class, _ := pipeline.Classify(err); class != pipeline.FatalError || !strings.Contains(err.Error(), want) ||
			strings.Contains(err.Error(), "wrong-one") {
			t.Errorf("password %q: %v", password, err)
		}
	}
}
