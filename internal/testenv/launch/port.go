package launch

import (
	"fmt"
	"net"
)

// FreePort returns a TCP port of 127.0.0.1 that nothing listens on. Another
// process can take it before the caller does, so whoever starts a server on it
// starts it again on another port when that fails.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	return port, nil
}
