package s3csv

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"go.uber.org/goleak"

	"sluice/internal/archive"
	"sluice/internal/archive/s3store"
	"sluice/internal/pipeline"
	"sluice/internal/record"
	"sluice/internal/testenv"
	"sluice/sinks/sinktest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(int) { http.DefaultTransport.(*http.Transport).CloseIdleConnections() }))
}

// configOf is a sink over a bucket of the real server.
func configOf(b testenv.S3Bucket) Config {
	c := Defaults()
	c.Bucket, c.Prefix, c.Endpoint, c.PathStyle = b.Bucket, "analytics/", b.Endpoint, true
	c.Region, c.AccessKey, c.SecretKey = b.Region, b.AccessKey, b.SecretKey
	return c
}

func open(t testing.TB, c Config) *Sink {
	t.Helper()
	s, err := New("archive", c, t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

// bucket is a store over the bucket, for looking into it.
func bucket(t testing.TB, b testenv.S3Bucket) *s3store.Store {
	t.Helper()
	s, err := s3store.New(t.Context(), configOf(b).Store())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// effects counts the rows that count, by lineage and position.
func effects(t testing.TB, s archive.Store) map[string]int {
	t.Helper()
	rows := map[string]int{}
	for m, err := range archive.List(t.Context(), s, "analytics/", time.Time{}, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		r, err := archive.Open(t.Context(), s, m)
		if err != nil {
			t.Fatal(err)
		}
		for row, err := range r.All() {
			if err != nil {
				t.Fatal(err)
			}
			rows[row.Stream.Lineage+" "+row.Position.String()]++
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return rows
}

func TestContract(t *testing.T) {
	for _, kind := range []archive.Compression{archive.Zstd, archive.Gzip} {
		t.Run(string(kind), func(t *testing.T) {
			sinktest.Run(t, func(t *testing.T) sinktest.Harness {
				b := testenv.S3(t)
				c := configOf(b)
				c.Compression = string(kind)
				return sinktest.Harness{
					Open: func(t testing.TB) pipeline.Sink {
						s, err := New("archive", c, t.TempDir(), slog.New(slog.DiscardHandler))
						if err != nil {
							t.Fatal(err)
						}
						return s
					},
					Effects: func(t testing.TB) map[string]int { return effects(t, bucket(t, b)) },
					Key:     sinktest.PositionKey,
				}
			})
		})
	}
}

// claim makes a list of the first n captured records.
func claim(t testing.TB, n int) *sinktest.List {
	l := sinktest.NewList("analytics-tyk-system-analytics_3")
	l.Add(sinktest.Captured(t, record.Msgpack)[:n])
	return l
}

// deliver adds a list's first claim and flushes.
func deliver(t testing.TB, s *Sink, l *sinktest.List) (pipeline.Progress, error) {
	t.Helper()
	if _, err := s.Add(t.Context(), sinktest.Batch(s, l, &l.Claims[0], 0, uint32(len(l.Claims[0].Items)))); err != nil {
		t.Fatal(err)
	}
	return s.Flush(t.Context(), true)
}

func TestObjectsCarryTheirHash(t *testing.T) {
	b := testenv.S3(t)
	s := open(t, configOf(b))
	if p, err := deliver(t, s, claim(t, 300)); err != nil || len(p.Settled) != 1 {
		t.Fatalf("%+v, %v", p, err)
	}
	store, n := bucket(t, b), 0
	for m, err := range archive.List(t.Context(), store, "analytics/", time.Time{}, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		out, err := b.Client().HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &b.Bucket, Key: aws.String(m.Key)})
		if err != nil {
			t.Fatal(err)
		}
		if out.Metadata["sluice-sha256"] != m.SHA256 {
			t.Errorf("metadata %v, manifest %s", out.Metadata, m.SHA256)
		}
		if m.Region != "test" || !strings.HasPrefix(m.Key, "analytics/region=test/dt=") {
			t.Errorf("key %s", m.Key)
		}
	}
	if n == 0 {
		t.Error("no objects")
	}
}

// TestConditionalPut: the server itself refuses to replace an object, whoever asks.
func TestConditionalPut(t *testing.T) {
	b := testenv.S3(t)
	store := bucket(t, b)
	put := func(text, sha string) (archive.Info, bool, error) {
		return store.PutIfAbsent(t.Context(), "k", strings.NewReader(text), int64(len(text)), sha)
	}
	if _, created, err := put("first", "aa"); err != nil || !created {
		t.Fatalf("created %v, %v", created, err)
	}
	there, created, err := put("second one", "bb")
	if err != nil || created || there.SHA256 != "aa" || there.Size != 5 {
		t.Fatalf("created %v, there %+v, %v", created, there, err)
	}
	body, err := store.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(body)
	if err := errors.Join(err, body.Close()); err != nil || string(got) != "first" {
		t.Errorf("%q, %v", got, err)
	}
	if err := errors.Join(store.Delete(t.Context(), "k"), store.Delete(t.Context(), "k")); err != nil {
		t.Errorf("delete, twice: %v", err)
	}
	if _, err := store.Head(t.Context(), "k"); !errors.Is(err, archive.ErrNotFound) {
		t.Errorf("head of what is gone: %v", err)
	}
	if _, err := store.Get(t.Context(), "k"); !errors.Is(err, archive.ErrNotFound) {
		t.Errorf("get of what is gone: %v", err)
	}
}

// TestForeignObjectIsAConflict: rows of somebody else under our name stop the stream, loudly, and stay as they are.
func TestForeignObjectIsAConflict(t *testing.T) {
	b := testenv.S3(t)
	store := bucket(t, b)
	l := claim(t, 50)
	if p, err := deliver(t, open(t, configOf(b)), l); err != nil || len(p.Settled) != 1 {
		t.Fatal(err)
	}
	var first *archive.Manifest
	for m, err := range archive.List(t.Context(), store, "analytics/", time.Time{}, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		first = m
		break
	}
	if err := store.Delete(t.Context(), first.Key); err != nil {
		t.Fatal(err)
	}
	if _, _, err := store.PutIfAbsent(t.Context(), first.Key, strings.NewReader("theirs"), 6, strings.Repeat("0", 64)); err != nil {
		t.Fatal(err)
	}
	var conflict *archive.ConflictError
	p, err := deliver(t, open(t, configOf(b)), l)
	if !errors.As(err, &conflict) || len(p.Settled) != 0 || conflict.Key != first.Key {
		t.Fatalf("%+v, %v", p, err)
	}
	if class, _ := pipeline.Classify(err); class != pipeline.Retryable {
		t.Errorf("class %v", class)
	}
}

// TestCrashBeforeTheManifest: objects whose manifests a crash prevented are not there for readers; whoever takes over,
// with other cuts, writes the manifests and leaves the objects as they are.
func TestCrashBeforeTheManifest(t *testing.T) {
	b := testenv.S3(t)
	store := bucket(t, b)
	l := claim(t, 500)
	if p, err := deliver(t, open(t, configOf(b)), l); err != nil || len(p.Settled) != 1 {
		t.Fatal(err)
	}
	objects := map[string]time.Time{}
	for info, err := range store.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(info.Key, ".manifest.json") {
			objects[info.Key] = info.Modified
		} else if err := store.Delete(t.Context(), info.Key); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(effects(t, store)); n != 0 {
		t.Fatalf("%d rows are there without manifests", n)
	}
	c := configOf(b)
	c.Prefix, c.Object.MaxBytes = "elsewhere/", 4<<10 // the new pump's configuration does not cut the recorded range
	s := open(t, c)
	d := sinktest.NewDriver(s)
	d.Cut = func(int) int { return 37 }
	if err := d.Deliver(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	if n := len(effects(t, store)); n != 500 {
		t.Errorf("%d rows", n)
	}
	for info, err := range store.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if at, ok := objects[info.Key]; ok && !at.Equal(info.Modified) {
			t.Errorf("%s was written again", info.Key)
		} else if !ok && !strings.HasSuffix(info.Key, ".manifest.json") {
			t.Errorf("%s is new", info.Key)
		}
	}
}

// TestLostAnswers puts a proxy before the real server that stores objects and then answers 500, or hangs up.
func TestLostAnswers(t *testing.T) {
	b := testenv.S3(t)
	target, err := url.Parse(b.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	var puts atomic.Int32
	var mode atomic.Value
	mode.Store("500")
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host },
		Transport: transport, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		ModifyResponse: func(r *http.Response) error {
			if r.Request.Method != http.MethodPut || r.StatusCode != 200 {
				return nil // the second of two attempts hears that the object is there
			}
			puts.Add(1)
			if mode.Load() == "cut" {
				return errors.New("cut")
			}
			r.StatusCode, r.Status = 500, "500 Internal Server Error"
			_ = r.Body.Close()
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(nil)), 0
			r.Header.Set("Content-Length", "0")
			return nil
		},
	}
	server := httptest.NewServer(proxy)
	defer server.Close()
	c := configOf(b)
	c.Endpoint = server.URL
	s := open(t, c)
	ls := []*sinktest.List{claim(t, 400), sinktest.NewList("analytics-tyk-system-analytics_4")}
	ls[1].Add(sinktest.Captured(t, record.Msgpack)[400:700])
	for i, l := range ls {
		mode.Store([]string{"500", "cut"}[i])
		if err := sinktest.NewDriver(s).Deliver(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	got := effects(t, bucket(t, b))
	for key, n := range got {
		if n != 1 {
			t.Errorf("%s is there %d times", key, n)
		}
	}
	if len(got) != 700 || puts.Load() < 4 {
		t.Errorf("%d rows, %d answers lost", len(got), puts.Load())
	}
}

func TestOpenClassifiesErrors(t *testing.T) {
	b := testenv.S3(t)
	tests := map[string]func(*Config){
		"wrong secret":   func(c *Config) { c.SecretKey = "wrong" },
		"wrong key":      func(c *Config) { c.AccessKey = "nobody" },
		"no such bucket": func(c *Config) { c.Bucket += "-not" },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			c := configOf(b)
			change(&c)
			err := openError(t, c)
			if class, _ := pipeline.Classify(err); err == nil || class != pipeline.FatalError {
				t.Errorf("class %v of %v", class, err)
			}
			if strings.Contains(err.Error(), b.SecretKey) {
				t.Error("the error shows the secret")
			}
		})
	}
	c := configOf(b)
	c.Endpoint = "http://127.0.0.1:1"
	err := openError(t, c)
	if class, _ := pipeline.Classify(err); err == nil || class != pipeline.Retryable {
		t.Errorf("unreachable: class %v of %v", class, err)
	}
	for _, err := range bucket(t, b).List(t.Context(), "") {
		t.Fatalf("opening wrote something, or %v", err)
	}
}

func openError(t *testing.T, c Config) error {
	t.Helper()
	s, err := New("archive", c, t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close(context.Background()) }()
	return s.Open(t.Context())
}

func TestConfig(t *testing.T) {
	c := Defaults()
	c.Bucket = "b"
	if p := c.Validate(); len(p) > 0 {
		t.Errorf("defaults: %+v", p)
	}
	c = Config{Prefix: "/x", Endpoint: "nowhere", AccessKey: "a", SecretKey: ""}
	keys := map[string]bool{}
	for _, p := range c.Validate() {
		keys[p.Key] = true
	}
	for _, key := range []string{"bucket", "prefix", "endpoint", "secret_key", "compression", "object.max_bytes", "object.max_age"} {
		if !keys[key] {
			t.Errorf("%s is not found wrong", key)
		}
	}
	a := Config{Bucket: "b", Prefix: "p/", AccessKey: "k", SecretKey: "hush"}
	other := a
	other.Endpoint = "http://127.0.0.1:9/"
	if a.Target() == other.Target() || strings.Contains(a.Target(), "hush") {
		t.Errorf("targets %q and %q", a.Target(), other.Target())
	}
	if _, err := New("archive", a, "", nil); err == nil {
		t.Error("a sink without a directory is made")
	}
}

// TestShapeSaysNothingOfTheWay: what says where the store is, and every secret, is no part of it.
func TestShapeSaysNothingOfTheWay(t *testing.T) {
	c := Defaults()
	c.Bucket, c.Endpoint, c.AccessKey, c.SecretKey, c.Prefix = "thebucket", "http://there", "thekey", "thesecret", "p/"
	s, err := New("archive", c, t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(s.Shape()); got != `{"v":1,"prefix":"p/","compression":"zstd"}` {
		t.Error(got)
	}
}
