package launch

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Log keeps the output of a child. It is an io.Writer for exec.Cmd and may be
// read while the child writes. The zero value keeps everything.
type Log struct {
	// Limit bounds, in bytes, what is kept of an output that may be long: its
	// beginning, which says why a start failed, and its end, which says why a
	// run failed. Zero keeps everything.
	Limit int

	mu      sync.Mutex
	head    []byte
	tail    []byte
	dropped int
}

// Write implements io.Writer. It never fails.
func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.Limit == 0 {
		l.head = append(l.head, b...)
		return len(b), nil
	}
	half, rest := l.Limit/2, b
	if room := half - len(l.head); room > 0 {
		n := min(room, len(rest))
		l.head = append(l.head, rest[:n]...)
		rest = rest[n:]
	}
	l.tail = append(l.tail, rest...)
	// Some slack, so that not every line moves the whole tail.
	if over := len(l.tail) - half; over > half/4 {
		l.tail = append(l.tail[:0], l.tail[over:]...)
		l.dropped += over
	}
	return len(b), nil
}

// String returns what was written, with a note where the middle was left out.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dropped == 0 {
		return string(l.head) + string(l.tail)
	}
	return fmt.Sprintf("%s\n... %d bytes left out ...\n%s", l.head, l.dropped, l.tail)
}

// Reset forgets what was written.
func (l *Log) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.head, l.tail, l.dropped = nil, nil, 0
}

// Contains says whether text is in what was kept.
func (l *Log) Contains(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Contains(l.head, []byte(text)) || bytes.Contains(l.tail, []byte(text))
}

// LastLines returns the last n lines.
func (l *Log) LastLines(n int) string {
	lines := strings.Split(strings.TrimRight(l.String(), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// pollEvery is how often a server that is starting is asked whether it is up.
const pollEvery = 20 * time.Millisecond

// await polls ready until it says yes. It fails when the process ends first or
// the context does, with the end of the server's log.
func await(ctx context.Context, p *Process, log *Log, ready func(context.Context) error) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.Done():
			return fmt.Errorf("%s ended with code %d before it was up:\n%s", p.name, p.ExitCode(), log.LastLines(20))
		case <-ctx.Done():
			return fmt.Errorf("%s is not up: %w (%w):\n%s", p.name, context.Cause(ctx), err, log.LastLines(20))
		case <-tick.C:
		}
	}
}
