package metrics

import (
	"net/http/httptest"
	"strings"
	"testing"

	"sluice/internal/pipeline"
)

func TestMetricsAreTheStatus(t *testing.T) {
	h := Handler(func() pipeline.Status {
		return pipeline.Status{
			Ready: true,
			Sources: []pipeline.SourceStatus{{Name: "main", Connected: true, Taken: 12,
				Lists: []pipeline.ListStatus{{Name: "l", Waiting: 3, OpenClaims: 2, OldestAge: 1.5}}}},
			Sinks: []pipeline.SinkStatus{{Name: "raw", Type: "mongo-raw", State: "open", Errors: 4, LagRecords: 5}},
			Ledger: pipeline.Ledger{Taken: 12, Balanced: true,
				Sinks: map[string]pipeline.Counts{"raw": {Effective: 7, Pending: 5}}},
		}
	})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		"sluice_ready 1", "sluice_ledger_balanced 1", "sluice_ledger_taken_records_total 12",
		`sluice_ledger_records{outcome="pending",sink="raw"} 5`, `sluice_sink_up{sink="raw",type="mongo-raw"} 0`,
		`sluice_source_waiting_records{list="l",source="main"} 3`, `sluice_sink_lag_records{sink="raw"} 5`,
		`sluice_source_oldest_claim_age_seconds{list="l",source="main"} 1.5`,
	} {
		if !strings.Contains(w.Body.String(), want+"\n") {
			t.Errorf("%s is missing in\n%s", want, w.Body)
		}
	}
}
