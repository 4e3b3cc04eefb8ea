package launch

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"syscall"
)

// Ports that FreePort picks from: below those that systems give to outgoing
// connections (32768 and above on Linux, 49152 elsewhere), any of which may
// get such a port as its own end before a server that was to have it, or is
// being restarted on it, listens.
const (
	lowestPort  = 15_000
	highestPort = 32_000
	portTries   = 1_000
)

// FreePort returns a TCP port of 127.0.0.1 that nothing listens on. Another
// process can take it before the caller does, which is one chance in thousands,
// so whoever starts a server on it starts it again on another port when that
// fails.
func FreePort() (int, error) {
	var failed error
	for range portTries {
		port := lowestPort + rand.IntN(highestPort-lowestPort)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if errors.Is(err, syscall.EADDRINUSE) {
			failed = err
			continue
		}
		if err == nil {
			err = l.Close()
		}
		if err != nil {
			return 0, fmt.Errorf("find a free port: %w", err)
		}
		return port, nil
	}
	return 0, fmt.Errorf("find a free port: %w", failed)
}
