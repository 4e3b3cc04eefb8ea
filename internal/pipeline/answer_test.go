package pipeline

import (
	"errors"
	"net/http"
	"testing"
	"time"
)

func TestParseRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, " 7 ": 7 * time.Second, "300": 5 * time.Minute, "301": 5 * time.Minute,
		"99999999999999999999": 5 * time.Minute, "-1": 0, "1.5": 0, "soon": 0,
		now.Add(90 * time.Second).Format(http.TimeFormat): 90 * time.Second,
		now.Add(48 * time.Hour).Format(http.TimeFormat):   5 * time.Minute,
		now.Add(-time.Hour).Format(http.TimeFormat):       0,
		"Monday, 23-Nov-26 12:00:30 GMT":                  30 * time.Second,
		"Mon Nov 23 12:00:30 2026":                        30 * time.Second,
	} {
		if got := ParseRetryAfter(value, now); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
}

func TestActionsMarkErrors(t *testing.T) {
	for action, want := range map[Action]Class{Repeat: Retryable, RepeatSlow: Retryable, Split: PermanentBatch, DeadRecord: PermanentBatch,
		Operator: FatalError, Action(99): Retryable} {
		class, after := Classify(action.Mark(errors.New("x"), time.Second))
		if class != want || (after != 0) != (action == RepeatSlow) {
			t.Errorf("%s: class %d after %s", action, class, after)
		}
	}
}
