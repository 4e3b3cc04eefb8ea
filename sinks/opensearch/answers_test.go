package opensearch

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"sluice/internal/pipeline"
)

// cause of a row: what OpenSearch would say for it to fit.
func (r rule) cause() *cause {
	if r.kind == "" {
		return nil
	}
	return &cause{Type: r.kind, Reason: "some words", CausedBy: &cause{Reason: "because " + r.says}}
}

// TestEveryItemRowDecides: no row is hidden behind one before it, and what is done is what it says.
func TestEveryItemRowDecides(t *testing.T) {
	for _, want := range itemAnswers {
		if got := itemAnswers.find(want.status, want.cause()); got != want {
			t.Errorf("%+v is never met: %+v is", want, got)
		}
		r := itemResult{Status: want.status, Error: want.cause()}
		class, after := pipeline.Classify(r.err("i"))
		switch f := r.fate(); {
		case (f == stored) != (want.action == pipeline.Done), (f == hopeless) != (want.action == pipeline.DeadRecord):
			t.Errorf("%+v: fate %d", want, f)
		case (class == pipeline.FatalError) != (want.action == pipeline.Operator), (after > 0) != (want.action == pipeline.RepeatSlow):
			t.Errorf("%+v: class %d after %s", want, class, after)
		}
	}
	for _, r := range []itemResult{{Status: 400}, {Status: 400, Error: &cause{Type: "never_heard_of_exception"}}, {Status: 500}, {Status: 404}, {Status: 302}} {
		if r.fate() != again {
			t.Errorf("%+v is not repeated", r)
		}
	}
}

func TestEveryRequestRowDecides(t *testing.T) {
	for _, want := range requestAnswers {
		if got := requestAnswers.find(want.status, want.cause()); got != want {
			t.Errorf("%+v is never met: %+v is", want, got)
		}
		body := []byte("no JSON")
		if want.kind != "" {
			var err error
			if body, err = json.Marshal(map[string]any{"error": map[string]any{"type": want.kind, "reason": want.says}}); err != nil {
				t.Fatal(err)
			}
		}
		res := response{status: want.status, body: body, header: http.Header{}}
		if res.denied() != (want.action == pipeline.Operator) || res.tooLargeOrBad() != (want.action == pipeline.Split) {
			t.Errorf("%+v: denied %v, split %v", want, res.denied(), res.tooLargeOrBad())
		}
		for _, later := range []string{"9999", time.Now().Add(24 * time.Hour).UTC().Format(http.TimeFormat)} {
			res.header.Set("Retry-After", later)
			if _, after := pipeline.Classify(res.err("x")); after.Minutes() != 5 {
				t.Errorf("%+v: Retry-After %s becomes %s", want, later, after)
			}
		}
	}
	if res := (response{status: 400, body: []byte(`{"error":{"type":"never_heard_of_exception"}}`)}); res.tooLargeOrBad() || res.denied() {
		t.Error("what nobody knows is not repeated")
	}
	if class, _ := pipeline.Classify(errors.New("reset")); class != pipeline.Retryable {
		t.Error("the network")
	}
}
