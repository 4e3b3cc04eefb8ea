package opensearch

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/internal/pipeline"
	"sluice/internal/record"
	"sluice/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// store is a set of indices of one test in the shared cluster.
type store struct {
	url    string
	prefix string
	http   *http.Client
}

func shared(t testing.TB) *store {
	t.Helper()
	transport := &http.Transport{}
	s := &store{url: testenv.OpenSearch(t), prefix: "t" + strings.ToLower(rand.Text()[:10]), http: &http.Client{Transport: transport}}
	t.Cleanup(func() {
		s.call(t, "DELETE", "/"+s.prefix+"*", "")
		s.call(t, "DELETE", "/_index_template/*"+s.prefix+"*", "")
		transport.CloseIdleConnections()
	})
	return s
}

func (s *store) config() Config {
	c := Defaults()
	c.URLs, c.Index = []string{s.url}, s.prefix+"-{yyyy.MM.dd}"
	return c
}

// call sends a request and returns status and answer.
func (s *store) call(t testing.TB, method, path, body string) (int, map[string]any) {
	t.Helper()
	req, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := s.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	answer := map[string]any{}
	if len(b) > 0 {
		if err := json.Unmarshal(b, &answer); err != nil {
			t.Fatalf("%s %s: %v: %s", method, path, err, b)
		}
	}
	return res.StatusCode, answer
}

func (s *store) must(t testing.TB, method, path, body string) map[string]any {
	t.Helper()
	status, answer := s.call(t, method, path, body)
	if status >= 300 {
		t.Fatalf("%s %s: %d %v", method, path, status, answer)
	}
	return answer
}

// hit is a stored document.
type hit struct {
	Index  string         `json:"_index"`
	ID     string         `json:"_id"`
	Source map[string]any `json:"_source"`
}

// search returns what matches a query in the test's indices; "" matches all.
func (s *store) search(t testing.TB, query string) []hit {
	t.Helper()
	if query == "" {
		query = `{"match_all":{}}`
	}
	s.must(t, "POST", "/"+s.prefix+"*/_refresh", "")
	b, err := json.Marshal(s.must(t, "POST", "/"+s.prefix+"*/_search", `{"size":10000,"track_total_hits":true,"query":`+query+`}`))
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Hits struct {
			Total struct{ Value int }
			Hits  []hit
		}
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		t.Fatal(err)
	}
	if answer.Hits.Total.Value != len(answer.Hits.Hits) {
		t.Fatalf("%d of %d hits came", len(answer.Hits.Hits), answer.Hits.Total.Value)
	}
	return answer.Hits.Hits
}

func newSink(t testing.TB, c Config) (*Sink, *logs) {
	t.Helper()
	l := &logs{}
	sink, err := New("search", c, slog.New(slog.NewTextHandler(l, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sink.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return sink, l
}

func openSink(t testing.TB, c Config) (*Sink, *logs) {
	t.Helper()
	sink, l := newSink(t, c)
	if err := sink.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return sink, l
}

// logs is a log in memory.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

var claimTime = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

// sample is a plain record, changed as asked, with an ID of its own.
func sample(n int, change func(*record.Record)) pipeline.Item {
	r := &record.Record{
		Method: "GET", Host: "h", Path: "/p", RawPath: "/p", ResponseCode: 200, APIID: "api", OrgID: "org",
		TimeStamp: time.Date(2026, 11, 23, 9, 43, 46, 370367119, time.UTC), RequestTime: int64(n), IPAddress: "192.0.2.7",
	}
	if change != nil {
		change(r)
	}
	return pipeline.Item{Index: uint32(n), ID: record.MakeID(r.TimeStamp, uint64(n)), Record: r}
}

func batch(items ...pipeline.Item) *pipeline.Batch {
	return &pipeline.Batch{To: uint32(len(items)), Items: items, ClaimTime: claimTime}
}

func write(t testing.TB, s *Sink, items ...pipeline.Item) pipeline.Result {
	t.Helper()
	r, err := s.Write(t.Context(), batch(items...))
	if err != nil {
		t.Fatal(err)
	}
	return r
}
