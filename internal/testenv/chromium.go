package testenv

import (
	"testing"

	"sluice/internal/testenv/install"
	"sluice/internal/testenv/launch"
)

// Chromium returns the path of a browser that speaks the DevTools protocol.
func Chromium(t testing.TB) string {
	t.Helper()
	path, err := install.Chromium()
	if err != nil {
		Unavailable(t, "no browser: %v", err)
	}
	return path
}

// FreePort returns a TCP port of 127.0.0.1 that nothing listens on. Somebody
// may take it before the caller does: where a program can pick a port itself,
// let it.
func FreePort(t testing.TB) int {
	t.Helper()
	port, err := launch.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}
