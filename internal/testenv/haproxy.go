package testenv

import (
	"testing"

	"sluice/internal/testenv/install"
	"sluice/internal/testenv/launch"
)

// StartHAProxy starts an HAProxy in front of Redis servers, which leads to the
// one that is the primary, and returns its host:port. It ends with the test.
func StartHAProxy(t testing.TB, servers ...string) string {
	t.Helper()
	bin, err := install.HAProxy()
	if err != nil {
		Unavailable(t, "no HAProxy: %v", err)
	}
	server, err := launch.HAProxy(t.Context(), bin, t.TempDir(), servers...)
	own(t, server, err)
	return server.Addr
}
