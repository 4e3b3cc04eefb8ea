package console

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"sluice/internal/pipeline"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeStatus is a process with one healthy sink and one whose breaker is open.
func fakeStatus() pipeline.Status {
	now := time.Now()
	return pipeline.Status{
		Time: now, Started: now.Add(-90 * time.Minute), Version: "v1.2.3", Region: "eu-test-1", Ready: false,
		NotReady: []string{"sink search: breaker open"}, MemoryLimit: 192 << 20, MemoryUsed: 12 << 20,
		Sources: []pipeline.SourceStatus{{Name: "main", Type: "redis", Connected: true, Taken: 123456, Rate: 250,
			Lists: []pipeline.ListStatus{{Name: "analytics-tyk-system-analytics", Owner: "us", Waiting: 17, OpenClaims: 2,
				OldestAge: 1.5, Taken: 123456}}}},
		Sinks: []pipeline.SinkStatus{
			{Name: "raw", Type: "mongo-raw", State: "ok", Rate: 250},
			{Name: "search", Type: "opensearch", State: "open", LastError: "connect: <b>refused</b>", Errors: 3,
				LagRecords: 4567, LagSeconds: 12},
		},
		Ledger: pipeline.Ledger{Taken: 123456, Balanced: true, Sinks: map[string]pipeline.Counts{
			"raw":    {Effective: 122339, Duplicates: 11, Filtered: 1099, DeadLetters: 7},
			"search": {Effective: 118882, DeadLetters: 7, Pending: 4567},
		}},
		Alarms: []string{"Redis is filling up"},
	}
}

// fakeTraffic answers with a path that would do harm if it were markup.
type fakeTraffic struct{ err error }

const harm = `GET /<img src=x onerror="document.title='harmed'">`

func (f fakeTraffic) Traffic(_ context.Context, from, to time.Time, step time.Duration) (pipeline.Traffic, error) {
	t := pipeline.Traffic{From: from, To: to, Step: step.Seconds()}
	for at := from; at.Before(to); at = at.Add(step) {
		t.Points = append(t.Points, pipeline.TrafficPoint{Time: at, Hits: 100, Errors: 5, LatencyAvg: 42, Upstream: 40})
	}
	t.Keys = []pipeline.TrafficTop{{Name: secretKey, Hits: 9}, {Name: "00000000", Hits: 3}}
	t.APIs = []pipeline.TrafficTop{{Name: "a1", Label: "Orders", Hits: 700, Errors: 20, Latency: 42}}
	t.Countries = []pipeline.TrafficTop{{Name: "DE", Hits: 500}}
	t.Codes = []pipeline.TrafficTop{{Name: "200", Hits: 680}, {Name: "503", Hits: 20, Errors: 20}}
	t.Endpoints = []pipeline.TrafficTop{{Name: harm, Hits: 12, Errors: 12}}
	return t, f.err
}

const secretKey = "5e9d9544a1dcd60001d0ed20cafe"

func fakeDeadLetters(context.Context, int) ([]DeadLetter, error) {
	return []DeadLetter{{ID: "d1", Reason: "not a record: <script>", Time: time.Now(), List: "l", Position: "p", Bytes: 19}}, nil
}

func options() Options {
	return Options{Status: fakeStatus, Traffic: fakeTraffic{}, DeadLetters: fakeDeadLetters,
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { plain(w, 200, "metric 1\n") })}
}

func serve(t *testing.T, o Options) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(New(o))
	t.Cleanup(s.Close)
	s.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return s
}

// ask sends a request with headers given as name and value, and returns the answer with its body read.
func ask(t *testing.T, s *httptest.Server, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if cerr := resp.Body.Close(); err != nil || cerr != nil {
		t.Fatal(err, cerr)
	}
	return resp, string(b)
}

