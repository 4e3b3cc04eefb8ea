package launch

import (
	"context"
	"errors"
	"strconv"
)

var errNotReady = errors.New("it has not said that it is ready")

// Redis starts the redis-server (or valkey-server) at bin with its data in dir
// and nothing saved to disk. The arguments in args come last and so win.
func Redis(ctx context.Context, bin, dir string, args ...string) (*Server, error) {
	return redis(ctx, bin, dir, args)
}

// RedisNode starts a redis-server in cluster mode, which belongs to no Cluster
// yet.
func RedisNode(ctx context.Context, bin, dir string, args ...string) (*Server, error) {
	bus, err := FreePort() // by default it is 10,000 above the port, which may be above all ports
	if err != nil {
		return nil, err
	}
	return redis(ctx, bin, dir, append([]string{
		"--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-port", strconv.Itoa(bus),
		"--repl-diskless-sync-delay", "0",
	}, args...))
}

func redis(ctx context.Context, bin, dir string, args []string) (*Server, error) {
	command := func(port int) Command {
		base := []string{
			"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir,
			"--daemonize", "no", "--save", "", "--appendonly", "no",
		}
		return Command{Path: bin, Args: append(base, args...), Dir: dir}
	}
	// The log line is there for TLS and for passwords too, where a PING from
	// here would have to know them, and it comes after the data are loaded.
	ready := func(_ context.Context, s *Server) error {
		if s.Log.Contains("Ready to accept connections") {
			return nil
		}
		return errNotReady
	}
	return startServer(ctx, command, ready)
}
