package launch

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// HAProxy starts the haproxy at bin in front of Redis servers: connections go
// to the one that says it is the primary, and are closed when it is not any
// more, as Redis's documentation of Sentinel and HAProxy's tcp-check have it.
func HAProxy(ctx context.Context, bin, dir string, servers ...string) (*Server, error) {
	command := func(port int) Command {
		file := filepath.Join(dir, "haproxy.cfg")
		// What cannot be written makes haproxy fail with the file's name.
		_ = os.WriteFile(file, []byte(haproxyConfig(port, servers)), 0o600)
		return Command{Path: bin, Args: []string{"-f", file, "-db"}, Dir: dir}
	}
	ready := func(ctx context.Context, s *Server) error { // it says nothing when it is
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Addr)
		if err != nil {
			return errNotReady
		}
		return c.Close()
	}
	return startServer(ctx, command, ready)
}

func haproxyConfig(port int, servers []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `global
  maxconn 500
defaults
  mode tcp
  timeout connect 2s
  timeout client 1h
  timeout server 1h
listen redis
  bind 127.0.0.1:%d
  option tcp-check
  tcp-check send "info replication\r\n"
  tcp-check expect string role:master
  default-server inter 200ms fall 2 rise 1 on-marked-down shutdown-sessions
`, port)
	for i, s := range servers {
		fmt.Fprintf(&b, "  server redis%d %s check\n", i, s)
	}
	return b.String()
}
