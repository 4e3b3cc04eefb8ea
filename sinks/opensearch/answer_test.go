package opensearch

import (
	"strings"
	"testing"

	"sluice/internal/pipeline"
)

func TestItemFates(t *testing.T) {
	for _, tt := range []struct {
		status       int
		kind, reason string
		want         fate
	}{
		{201, "", "", stored},
		{200, "", "", stored},
		{409, "version_conflict_engine_exception", "document already exists", stored},
		{429, "es_rejected_execution_exception", "queue is full", again},
		{429, "rejected_execution_exception", "", again},
		{429, "circuit_breaking_exception", "", again},
		{503, "unavailable_shards_exception", "", again},
		{500, "", "", again},
		{402, "", "", again},
		{403, "cluster_block_exception", "index [x] blocked by: [FORBIDDEN/12/index read-only]", again},
		{403, "security_exception", "no permissions", again},
		{404, "index_not_found_exception", "no such index", noIndex},
		{404, "something", "", again},
		{400, "mapper_parsing_exception", "failed to parse", hopeless},
		{400, "illegal_argument_exception", "Document contains at least one immense term", hopeless},
		{400, "strict_dynamic_mapping_exception", "", hopeless},
		{413, "", "", hopeless},
		{400, "validation_exception", "this action would add [2] total shards, but this cluster currently has [1000]/[1000] maximum shards open", again},
		{400, "illegal_argument_exception", "no write index is defined for alias [x]", again},
		{400, "illegal_argument_exception", "pipeline with id [x] does not exist", again},
		{400, "illegal_argument_exception", "Document ID is not supported in create/index operation request", again},
		{400, "something_new", "", again},
		{418, "", "", again},
	} {
		r := itemResult{Status: tt.status}
		if tt.kind != "" {
			r.Error = &cause{Type: tt.kind, Reason: tt.reason}
		}
		if got := r.fate(); got != tt.want {
			t.Errorf("%d %s %s: %d, want %d", tt.status, tt.kind, tt.reason, got, tt.want)
		}
	}
	ids := itemResult{Status: 400, Error: &cause{Type: "illegal_argument_exception", Reason: "Document ID is not supported"}}
	if class, _ := pipeline.Classify(ids.err("x")); class != pipeline.FatalError || !strings.Contains(ids.err("x").Error(), "type search") {
		t.Errorf("%v", ids.err("x"))
	}
	if (itemResult{Status: 400}).fate() != again {
		t.Error("a 400 without a reason is no proof")
	}
}

func TestParseBulk(t *testing.T) {
	ok := `{"create":{"status":201}}`
	if r, err := parseBulk([]byte(`{"errors":true,"items":[`+ok+`,{"create":{"status":400,"error":{"type":"a","reason":"b","caused_by":{"type":"c","reason":"d"}}}}]}`), 2); err != nil ||
		r[0].Status != 201 || r[1].Error.String() != "a: b (d)" {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := parseBulk([]byte(`{"items":[{"create":{"status":500,"error":"in words"}}]}`), 1); err != nil || r[0].Error.String() != "in words" {
		t.Errorf("%+v, %v", r, err)
	}
	for _, bad := range []string{``, `{}`, `{"errors":false}`, `{"items":[]}`, `{"items":[` + ok + `,` + ok + `]}`, `{"items":[{}]}`,
		`{"items":[{"index":{"status":201}}]}`, `{"items":[{"create":{}}]}`, `<html>`, `{"items":[` + ok} {
		if r, err := parseBulk([]byte(bad), 1); err == nil {
			t.Errorf("%s was taken: %+v", bad, r)
		}
	}
}

func FuzzParseBulk(f *testing.F) {
	f.Add([]byte(`{"items":[{"create":{"status":201}}]}`), 1)
	f.Add([]byte(`{"items":[{"create":{"status":400,"error":{"type":"a","reason":"b","caused_by":{"caused_by":{}}}}}]}`), 1)
	f.Add([]byte(`{"error":"x","message":"y"}`), 0)
	f.Fuzz(func(t *testing.T, body []byte, n int) {
		n = max(n%1000, 0)
		results, err := parseBulk(body, n)
		if err == nil && len(results) != n {
			t.Fatalf("%d results of %d", len(results), n)
		}
		for _, r := range results {
			r.fate()
			if len(r.Error.String()) > maxReason || r.err("x") == nil {
				t.Fatalf("%+v", r)
			}
		}
		res := response{status: 400, body: body}
		if res.err("x") == nil || len(res.failure().String()) > maxReason {
			t.Fatal("no error")
		}
		res.tooLargeOrBad()
	})
}

func TestReasonsAreBounded(t *testing.T) {
	c := &cause{Type: "x", Reason: strings.Repeat("ü", 5000)}
	for range 100 {
		c = &cause{Type: "x", Reason: "y", CausedBy: c}
	}
	if s := c.String(); len(s) > maxReason {
		t.Errorf("%d bytes", len(s))
	}
	if s := (&cause{Reason: strings.Repeat("ü", 5000)}).String(); len(s) > maxReason {
		t.Errorf("%d bytes", len(s))
	}
	if s := (*cause)(nil).String(); s == "" {
		t.Error("no reason at all")
	}
}
