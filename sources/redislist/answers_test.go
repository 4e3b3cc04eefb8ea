package redislist

import (
	"errors"
	"strings"
	"testing"

	"sluice/internal/pipeline"
)

// TestEveryRedisRowDecides: as the server says it, as clients wrap it, and as scripts pass it on.
func TestEveryRedisRowDecides(t *testing.T) {
	for _, want := range answers {
		for _, text := range []string{want.code + want.says + " some words", "connect: " + want.code + want.says + " some words",
			"ERR Error running script: -" + want.code + want.says + " some words"} {
			if got := answerTo(text); got != want {
				t.Errorf("%q is taken for %+v", text, got)
			}
			class, _ := pipeline.Classify(loginError(errors.New(text)))
			if (class == pipeline.FatalError) != (want.action == pipeline.Operator) || denied(text) != (want.action == pipeline.Operator) {
				t.Errorf("%q: class %d", text, class)
			}
			if got := loginError(errors.New(text)).Error(); !strings.Contains(got, want.cure) || !strings.Contains(got, want.text) {
				t.Errorf("%q does not say its cure: %s", text, got)
			}
		}
	}
	for _, text := range []string{"dial tcp: connection refused", "ERR unknown command", "EOF", "XNOAUTHX y", "the list BUSYBODY is gone"} {
		if got := answerTo(text); got != (answer{}) {
			t.Errorf("%q is taken for %+v", text, got)
		}
	}
}
