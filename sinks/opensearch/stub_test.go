package opensearch

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/internal/pipeline"
	"sluice/internal/record"
)

// request is one that the stub got, its body unpacked.
type request struct {
	method, path string
	header       http.Header
	host         string
	wire         []byte // the body as it came
	lines        []string
}

// stub is a cluster that answers as a test asks. By default it stores everything.
type stub struct {
	*httptest.Server
	mu   sync.Mutex
	bulk []request
	all  []request
	// answer may answer a request itself; false leaves it to the stub.
	answer func(w http.ResponseWriter, r request) bool
}

func newStub(t *testing.T, answer func(w http.ResponseWriter, r request) bool) (*stub, Config) {
	t.Helper()
	s := &stub{answer: answer}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	c := Defaults()
	c.URLs = []string{s.URL}
	return s, c
}

func (s *stub) serve(w http.ResponseWriter, r *http.Request) {
	wire, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client hung up
	}
	req := request{method: r.Method, path: r.URL.Path, header: r.Header, host: r.Host, wire: wire}
	plain := wire
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(bytes.NewReader(wire))
		if err == nil {
			plain, err = io.ReadAll(z)
		}
		if err != nil {
			w.WriteHeader(http.StatusTeapot)
			return
		}
	}
	req.lines = strings.Split(strings.TrimSuffix(string(plain), "\n"), "\n")
	bulk := strings.HasSuffix(r.URL.Path, "/_bulk")
	s.mu.Lock()
	s.all = append(s.all, req)
	if bulk {
		s.bulk = append(s.bulk, req)
	}
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch {
	case s.answer != nil && s.answer(w, req):
	case bulk:
		fmt.Fprint(w, items(slices.Repeat([]string{`{"status":201}`}, len(req.lines)/2)...))
	default:
		fmt.Fprint(w, `{"index_templates":[],"acknowledged":true}`)
	}
}

func (s *stub) requests() []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all)
}

func (s *stub) bulks() []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.bulk)
}

func items(results ...string) string {
	return `{"items":[{"create":` + strings.Join(results, `},{"create":`) + `}]}`
}

func onBulk(f func(w http.ResponseWriter, r request)) func(http.ResponseWriter, request) bool {
	return func(w http.ResponseWriter, r request) bool {
		if strings.HasSuffix(r.path, "/_bulk") {
			f(w, r)
			return true
		}
		return false
	}
}

// TestPartialErrors sorts the items of one answer.
func TestPartialErrors(t *testing.T) {
	_, c := newStub(t, onBulk(func(w http.ResponseWriter, r request) {
		fmt.Fprint(w, items(`{"status":201}`, `{"status":409,"error":{"type":"version_conflict_engine_exception"}}`,
			`{"status":429,"error":{"type":"es_rejected_execution_exception","reason":"full"}}`,
			`{"status":400,"error":{"type":"mapper_parsing_exception","reason":"bad"}}`, `{"status":503}`))
	}))
	sink, _ := openSink(t, c)
	result, err := sink.Write(t.Context(), batch(sample(0, nil), sample(1, nil), sample(2, nil), sample(3, nil), sample(4, nil)))
	var partial *pipeline.PartialError
	if !errors.As(err, &partial) || !slices.Equal(partial.Retry, []int{2, 4}) {
		t.Fatalf("%v", err)
	}
	if len(result.Dead) != 1 || result.Dead[0].Item != 3 || !strings.Contains(result.Dead[0].Reason, "bad") {
		t.Errorf("%+v", result)
	}
}

// TestBulkBounds: requests keep to the configured bytes and records, hold every document once and in order, and are
// compressed or not.
func TestBulkBounds(t *testing.T) {
	for _, compress := range []bool{true, false} {
		s, c := newStub(t, nil)
		c.Gzip, c.Bulk.Records, c.Bulk.Bytes = compress, 7, minBulkBytes
		sink, _ := openSink(t, c)
		var all []pipeline.Item
		for i := range 50 {
			all = append(all, sample(i, func(r *record.Record) { r.Path = strings.Repeat("p", i*700) }))
		}
		all = append(all, sample(50, func(r *record.Record) { r.Path = strings.Repeat("p", 1<<20) }), sample(51, nil))
		write(t, sink, all...)
		var ids []string
		for _, r := range s.bulks() {
			size := 0
			for _, l := range r.lines {
				size += len(l) + 1
			}
			if n := len(r.lines) / 2; n > 7 || size > int(minBulkBytes) && n > 1 {
				t.Errorf("a request of %d documents and %d bytes", n, size)
			}
			if r.header.Get("Content-Type") != "application/x-ndjson" || (r.header.Get("Content-Encoding") == "gzip") != compress {
				t.Errorf("header %v", r.header)
			}
			for i := 0; i < len(r.lines); i += 2 {
				var action struct {
					Create struct {
						Index string `json:"_index"`
						ID    string `json:"_id"`
					}
				}
				if err := json.Unmarshal([]byte(r.lines[i]), &action); err != nil || action.Create.Index != "tyk_analytics-2026.11.23" || !json.Valid([]byte(r.lines[i+1])) {
					t.Fatalf("%v: %s", err, r.lines[i])
				}
				ids = append(ids, action.Create.ID)
			}
		}
		if len(ids) != len(all) {
			t.Fatalf("%d documents of %d", len(ids), len(all))
		}
		for i := range all {
			if ids[i] != all[i].ID.String() {
				t.Fatalf("document %d is %s", i, ids[i])
			}
		}
	}
}