func TestRoutes(t *testing.T) {
	s := serve(t, options())
	for path, want := range map[string]struct {
		code int
		body string
	}{
		"/":                                      {200, "<title>Sluice</title>"},
		"/static/app.js":                         {200, "EventSource"},
		"/static/base.css":                       {200, "prefers-color-scheme"},
		"/static/index.html":                     {404, ""},
		"/static/":                               {404, ""},
		"/live":                                  {200, "live"},
		"/ready":                                 {503, "sink search: breaker open"},
		"/metrics":                               {200, "metric 1"},
		"/api/status":                            {200, `"region":"eu-test-1"`},
		"/api/traffic":                           {200, `"step_seconds":60`},
		"/api/deadletters":                       {200, `"bytes":19`},
		"/api/traffic?from=x":                    {400, "from is not a time"},
		"/api/traffic?to=x":                      {400, "to is not a time"},
		"/api/traffic?step=x":                    {400, "step is not a duration"},
		"/api/traffic?step=1ms":                  {400, "step must be"},
		"/api/traffic?step=-1h":                  {400, "step must be"},
		"/api/traffic?from=2999-01-01T00:00:00Z": {400, "from must lie before to"},
		"/nothing":                               {404, ""},
	} {
		resp, body := ask(t, s, "GET", path, "")
		if resp.StatusCode != want.code || !strings.Contains(body, want.body) {
			t.Errorf("%s: %d %.200q, want %d with %q", path, resp.StatusCode, body, want.code, want.body)
		}
		if got := resp.Header.Get("Content-Security-Policy"); got != policy {
			t.Errorf("%s: policy %q", path, got)
		}
		if resp.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: no nosniff", path)
		}
	}
	if resp, _ := ask(t, s, "POST", "/api/status", ""); resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", resp.StatusCode)
	}
}

