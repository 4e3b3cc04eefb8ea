package testenv

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/internal/testenv/install"
	"sluice/internal/testenv/launch"
)

// RedisCluster is a Redis Cluster that belongs to one test.
type RedisCluster struct {
	Addrs []string // host:port of every node, those that begin as primaries first
	Nodes []*RedisServer
	t     testing.TB
	cli   string
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
	c := &RedisCluster{t: t, cli: cli}
	for range 3 * (1 + replicas) {
		server, err := launch.RedisNode(t.Context(), bin, t.TempDir(), args...)
		n := &RedisServer{private: own(t, server, err)}
		n.Addr = server.Addr
		c.Nodes, c.Addrs = append(c.Nodes, n), append(c.Addrs, n.Addr)
	}
	c.CLI(append(append([]string{"--cluster", "create"}, c.Addrs...),
		"--cluster-replicas", strconv.Itoa(replicas), "--cluster-yes")...)
	for _, addr := range c.Addrs { // each by itself has yet to find that it works
		c.await(addr, "cluster_state:ok")
	}
	return c
}

// await waits until a node's CLUSTER INFO has a line.
func (c *RedisCluster) await(addr, line string) {
	c.t.Helper()
	host, port, _ := strings.Cut(addr, ":")
	for end := time.Now().Add(waitLimit); ; time.Sleep(50 * time.Millisecond) {
		out := c.CLI("-h", host, "-p", port, "cluster", "info")
		if strings.Contains(out, line) {
			return
		}
		if time.Now().After(end) {
			c.t.Fatalf("node %s does not say %s:\n%s", addr, line, out)
		}
	}
}

// CLI runs redis-cli until it succeeds: right after a change nodes disagree for
// a while. It returns what it printed.
func (c *RedisCluster) CLI(args ...string) string {
	c.t.Helper()
	for try := 1; ; try++ {
		out, err := exec.CommandContext(c.t.Context(), c.cli, args...).CombinedOutput()
		if err == nil {
			return string(out)
		}
		if try == 10 {
			c.t.Fatalf("redis-cli %v: %v\n%s", args, err, out)
		}
		time.Sleep(500 * time.Millisecond)
	}
}
