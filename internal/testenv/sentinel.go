package testenv

import (
	"net"
	"testing"

	"sluice/internal/testenv/install"
	"sluice/internal/testenv/launch"
)

// StartRedisReplica starts a Redis that copies another one. It has not caught
// up yet when this returns. Arguments are those of redis-server.
func StartRedisReplica(t testing.TB, primary *RedisServer, args ...string) *RedisServer {
	t.Helper()
	host, port, err := net.SplitHostPort(primary.Addr)
	if err != nil {
		t.Fatal(err)
	}
	return StartRedis(t, append([]string{"--replicaof", host + " " + port}, args...)...)
}

// Sentinels are three Redis Sentinels that belong to one test and watch one
// primary.
type Sentinels struct {
	Addrs  []string // host:port
	Master string   // the name of the primary
	Each   []*RedisServer
}

// StartSentinels starts three Sentinels that declare the primary down after a
// second without an answer and then promote one of its replicas. Lines are
// added to the configuration of each, such as "requirepass secret".
func StartSentinels(t testing.TB, primary *RedisServer, lines ...string) *Sentinels {
	t.Helper()
	return StartEachSentinel(t, primary.Addr, func(int) []string { return lines })
}

// StartEachSentinel is StartSentinels for a primary that Sentinels reach at
// addr, with lines of its own for each of them, counted from 0.
func StartEachSentinel(t testing.TB, addr string, lines func(i int) []string) *Sentinels {
	t.Helper()
	bin, err := install.RedisServer()
	if err != nil {
		Unavailable(t, "no private Sentinel: %v", err)
	}
	s := &Sentinels{Master: launch.MasterName}
	for i := range 3 {
		server, err := launch.WatchingSentinel(t.Context(), bin, t.TempDir(), addr, lines(i)...)
		one := &RedisServer{private: own(t, server, err)}
		one.Addr = server.Addr
		s.Each = append(s.Each, one)
		s.Addrs = append(s.Addrs, server.Addr)
	}
	return s
}
