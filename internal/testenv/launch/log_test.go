package launch

import (
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLogKeepsEverythingWithoutLimit(t *testing.T) {
	var log Log
	var want strings.Builder
	for range 10_000 {
		want.WriteString("0123456789\n")
		_, _ = log.Write([]byte("0123456789\n"))
	}
	if log.String() != want.String() {
		t.Fatalf("kept %d bytes of %d", len(log.String()), want.Len())
	}
}

func TestLogKeepsBothEndsWithinLimit(t *testing.T) {
	log := Log{Limit: 1000}
	_, _ = log.Write([]byte("first\n"))
	for range 1000 {
		_, _ = log.Write([]byte("in between\n"))
	}
	_, _ = log.Write([]byte("last\n"))
	if !log.Contains("first") || !log.Contains("last") {
		t.Fatalf("an end is lost:\n%s", log.String())
	}
	if got := len(log.String()); got > 1500 {
		t.Fatalf("kept %d bytes with a limit of 1000", got)
	}
	if got := log.LastLines(2); got != "in between\nlast" {
		t.Fatalf("LastLines(2) = %q", got)
	}
}

func TestLogNotesWhatItLeftOut(t *testing.T) {
	log := Log{Limit: 100}
	_, _ = log.Write([]byte(strings.Repeat("x", 300)))
	if !log.Contains("x") || !strings.Contains(log.String(), "200 bytes left out") {
		t.Fatalf("no note of what was left out:\n%s", log.String())
	}
	log.Reset()
	if log.String() != "" {
		t.Fatalf("after Reset: %q", log.String())
	}
}
