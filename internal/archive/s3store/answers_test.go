package s3store

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"sluice/internal/archive"
	"sluice/internal/pipeline"
)

// TestEveryS3RowDecides asks through the SDK for every row, with a pause in seconds and as a date.
func TestEveryS3RowDecides(t *testing.T) {
	for _, want := range answers {
		for _, later := range []string{"7", time.Now().Add(24 * time.Hour).UTC().Format(http.TimeFormat)} {
			status, code := want.status, want.code
			if status == 0 {
				status = 400
			}
			if code == "" {
				code = "NobodyKnowsThis"
			}
			s := storeAt(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", later)
				refuse(w, status, code)
			})
			_, err := s.Get(t.Context(), "k")
			class, after := pipeline.Classify(err)
			if (class == pipeline.FatalError) != (want.action == pipeline.Operator) || errors.Is(err, archive.ErrNotFound) != want.missing {
				t.Errorf("%d %s: class %d, %v", status, code, class, err)
			}
			pause := 7 * time.Second
			if later != "7" {
				pause = 5 * time.Minute
			}
			if want.action != pipeline.RepeatSlow {
				pause = 0
			}
			if after != pause {
				t.Errorf("%d %s, Retry-After %s: after %s", status, code, later, after)
			}
		}
	}
}
