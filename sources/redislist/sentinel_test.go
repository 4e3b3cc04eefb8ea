package redislist

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
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
	know(t, s, replica.Addr)
	return primary, replica, s
}

// know waits until each Sentinel knows the replica and the others.
func know(t *testing.T, s *testenv.Sentinels, replica string) {
	t.Helper()
	_, port, err := net.SplitHostPort(replica)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range s.Each {
		eventually(t, "each Sentinel knows the replica and the others", func() bool {
			return strings.Contains(one.Log(), "+slave slave 127.0.0.1:"+port) && strings.Count(one.Log(), "+sentinel sentinel") == 2
		})
	}
}

// The primary is killed in the midst of a drain, and the Sentinels promote its replica: each record has one effect.
func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	primary, replica, sentinels := withSentinels(t)
	failOver(t, sentinelConfig(sentinels), primary, replica, func(s *testenv.RedisServer) string { return s.Addr })
}

// failOver kills the primary in the midst of a drain; named is what Sentinels call a server.
func failOver(t *testing.T, cfg Config, primary, replica *testenv.RedisServer, named func(*testenv.RedisServer) string) {
	t.Helper()
	cfg.Claim.WaitReplicas = 1
	s, d := newSource(t, cfg, tokenA), newDrain("x")
	o := newOracle(t, "x")
	o.pause = 10 * time.Millisecond
	find := func() (string, error) {
		addr, err := s.dialer.primary(t.Context())
		if addr == named(replica) {
			return replica.Addr, err
		}
		return primary.Addr, err
	}
	g := &gateway{o: o, list: analytics().name, find: find}
	g.wait.Store(1)
	stop := g.traffic("before", 100, 5*time.Millisecond)
	run(t, s, d)
	o.watch(d)
	eventually(t, "the drain is under way", func() bool { return o.n.Load() > 2000 })
	primary.Kill()
	eventually(t, "the replica is promoted", func() bool {
		addr, err := s.dialer.primary(t.Context())
		return err == nil && addr == named(replica)
	})
	stop()
	had := o.n.Load()
	time.Sleep(time.Second) // the promoted one has no replica, which is asked for
	if n := o.n.Load(); n > had {
		t.Errorf("%d records were delivered without a replica", n-had)
	}
	primary.Restart() // empty, and made the replica before the Sentinels come to it
	host, port, err := net.SplitHostPort(named(replica))
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

// secured are the settings of a server that takes TLS on a port of its own, and speaks TLS with the others.
func secured(t *testing.T, cert, key, authorities string) (addr string, settings [][2]string) {
	t.Helper()
	port := strconv.Itoa(testenv.FreePort(t))
	return "127.0.0.1:" + port, [][2]string{{"tls-port", port}, {"tls-cert-file", cert}, {"tls-key-file", key}, {"tls-ca-cert-file", authorities},
		{"tls-auth-clients", "no"}, {"tls-replication", "yes"}}
}

// Sentinels and servers have certificates of different authorities, logins of their own, and speak TLS with each other. Nothing is
// mixed up, and the drain goes on over a failover.
func TestSentinelTLS(t *testing.T) {
	t.Parallel()
	cert, key := certificate(t)
	sentinelCert, sentinelKey := certificate(t)
	both := filepath.Join(t.TempDir(), "authorities.pem")
	var pems []byte
	for _, f := range []string{cert, sentinelCert} {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		pems = append(pems, b...)
	}
	if err := os.WriteFile(both, pems, 0o600); err != nil {
		t.Fatal(err)
	}
	var pair []*testenv.RedisServer
	at := map[string]string{} // by plain address
	for range 2 {
		addr, settings := secured(t, cert, key, both)
		args := []string{"--repl-diskless-sync-delay", "0"}
		for _, s := range settings {
			args = append(args, "--"+s[0], s[1])
		}
		if len(pair) > 0 {
			args = append(args, "--replicaof", strings.Replace(at[pair[0].Addr], ":", " ", 1))
		}
		s := testenv.StartRedis(t, args...)
		pair, at[s.Addr] = append(pair, s), addr
		grant(dialRedis(t, s.Addr))
	}
	primary, replica := pair[0], pair[1]
	eventually(t, "the replica is in sync", func() bool { return onlineReplicas(dialRedis(t, primary.Addr).str("INFO", "replication")) == 1 })
	var addrs []string
	sentinels := testenv.StartEachSentinel(t, at[primary.Addr], func(int) []string {
		addr, settings := secured(t, sentinelCert, sentinelKey, both)
		addrs = append(addrs, addr)
		lines := []string{"requirepass hush"}
		for _, s := range settings {
			lines = append(lines, s[0]+" "+s[1])
		}
		return lines
	})
	know(t, sentinels, at[replica.Addr])

	cfg := sentinelConfig(sentinels)
	cfg.Addrs = addrs
	cfg.Username, cfg.Password, cfg.Sentinel.Password = "enough", "p", "hush"
	cfg.TLS = TLSConfig{Enabled: true, CAFile: cert}
	cfg.Sentinel.TLS = TLSConfig{Enabled: true, CAFile: sentinelCert}
	if bad := fails(newSource(t, cfg, tokenA).Check(t.Context())); len(bad) > 0 {
		t.Fatal(bad)
	}
	for what, change := range map[string]func(*Config){
		"the servers' authority for Sentinels": func(c *Config) { c.Sentinel.TLS.CAFile = cert },
		"the Sentinels' authority for servers": func(c *Config) { c.TLS.CAFile = sentinelCert },
		"Sentinels without TLS":                func(c *Config) { c.Sentinel.TLS = TLSConfig{} },
		"servers without TLS":                  func(c *Config) { c.TLS = TLSConfig{} },
		"the servers' login for Sentinels":     func(c *Config) { c.Sentinel.Username, c.Sentinel.Password = c.Username, c.Password },
		"the Sentinels' login for servers":     func(c *Config) { c.Username, c.Password = "", c.Sentinel.Password },
	} {
		bad := cfg
		change(&bad)
		if found := fails(newSource(t, bad, tokenA).Check(t.Context())); len(found) == 0 {
			t.Errorf("%s: all is well", what)
		}
	}
	failOver(t, cfg, primary, replica, func(s *testenv.RedisServer) string { return at[s.Addr] })
}
