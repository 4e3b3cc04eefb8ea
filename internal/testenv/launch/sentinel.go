package launch

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// MasterName is what Sentinels of WatchingSentinel call the primary.
const MasterName = "tyk"

// WatchingSentinel starts a Sentinel, one of three, that declares the primary
// down after a second without an answer and then promotes one of its replicas.
// Lines are added to its configuration, such as "requirepass secret".
func WatchingSentinel(ctx context.Context, bin, dir, primary string, lines ...string) (*Server, error) {
	host, port, err := net.SplitHostPort(primary)
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf("sentinel monitor %[1]s %[2]s %[3]s 2\nsentinel down-after-milliseconds %[1]s 1000\n"+
		"sentinel failover-timeout %[1]s 5000\nsentinel parallel-syncs %[1]s 1\n%[4]s\n",
		MasterName, host, port, strings.Join(lines, "\n"))
	file := filepath.Join(dir, "sentinel.conf") // a Sentinel writes to it
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return Sentinel(ctx, bin, dir, file)
}

// Sentinel starts the redis-server at bin as a Sentinel with the configuration
// in file, which it changes as it learns.
func Sentinel(ctx context.Context, bin, dir, file string) (*Server, error) {
	command := func(port int) Command {
		return Command{Path: bin, Dir: dir, Args: []string{
			file, "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir, "--daemonize", "no", "--sentinel",
		}}
	}
	ready := func(_ context.Context, s *Server) error {
		if s.Log.Contains("+monitor master") {
			return nil
		}
		return errNotReady
	}
	return startServer(ctx, command, ready)
}