// TestWholeRequestRefused finds the one document that makes a request fail, and nobody else dies of it.
func TestWholeRequestRefused(t *testing.T) {
	for _, answer := range []string{
		`413 {"Message":"Request size exceeded 10485760 bytes"}`,
		`400 {"error":{"type":"illegal_argument_exception","reason":"Malformed action/metadata line"},"status":400}`,
	} {
		s, c := newStub(t, onBulk(func(w http.ResponseWriter, r request) {
			if strings.Contains(strings.Join(r.lines, ""), "culprit") {
				w.WriteHeader(int(answer[0]-'0')*100 + int(answer[1]-'0')*10 + int(answer[2]-'0'))
				fmt.Fprint(w, answer[4:])
				return
			}
			fmt.Fprint(w, items(slices.Repeat([]string{`{"status":201}`}, len(r.lines)/2)...))
		}))
		sink, _ := openSink(t, c)
		var all []pipeline.Item
		for i := range 33 {
			all = append(all, sample(i, func(r *record.Record) {
				if i == 20 {
					r.Alias = "culprit"
				}
			}))
		}
		if result := write(t, sink, all...); len(result.Dead) != 1 || result.Dead[0].Item != 20 {
			t.Errorf("%s: %+v", answer, result)
		}
		if n := len(s.bulks()); n > 14 {
			t.Errorf("%d requests to find one of 33", n)
		}
	}
}

// TestRefusedForAnotherReason: what does not prove that a record is at fault is repeated, all of it.
func TestRefusedForAnotherReason(t *testing.T) {
	for status, body := range map[int]string{
		400: `<html>Bad Request</html>`, 401: `{}`, 402: `{"message":"capacity is growing"}`, 403: `{"Message":"not authorized"}`,
		404: `{}`, 429: `{}`, 500: ``, 502: `<html>`, 503: `{}`, 504: ``, 200: `{"took":1}`, 201: ``, 302: ``,
	} {
		_, c := newStub(t, onBulk(func(w http.ResponseWriter, r request) {
			w.Header().Set("Retry-After", "3")
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}))
		sink, _ := openSink(t, c)
		result, err := sink.Write(t.Context(), batch(sample(1, nil), sample(2, nil)))
		class, wait := pipeline.Classify(err)
		var partial *pipeline.PartialError
		if err == nil || class != pipeline.Retryable || errors.As(err, &partial) || len(result.Dead) != 0 {
			t.Errorf("%d: %+v, %v", status, result, err)
		}
		if status >= 300 && wait != 3*time.Second {
			t.Errorf("%d: Retry-After is not heeded: %s", status, wait)
		}
	}
}

// TestRestAfterAnOutage: what one request stored stays settled when the next cannot be sent.
func TestRestAfterAnOutage(t *testing.T) {
	var n atomic.Int32
	_, c := newStub(t, onBulk(func(w http.ResponseWriter, r request) {
		if n.Add(1) > 1 {
			w.WriteHeader(503)
			return
		}
		fmt.Fprint(w, items(`{"status":201}`, `{"status":400,"error":{"type":"mapper_parsing_exception"}}`))
	}))
	c.Bulk.Records = 2
	sink, _ := openSink(t, c)
	result, err := sink.Write(t.Context(), batch(sample(0, nil), sample(1, nil), sample(2, nil), sample(3, nil), sample(4, nil)))
	var partial *pipeline.PartialError
	if !errors.As(err, &partial) || !slices.Equal(partial.Retry, []int{2, 3, 4}) || len(result.Dead) != 1 || n.Load() != 2 {
		t.Errorf("%+v, %v after %d requests", result, err, n.Load())
	}
}

