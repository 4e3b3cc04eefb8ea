package sqlite

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/pipeline"
	"sluice/internal/record"
)

func TestTraffic(t *testing.T) {
	s := openSink(t, testConfig(t))
	recs := makeRecords(3000)
	mustWrite(t, s, batchOf(recs, 1, 0, 3000))
	var hits, errs uint64
	for _, r := range recs {
		if r.ResponseCode == -1 {
			continue
		}
		hits++
		if r.ResponseCode >= 400 {
			errs++
		}
	}
	for _, step := range []time.Duration{10 * time.Second, time.Minute, 7 * time.Minute, time.Hour} {
		got, err := s.Traffic(t.Context(), hour, hour.Add(2*time.Hour), step)
		if err != nil {
			t.Fatal(err)
		}
		var points, codes uint64
		var pointErrs uint64
		for i, p := range got.Points {
			points += p.Hits
			pointErrs += p.Errors
			if want := got.From.Add(time.Duration(i) * step); !p.Time.Equal(want) {
				t.Errorf("step %v: point %d is at %v, want %v", step, i, p.Time, want)
			}
		}
		for _, c := range got.Codes {
			codes += c.Hits
		}
		if points != hits || pointErrs != errs || codes != hits {
			t.Errorf("step %v: %d hits, %d errors, %d by code; want %d, %d, %d", step, points, pointErrs, codes, hits, errs, hits)
		}
		if len(got.APIs) != 4 || got.APIs[0].Label != "An API" || got.APIs[0].Hits < got.APIs[3].Hits {
			t.Errorf("step %v: APIs %+v", step, got.APIs)
		}
		if len(got.Keys) != topNames || got.Keys[0].Latency <= 0 {
			t.Errorf("step %v: keys %+v", step, got.Keys)
		}
	}
}

func TestTrafficOfNothingHasItsPoints(t *testing.T) {
	s := openSink(t, testConfig(t))
	got, err := s.Traffic(t.Context(), hour, hour.Add(10*time.Minute), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Points) != 10 || got.Points[9].Hits != 0 || got.APIs == nil {
		t.Errorf("%d points, APIs %v", len(got.Points), got.APIs)
	}
	if _, err := s.Traffic(t.Context(), hour, hour.Add(24*365*time.Hour), time.Second); err == nil {
		t.Error("three million points were not refused")
	}
	if _, err := s.Traffic(t.Context(), hour, hour.Add(-time.Hour), time.Minute); err == nil {
		t.Error("a time that ends before it begins was not refused")
	}
}

func TestTrafficWhileWriting(t *testing.T) {
	s := openSink(t, testConfig(t))
	recs := makeRecords(2000)
	done := make(chan error, 1)
	go func() {
		var last uint64
		for {
			got, err := s.Traffic(t.Context(), hour, hour.Add(2*time.Hour), time.Minute)
			if err != nil {
				done <- err
				return
			}
			if n := total(got); n == last && n >= 1900 {
				done <- nil
				return
			} else {
				last = n
			}
		}
	}()
	for i := uint32(0); i < 2000; i += 100 {
		mustWrite(t, s, batchOf(recs, 1, i, i+100))
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func total(tr pipeline.Traffic) (n uint64) {
	for _, p := range tr.Points {
		n += p.Hits
	}
	return n
}

func TestEndpointNames(t *testing.T) {
	got := map[string]string{}
	for _, path := range []string{
		"/users/42", "/users/42.json", "/v1.2/feed", "/a/9b2e4f00-1c2d-4e5f-8a9b-0c1d2e3f4a5b/b", "/cafe", "/deadbeef",
		"/5e9d9544a1dcd60001d0ed20", "/2026-01-02", "/\x00\xff", "",
	} {
		got[path] = endpoint(&record.Record{Method: "GET", Path: path})
	}
	want := map[string]string{
		"/users/42": "GET /users/{id}", "/users/42.json": "GET /users/{id}.json", "/v1.2/feed": "GET /v1.2/feed",
		"/a/9b2e4f00-1c2d-4e5f-8a9b-0c1d2e3f4a5b/b": "GET /a/{id}/b", "/cafe": "GET /cafe", "/deadbeef": "GET /deadbeef",
		"/5e9d9544a1dcd60001d0ed20": "GET /{id}", "/2026-01-02": "GET /2026-01-02", "/\x00\xff": "GET /␀\uFFFD", "": "GET ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := endpoint(&record.Record{Method: "GET", Path: "/users/42", TrackPath: true}); got != "GET /users/42" {
		t.Errorf("a tracked path was folded: %s", got)
	}
	long := clean(strings.Repeat("ü", 150))
	if len(long) > maxName+3 || strings.Contains(long, "\uFFFD") {
		t.Errorf("a long name became %q", long)
	}
}
