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
				Lists: []pipeline.ListStatus{{Name: "l", Waiting: 3, OpenClaims: 2, OldestAge: 1.5, Suspect: 2, CatchUp: pipeline.NeverCatchesUp}}}},
			Sinks: []pipeline.SinkStatus{{Name: "raw", Type: "mongo-raw", State: "open", Errors: 4, LagRecords: 5,
				Spool: pipeline.SpoolUse{Batches: 3, Bytes: 4096, OldestSeconds: 61}}},
			Letters: []pipeline.LetterCount{{Sink: "*", Cause: "undecodable", N: 6}, {Sink: "raw", Cause: "refused", N: 1}},
			Alarms:  []string{"one", "two"},
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
		`sluice_sink_spool_batches{sink="raw"} 3`, `sluice_sink_spool_bytes{sink="raw"} 4096`, `sluice_sink_spool_oldest_seconds{sink="raw"} 61`,
		`sluice_dead_letters_total{cause="undecodable",sink="*"} 6`, `sluice_dead_letters_total{cause="refused",sink="raw"} 1`,
		`sluice_source_catch_up_seconds{list="l",source="main"} +Inf`,
		`sluice_source_suspect_stretches{list="l",source="main"} 2`, "sluice_alarms 2",
	} {
		if !strings.Contains(w.Body.String(), want+"\n") {
			t.Errorf("%s is missing in\n%s", want, w.Body)
		}
	}
}
