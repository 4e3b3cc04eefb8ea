package launch

import (
	"context"
	"strconv"
)

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
