package testenv

import (
	"testing"

	"sluice/internal/testenv/install"
	"sluice/internal/testenv/launch"
)

// RedisServer is a Redis that belongs to one test.
type RedisServer struct {
	Addr string // host:port, the same after Restart
	private
}

// StartRedis starts a private redis-server on a free port of 127.0.0.1 with an
// empty directory, and ends it with the test. It writes nothing to disk unless
// args say so: after Kill and Restart it is empty, as a Redis without
// persistence is, and "--appendonly", "yes" keeps what was acknowledged.
// Arguments are those of redis-server and win over the defaults.
func StartRedis(t testing.TB, args ...string) *RedisServer {
	t.Helper()
	bin, err := install.RedisServer()
	if err != nil {
		Unavailable(t, "no private Redis: %v", err)
	}
	server, err := launch.Redis(t.Context(), bin, t.TempDir(), args...)
	s := &RedisServer{private: own(t, server, err)}
	s.Addr = server.Addr
	return s
}