func TestReadyWithoutReasons(t *testing.T) {
	o := options()
	o.Ready = func() (bool, []string) { return true, nil }
	if resp, body := ask(t, serve(t, o), "GET", "/ready", ""); resp.StatusCode != 200 || body != "ready\n" {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
}

func TestReadyThoughDegraded(t *testing.T) {
	o := options()
	o.Ready = func() (bool, []string) { return true, []string{"one", "two"} }
	if resp, body := ask(t, serve(t, o), "GET", "/ready", ""); resp.StatusCode != 200 || body != "ready, degraded\none\ntwo\n" {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
}

func TestWhatIsNotThereIsNoContent(t *testing.T) {
	s := serve(t, Options{Status: fakeStatus})
	for path, want := range map[string]int{"/api/traffic": 204, "/api/deadletters": 204, "/metrics": 404} {
		if resp, _ := ask(t, s, "GET", path, ""); resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
	}
}

func TestErrorsOfStoresAreNotShown(t *testing.T) {
	o := options()
	o.Traffic = fakeTraffic{err: errors.New("secret path")}
	o.DeadLetters = func(context.Context, int) ([]DeadLetter, error) { return nil, errors.New("secret path") }
	s := serve(t, o)
	for _, path := range []string{"/api/traffic", "/api/deadletters"} {
		if resp, body := ask(t, s, "GET", path, ""); resp.StatusCode != 500 || strings.Contains(body, "secret") {
			t.Errorf("%s: %d %q", path, resp.StatusCode, body)
		}
	}
}

func TestHostsOnLoopback(t *testing.T) {
	o := options()
	o.Hosts = []string{"sluice.internal"}
	s := serve(t, o)
	for host, want := range map[string]int{
		"localhost": 200, "localhost:8181": 200, "LOCALHOST.": 200, "127.0.0.1:8181": 200, "127.9.9.9": 200, "[::1]:8181": 200,
		"sluice.internal": 200, "evil.example": 403, "evil.example:8181": 403, "localhost.evil.example": 403,
		"10.0.0.1": 403,
	} {
		if resp, _ := ask(t, s, "GET", "/api/status", "", "Host", host); resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", host, resp.StatusCode, want)
		}
	}
}

func TestHostsElsewhereAreNotChecked(t *testing.T) {
	rec := httptest.NewRecorder()
	req := httptest.NewRequestWithContext(context.WithValue(t.Context(), http.LocalAddrContextKey,
		net.Addr(&net.TCPAddr{IP: net.IPv4(10, 0, 0, 5), Port: 8181})), "GET", "http://pump-1.internal/live", nil)
	New(options()).ServeHTTP(rec, req)
	if rec.Code != 200 {
		t.Errorf("%d", rec.Code)
	}
}

func TestToken(t *testing.T) {
	o := options()
	o.Token = "open sesame"
	s := serve(t, o)
	for _, path := range []string{"/", "/api/status", "/api/stream", "/api/traffic", "/api/deadletters", "/metrics", "/nothing"} {
		for _, auth := range []string{"", "Bearer wrong", "Bearer ", "Basic open sesame", "Bearer open sesame2"} {
			resp, body := ask(t, s, "GET", path, "", "Authorization", auth)
			if resp.StatusCode != http.StatusUnauthorized || strings.Contains(body, "eu-test-1") {
				t.Errorf("%s with %q: %d", path, auth, resp.StatusCode)
			}
		}
	}
	for path, want := range map[string]int{"/live": 200, "/ready": 503, "/login": 200, "/static/base.css": 200} {
		if resp, _ := ask(t, s, "GET", path, ""); resp.StatusCode != want {
			t.Errorf("%s without a token: %d, want %d", path, resp.StatusCode, want)
		}
	}
	if resp, _ := ask(t, s, "GET", "/api/status", "", "Authorization", "Bearer open sesame"); resp.StatusCode != 200 {
		t.Errorf("with the token: %d", resp.StatusCode)
	}
	if resp, _ := ask(t, s, "GET", "/", "", "Accept", "text/html"); resp.Header.Get("Location") != "/login" {
		t.Errorf("a browser is sent to %q", resp.Header.Get("Location"))
	}
}

func TestLogin(t *testing.T) {
	o := options()
	o.Token = "open sesame"
	s := serve(t, o)
	const form = "application/x-www-form-urlencoded"
	login := func(token string, headers ...string) *http.Response {
		resp, _ := ask(t, s, "POST", "/login", url.Values{"token": {token}}.Encode(),
			append([]string{"Content-Type", form}, headers...)...)
		return resp
	}
	if resp := login("wrong"); len(resp.Cookies()) != 0 || resp.Header.Get("Location") != "/login?wrong" {
		t.Errorf("a wrong token: %d, cookies %v", resp.StatusCode, resp.Cookies())
	}
	if resp := login("open sesame", "Origin", "https://evil.example"); resp.StatusCode != http.StatusForbidden {
		t.Errorf("from another origin: %d", resp.StatusCode)
	}
	resp := login("open sesame")
	if len(resp.Cookies()) != 1 {
		t.Fatalf("%d, cookies %v", resp.StatusCode, resp.Cookies())
	}
	c := resp.Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || strings.Contains(c.Value, "sesame") {
		t.Errorf("cookie %+v", c)
	}
	if resp, _ := ask(t, s, "GET", "/api/status", "", "Cookie", c.Name+"="+c.Value); resp.StatusCode != 200 {
		t.Errorf("with the cookie: %d", resp.StatusCode)
	}
	for _, forged := range []string{"", "x", "99999999999.00", "9" + c.Value, c.Value + "0"} {
		if resp, _ := ask(t, s, "GET", "/api/status", "", "Cookie", c.Name+"="+forged); resp.StatusCode != 401 {
			t.Errorf("with %q: %d", forged, resp.StatusCode)
		}
	}
}

func TestSessionsEnd(t *testing.T) {
	g := &guardian{key: []byte("k")}
	now := time.Now()
	v := g.seal(now.Add(session))
	if !g.valid(v, now.Add(session-time.Minute)) || g.valid(v, now.Add(session+time.Minute)) {
		t.Error("a session does not last as long as it should")
	}
	if other := (&guardian{key: []byte("other")}); other.valid(v, now) {
		t.Error("a session of another process is taken")
	}
}

func TestStreamEndsWithTheServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- (&Server{Handler: New(options())}).Serve(ctx, l) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+l.Addr().String()+"/api/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	sc := bufio.NewScanner(resp.Body)
	events := 0
	for events < 2 && sc.Scan() {
		data, ok := strings.CutPrefix(sc.Text(), "data: ")
		if !ok {
			continue
		}
		var st pipeline.Status
		if err := json.Unmarshal([]byte(data), &st); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(fakeStatus().Ledger, st.Ledger); diff != "" {
			t.Error(diff)
		}
		events++
	}
	cancel()
	start := time.Now()
	if err := <-ended; err != nil || events != 2 || time.Since(start) > 3*time.Second {
		t.Errorf("error %v, %d events, %v", err, events, time.Since(start))
	}
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	a := &api{opts: options(), streams: make(chan struct{}, 1)}
	a.streams <- struct{}{}
	rec := httptest.NewRecorder()
	a.stream(rec, httptest.NewRequest("GET", "/api/stream", nil))
	if rec.Code != http.StatusServiceUnavailable {
		t.Errorf("%d", rec.Code)
	}
}