// TestNeverRepeatedByTheClient: a connection that dies after a request was sent makes one error, not a second request,
// with a body (bulk) or without (an index to be made).
func TestNeverRepeatedByTheClient(t *testing.T) {
	for _, method := range []string{http.MethodPost, http.MethodPut} {
		var n atomic.Int32
		_, c := newStub(t, func(w http.ResponseWriter, r request) bool {
			if r.method != method || strings.HasPrefix(r.path, "/_index_template") {
				return false
			}
			n.Add(1)
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				conn.Close()
			}
			return true
		})
		sink, _ := openSink(t, c)
		for i := 1; i <= 3; i++ {
			_, err := sink.Write(t.Context(), batch(sample(1, nil)))
			if err == nil || !strings.Contains(err.Error(), "closed the connection") {
				t.Fatalf("%s: %v", method, err)
			}
			if n.Load() != int32(i) {
				t.Fatalf("%s: %d requests for %d writes", method, n.Load(), i)
			}
		}
	}
}

// TestBuffersAreNotSharedWithTheDead: a request that was given up may still be read from by its transport while the next
// ones are built; what arrives is whole.
func TestBuffersAreNotSharedWithTheDead(t *testing.T) {
	slow := make(chan struct{})
	s, c := newStub(t, nil)
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/_bulk") && r.Header.Get("Content-Encoding") == "" && r.ContentLength > 1<<20 {
			<-slow // takes nothing, so that the client's write blocks
			return
		}
		s.serve(w, r)
	})
	c.Gzip = false
	sink, _ := openSink(t, c)
	for range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, err := sink.Write(ctx, batch(sample(1, func(r *record.Record) { r.Path = strings.Repeat("x", 4<<20) })))
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("%v", err)
		}
		write(t, sink, sample(2, nil), sample(3, nil))
	}
	close(slow)
	for _, r := range s.bulks() {
		if len(r.lines) == 4 && (!json.Valid([]byte(r.lines[1])) || !json.Valid([]byte(r.lines[3]))) {
			t.Errorf("a request is damaged: %.200q", r.lines)
		}
	}
}

func TestOpenClassifies(t *testing.T) {
	for status, want := range map[int]pipeline.Class{
		401: pipeline.FatalError, 403: pipeline.FatalError, 429: pipeline.Retryable, 500: pipeline.Retryable, 503: pipeline.Retryable,
	} {
		for _, template := range []bool{true, false} {
			_, c := newStub(t, func(w http.ResponseWriter, r request) bool {
				w.WriteHeader(status)
				fmt.Fprint(w, `{"error":{"type":"x","reason":"y"}}`)
				return true
			})
			c.Template = template
			sink, _ := newSink(t, c)
			err := sink.Open(t.Context())
			if class, _ := pipeline.Classify(err); err == nil || class != want {
				t.Errorf("status %d, template %t: %v", status, template, err)
			}
			if cured := strings.Contains(err.Error(), "see auth"); cured != (want == pipeline.FatalError) {
				t.Errorf("status %d names a cure: %t: %v", status, cured, err)
			}
		}
	}
	c := Defaults()
	c.URLs = []string{"http://127.0.0.1:1"}
	sink, _ := newSink(t, c)
	err := sink.Open(t.Context())
	if class, _ := pipeline.Classify(err); err == nil || class != pipeline.Retryable {
		t.Errorf("nobody there: %v", err)
	}
	if _, err := (&Sink{}).Write(t.Context(), batch()); !errors.Is(err, errNotOpen) {
		t.Errorf("before Open: %v", err)
	}
}

// TestShardLimit: a cluster that can hold no more shards refuses the index, which is no record's fault.
func TestShardLimit(t *testing.T) {
	_, c := newStub(t, func(w http.ResponseWriter, r request) bool {
		if r.method != http.MethodPut || strings.HasPrefix(r.path, "/_index_template") {
			return false
		}
		w.WriteHeader(400)
		fmt.Fprint(w, `{"error":{"type":"validation_exception","reason":"Validation Failed: 1: this action would add [2] total shards"},"status":400}`)
		return true
	})
	sink, _ := openSink(t, c)
	result, err := sink.Write(t.Context(), batch(sample(1, nil)))
	if class, _ := pipeline.Classify(err); err == nil || class != pipeline.Retryable || len(result.Dead) != 0 {
		t.Errorf("%+v, %v", result, err)
	}
}
