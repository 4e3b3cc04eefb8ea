package launch

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// clusterTries is how often redis-cli is run until it succeeds: right after a
// change nodes disagree for a while.
const clusterTries = 10

// RedisCLI runs the redis-cli at bin until it succeeds, and returns what it
// printed.
func RedisCLI(ctx context.Context, bin string, args ...string) (string, error) {
	for try := 1; ; try++ {
		out, err := exec.CommandContext(ctx, bin, args...).CombinedOutput()
		if err == nil {
			return string(out), nil
		}
		if try == clusterTries || ctx.Err() != nil {
			return "", fmt.Errorf("redis-cli %v: %w\n%s", args, err, out)
		}
		time.Sleep(500 * time.Millisecond)
	}
}

// CreateCluster makes a Cluster of nodes that run, each primary with so many
// replicas, and waits until every node by itself has found that it works.
func CreateCluster(ctx context.Context, cli string, addrs []string, replicas int) error {
	_, err := RedisCLI(ctx, cli, append(append([]string{"--cluster", "create"}, addrs...),
		"--cluster-replicas", strconv.Itoa(replicas), "--cluster-yes")...)
	if err != nil {
		return err
	}
	for _, addr := range addrs {
		host, port, _ := strings.Cut(addr, ":")
		for ok := false; !ok; {
			out, err := RedisCLI(ctx, cli, "-h", host, "-p", port, "cluster", "info")
			if err != nil {
				return err
			}
			if ok = strings.Contains(out, "cluster_state:ok"); !ok {
				time.Sleep(50 * time.Millisecond)
			}
		}
	}
	return nil
}