func TestServeSaysWhatFailed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := (&Server{Handler: New(options())}).Serve(t.Context(), l); err == nil {
		t.Error("a closed listener serves")
	}
}

func TestPageNamesNoOutsideResource(t *testing.T) {
	entries, err := web.ReadDir("web")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := web.ReadFile("web/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(b), "http://www.w3.org/2000/svg", "") // a name, never fetched
		for _, no := range []string{"http://", "https://", "innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", " style=", " onclick="} {
			if strings.Contains(text, no) {
				t.Errorf("%s has %q", e.Name(), no)
			}
		}
	}
}

// A gateway that does not hash its keys writes them as callers send them: whoever sees one may use it.
func TestKeysAreShownByTheirFingerprint(t *testing.T) {
	_, body := ask(t, serve(t, options()), "GET", "/api/traffic", "")
	if strings.Contains(body, secretKey) || strings.Contains(body, secretKey[:8]) {
		t.Errorf("a key is shown: %s", body)
	}
	for _, want := range []string{`"name":"sha256:` + fmt.Sprintf("%x", sha256.Sum256([]byte(secretKey)))[:12] + `"`, `"name":"00000000"`} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in %s", want, body)
		}
	}
}

// TestEverythingButHealthAsksForTheToken: also what was added since.
func TestEverythingButHealthAsksForTheToken(t *testing.T) {
	o := options()
	o.Token = "open sesame"
	s := serve(t, o)
	for _, path := range []string{"/", "/metrics", "/api/status", "/api/stream", "/api/traffic", "/api/deadletters", "/debug/pprof/", "/nowhere"} {
		for _, headers := range [][]string{nil, {"Authorization", "Bearer wrong"}, {"Authorization", "Basic b3BlbiBzZXNhbWU6"},
			{"Cookie", cookieName + "=9999999999.00"}} {
			if resp, _ := ask(t, s, "GET", path, "", headers...); resp.StatusCode != http.StatusUnauthorized {
				t.Errorf("GET %s with %v: %d", path, headers, resp.StatusCode)
			}
		}
	}
	for _, path := range []string{"/live", "/ready"} {
		if resp, _ := ask(t, s, "GET", path, ""); resp.StatusCode == http.StatusUnauthorized {
			t.Errorf("%s asks for the token: a probe has none", path)
		}
	}
}

// TestPostsOfOtherSitesAreRefused: a page of somebody else in the same browser, on every path and by every sign of it.
func TestPostsOfOtherSitesAreRefused(t *testing.T) {
	o := options()
	o.Token = "open sesame"
	s := serve(t, o)
	for _, path := range []string{"/login", "/", "/api/status", "/live"} {
		for _, headers := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "http://evil.example"},
			{"Origin", "null"}} {
			headers = append(headers, "Content-Type", "application/x-www-form-urlencoded")
			resp, _ := ask(t, s, "POST", path, "token=open+sesame", headers...)
			if resp.StatusCode != http.StatusForbidden || resp.Header.Get("Set-Cookie") != "" {
				t.Errorf("POST %s with %v: %d", path, headers, resp.StatusCode)
			}
		}
	}
}
