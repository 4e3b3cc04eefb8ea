package s3store

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestLocked: what the documented headers of an object lock say. The S3 of the tests has no object lock.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
func TestLocked(t *testing.T) {
	headers := map[string]string{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for k, v := range headers {
			w.Header().Set(k, v)
		}
	}))
	defer srv.Close()
	s, err := New(t.Context(), Options{Bucket: "b", Endpoint: srv.URL, PathStyle: true, Region: "us-east-1", AccessKey: "a", SecretKey: "b"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, c := range []struct {
		headers map[string]string
		want    string
	}{
		{nil, ""},
		{map[string]string{"x-amz-object-lock-legal-hold": "ON"}, "legal hold"},
		{map[string]string{"x-amz-object-lock-legal-hold": "OFF"}, ""},
		{map[string]string{"x-amz-object-lock-mode": "COMPLIANCE", "x-amz-object-lock-retain-until-date": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)}, "COMPLIANCE"},
		{map[string]string{"x-amz-object-lock-mode": "GOVERNANCE", "x-amz-object-lock-retain-until-date": time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)}, ""},
	} {
		headers = c.headers
		got, err := s.Locked(t.Context(), "k")
		if err != nil || (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%v: %q, %v", c.headers, got, err)
		}
	}
}
