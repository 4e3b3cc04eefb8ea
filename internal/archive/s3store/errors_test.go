package s3store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/internal/archive"
	"sluice/internal/pipeline"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// storeAt is a store whose server answers as told.
func storeAt(t *testing.T, h http.HandlerFunc) *Store {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	s, err := New(t.Context(), Options{
		Bucket: "b", Endpoint: server.URL, PathStyle: true, Region: "us-east-1", AccessKey: "k", SecretKey: "s",
		StorageClass: "STANDARD_IA", KMSKeyID: "key",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>m</Message></Error>", code)
}

func put(ctx context.Context, s *Store) (archive.Info, bool, error) {
	return s.PutIfAbsent(ctx, "k", strings.NewReader("body"), 4, "sha")
}

func TestErrorsAreClassified(t *testing.T) {
	tests := []struct {
		status int
		code   string
		class  pipeline.Class
		after  time.Duration
	}{
		{403, "AccessDenied", pipeline.FatalError, 0},
		{403, "InvalidAccessKeyId", pipeline.FatalError, 0},
		{403, "SignatureDoesNotMatch", pipeline.FatalError, 0},
		{404, "NoSuchBucket", pipeline.FatalError, 0},
		{501, "NotImplemented", pipeline.FatalError, 0},
		{400, "InvalidStorageClass", pipeline.FatalError, 0},
		{400, "ExpiredToken", pipeline.Retryable, 0},
		{403, "RequestTimeTooSkewed", pipeline.Retryable, 0},
		{503, "SlowDown", pipeline.Retryable, 7 * time.Second},
		{429, "TooManyRequests", pipeline.Retryable, 7 * time.Second},
		{500, "InternalError", pipeline.Retryable, 0},
		{409, "ConditionalRequestConflict", pipeline.Retryable, 0},
	}
	for _, c := range tests {
		t.Run(c.code, func(t *testing.T) {
			s := storeAt(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "7")
				refuse(w, c.status, c.code)
			})
			_, created, err := put(t.Context(), s)
			if class, after := pipeline.Classify(err); err == nil || created || class != c.class || after != c.after {
				t.Errorf("class %v, after %s: %v", class, after, err)
			}
		})
	}
}

func TestRefusedCheckReadsAsASentenceWithItsCure(t *testing.T) {
	s := storeAt(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("x-amz-request-id", "ID7")
		refuse(w, 404, "NoSuchBucket")
	})
	err := s.Check(t.Context(), "")
	const want = "look into bucket b: NoSuchBucket: m (request ID7); make the bucket, or see bucket, region and endpoint"
	if class, _ := pipeline.Classify(err); class != pipeline.FatalError || err.Error() != want {
		t.Errorf("%v %q", class, err)
	}
}

func TestPutIsConditionalAndSaysWhatWasConfigured(t *testing.T) {
	s := storeAt(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		h := r.Header
		if err != nil || string(body) != "body" || h.Get("If-None-Match") != "*" || h.Get("X-Amz-Meta-Sluice-Sha256") != "sha" ||
			h.Get("X-Amz-Storage-Class") != "STANDARD_IA" || h.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id") != "key" {
			t.Errorf("%s %s %v %q", r.Method, r.URL, h, body)
		}
	})
	if _, created, err := put(t.Context(), s); err != nil || !created {
		t.Errorf("created %v, %v", created, err)
	}
}

// TestConflictIsRepeated: 409 means that another conditional write of that key was under way; then it is there, or not.
func TestConflictIsRepeated(t *testing.T) {
	n := 0
	s := storeAt(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodHead:
			w.Header().Set("X-Amz-Meta-Sluice-Sha256", "theirs")
			w.Header().Set("Content-Length", "9")
		case n < 2:
			n++
			refuse(w, 409, "ConditionalRequestConflict")
		default:
			refuse(w, 412, "PreconditionFailed")
		}
	})
	there, created, err := put(t.Context(), s)
	if err != nil || created || there.SHA256 != "theirs" || there.Size != 9 || n != 2 {
		t.Errorf("there %+v, created %v, %v after %d conflicts", there, created, err, n)
	}
}

// TestGoneMeanwhile: refused since it was there, and then it is not: to be repeated.
func TestGoneMeanwhile(t *testing.T) {
	s := storeAt(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			w.WriteHeader(404)
			return
		}
		refuse(w, 412, "PreconditionFailed")
	})
	_, _, err := put(t.Context(), s)
	if class, _ := pipeline.Classify(err); !errors.Is(err, archive.ErrNotFound) || class != pipeline.Retryable {
		t.Errorf("%v", err)
	}
}

func TestCheckNeedsNoHead(t *testing.T) {
	s := storeAt(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			w.WriteHeader(403)
			return
		}
		if r.Method != http.MethodGet || r.URL.Query().Get("max-keys") != "1" || r.URL.Query().Get("prefix") != "p/" {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		_, _ = io.WriteString(w, "<ListBucketResult></ListBucketResult>")
	})
	if err := s.Check(t.Context(), "p/"); err != nil {
		t.Error(err)
	}
}

func TestDeadlineEndsAPut(t *testing.T) {
	release := make(chan struct{})
	s := storeAt(t, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, _, err := put(ctx, s)
	if class, _ := pipeline.Classify(err); err == nil || class != pipeline.Retryable {
		t.Errorf("class %v of %v", class, err)
	}
}
