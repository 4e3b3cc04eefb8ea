package opensearch

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"sluice/internal/pipeline"
)

// TestLateRecordsOpenASealedIndex: what retention made read-only takes late records; what an operator did stays shut.
func TestLateRecordsOpenASealedIndex(t *testing.T) {
	s := shared(t)
	c := s.config()
	sink, l := openSink(t, c)
	admin, err := NewAdmin(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	index := s.prefix + "-2026.11.23"
	if r := write(t, sink, sample(1, nil)); len(r.Dead) > 0 {
		t.Fatalf("%+v", r)
	}
	s.must(t, "PUT", "/"+index+"/_mapping", `{"_meta":{"theirs":"stays"}}`)
	for range 2 {
		if err := admin.Seal(t.Context(), index); err != nil {
			t.Fatal(err)
		}
	}
	if status, _ := s.call(t, "PUT", "/"+index+"/_doc/x", `{}`); status != 403 {
		t.Fatalf("a sealed index takes a document: %d", status)
	}
	if r := write(t, sink, sample(1, nil), sample(2, nil), sample(3, nil)); len(r.Dead) > 0 {
		t.Errorf("late records: %+v", r)
	}
	if n := len(s.search(t, "")); n != 3 || !strings.Contains(l.String(), "open again for late records") {
		t.Errorf("%d documents; log: %s", n, l)
	}
	meta, err := admin.client.meta(t.Context(), index)
	if err != nil || meta["theirs"] != "stays" {
		t.Errorf("_meta %v, %v", meta, err)
	}
	if opened, err := admin.Unseal(t.Context(), index); !opened || err != nil {
		t.Errorf("to open what is open: %v, %v", opened, err)
	}

	other := s.prefix + "-2026.11.22"
	old := sample(4, nil)
	old.Record.TimeStamp = old.Record.TimeStamp.AddDate(0, 0, -1)
	s.must(t, "PUT", "/"+other, `{"settings":{"index.blocks.write":true}}`)
	_, err = sink.Write(t.Context(), batch(old, sample(5, nil)))
	var partial *pipeline.PartialError
	if !errors.As(err, &partial) || !slices.Equal(partial.Retry, []int{0}) {
		t.Fatalf("an operator's block is lifted: %v", err)
	}
	if _, after := pipeline.Classify(err); after != blockedWait {
		t.Errorf("it is tried again after %s", after)
	}
	if opened, err := admin.Unseal(t.Context(), other); opened || err != nil {
		t.Errorf("an operator's block: %v, %v", opened, err)
	}
}
