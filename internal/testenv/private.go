package testenv

import (
	"testing"

	"sluice/internal/testenv/launch"
)

// private is what every server that belongs to one test can do. Each method
// fails the test when it cannot do its work, and belongs to the goroutine of
// the test.
type private struct {
	t      testing.TB
	server *launch.Server
}

// own takes a server over for t: it ends with the test, and the end of its log
// is shown when the test failed.
func own(t testing.TB, server *launch.Server, err error) private {
	t.Helper()
	if err != nil {
		t.Fatalf("start a private server: %v", err)
	}
	p := private{t: t, server: server}
	t.Cleanup(func() {
		// A test server is thrown away with its data: no need to wait for an
		// orderly end.
		p.must(server.Kill())
		if t.Failed() {
			t.Logf("the last lines of the server at %s:\n%s", server.Addr, server.Log.LastLines(15))
		}
	})
	return p
}

// Kill ends the server with SIGKILL, as a crash does, and waits until it is gone.
func (p private) Kill() { p.t.Helper(); p.must(p.server.Kill()) }

// Restart starts the server again on the same port and directory, and waits
// until it answers. A server that still runs is stopped first.
func (p private) Restart() {
	p.t.Helper()
	p.must(p.server.Stop())
	p.must(p.server.Start(p.t.Context()))
}

// Pause freezes the server with SIGSTOP: it accepts connections and answers
// nothing, as a machine that hangs does.
func (p private) Pause() { p.t.Helper(); p.must(p.server.Pause()) }

// Continue lets a paused server run on.
func (p private) Continue() { p.t.Helper(); p.must(p.server.Continue()) }

// PID returns the process ID of the server.
func (p private) PID() int { return p.server.Process().PID() }

// Log returns what the server has written since its last start.
func (p private) Log() string { return p.server.Log.String() }

func (p private) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}
