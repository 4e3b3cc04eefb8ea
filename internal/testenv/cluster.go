package testenv

import (
	"context"
	"testing"

	"sluice/internal/testenv/install"
	"sluice/internal/testenv/launch"
)

// RedisCluster is a Redis Cluster that belongs to one test.
type RedisCluster struct {
	Addrs []string // host:port of every node, those that begin as primaries first
	Nodes []*RedisServer
}

// StartRedisCluster starts a Cluster of three primaries, each with so many
// replicas, which takes some seconds. A node that does not answer for two
// seconds is replaced by its replica. Arguments are those of redis-server.
func StartRedisCluster(t testing.TB, replicas int, args ...string) *RedisCluster {
	t.Helper()
	bin, err := install.RedisServer()
	if err != nil {
		Unavailable(t, "no private Redis Cluster: %v", err)
	}
	cli, err := install.RedisCLI()
	if err != nil {
		Unavailable(t, "no private Redis Cluster: %v", err)
	}
	c := &RedisCluster{}
	for range 3 * (1 + replicas) {
		server, err := launch.RedisNode(t.Context(), bin, t.TempDir(), args...)
		n := &RedisServer{private: own(t, server, err)}
		n.Addr = server.Addr
		c.Nodes, c.Addrs = append(c.Nodes, n), append(c.Addrs, n.Addr)
	}
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	if err := launch.CreateCluster(ctx, cli, c.Addrs, replicas); err != nil {
		t.Fatal(err)
	}
	return c
}
