package opensearch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"sluice/internal/pipeline"
)

var testCredentials = aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "wJalrXUtnFEMI", SessionToken: "session"}

// verify computes a request's signature anew, from what arrived.
func verify(r request, service, region string) error {
	at, err := time.Parse("20060102T150405Z", r.header.Get("X-Amz-Date"))
	if err != nil {
		return err
	}
	sum := sha256.Sum256(r.wire)
	hash := hex.EncodeToString(sum[:])
	if got := r.header.Get("X-Amz-Content-Sha256"); got != hash {
		return fmt.Errorf("payload hash %q, want %q", got, hash)
	}
	auth := r.header.Get("Authorization")
	_, signed, _ := strings.Cut(auth, "SignedHeaders=")
	signed, _, _ = strings.Cut(signed, ",")
	query := ""
	if strings.HasSuffix(r.path, "_bulk") {
		_, query, _ = strings.Cut(bulkPath, "?")
	}
	again, err := http.NewRequest(r.method, "http://"+r.host+r.path+"?"+query, bytes.NewReader(r.wire))
	if err != nil {
		return err
	}
	payloadSigned := false
	for name := range strings.SplitSeq(signed, ";") {
		payloadSigned = payloadSigned || name == "x-amz-content-sha256"
		if name != "host" && name != "content-length" {
			again.Header[http.CanonicalHeaderKey(name)] = r.header[http.CanonicalHeaderKey(name)]
		}
	}
	if !payloadSigned {
		return fmt.Errorf("the payload hash is not among the signed headers: %s", signed)
	}
	if err := v4.NewSigner().SignHTTP(context.Background(), testCredentials, again, hash, service, region, at); err != nil {
		return err
	}
	if want := again.Header.Get("Authorization"); auth != want {
		return fmt.Errorf("signature %q, want %q", auth, want)
	}
	return nil
}

// TestSignature: every request is signed, and one that is repeated is signed anew. For Serverless no request goes to the
// root and none asks for a refresh.
func TestSignature(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", testCredentials.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", testCredentials.SecretAccessKey)
	t.Setenv("AWS_SESSION_TOKEN", testCredentials.SessionToken)
	t.Setenv("AWS_REGION", "eu-central-1")
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
	for _, tt := range []struct {
		aws    AWS
		region string
	}{
		{AWS{Region: "eu-west-1", Service: serviceES}, "eu-west-1"},
		{AWS{Service: serviceAOSS}, "eu-central-1"},
	} {
		var works atomic.Bool
		s, c := newStub(t, onBulk(func(w http.ResponseWriter, r request) {
			if !works.Load() {
				w.WriteHeader(503)
				return
			}
			fmt.Fprint(w, items(`{"status":201}`))
		}))
		c.Auth.AWS = tt.aws
		sink, _ := openSink(t, c)
		if _, err := sink.Write(t.Context(), batch(sample(1, nil))); err == nil {
			t.Fatal("503 counts as success")
		}
		works.Store(true)
		time.Sleep(1100 * time.Millisecond) // signatures go by the second
		write(t, sink, sample(1, nil))
		for _, r := range s.requests() {
			if err := verify(r, tt.aws.Service, tt.region); err != nil {
				t.Errorf("%s: %s %s: %v", tt.aws.Service, r.method, r.path, err)
			}
			if r.path == "/" || r.path == "" || strings.Contains(r.path, "refresh") {
				t.Errorf("%s: a request to %q", tt.aws.Service, r.path)
			}
		}
		bulks := s.bulks()
		if len(bulks) != 2 || !bytes.Equal(bulks[0].wire, bulks[1].wire) {
			t.Fatalf("%d bulk requests, equal bodies wanted", len(bulks))
		}
		for _, name := range []string{"Authorization", "X-Amz-Date"} {
			if bulks[0].header.Get(name) == bulks[1].header.Get(name) {
				t.Errorf("%s: %s was not made anew", tt.aws.Service, name)
			}
		}
	}
}

func TestAuthorizationHeaders(t *testing.T) {
	for want, auth := range map[string]Auth{
		"":                           {},
		"Basic " + b64("user:pa:ss"): {Basic: Basic{Username: "user", Password: "pa:ss"}},
		"ApiKey " + b64("id:key"):    {APIKey: APIKey{ID: "id", Key: "key"}},
	} {
		s, c := newStub(t, nil)
		c.Auth = auth
		sink, _ := openSink(t, c)
		write(t, sink, sample(1, nil))
		for _, r := range s.requests() {
			if got := r.header.Get("Authorization"); got != want {
				t.Errorf("%s %s: %q, want %q", r.method, r.path, got, want)
			}
		}
	}
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// TestCertificates: they are verified, against the authorities that are named.
func TestCertificates(t *testing.T) {
	s := &stub{}
	server := httptest.NewTLSServer(http.HandlerFunc(s.serve))
	server.Config.ErrorLog = nil
	t.Cleanup(server.Close)
	c := Defaults()
	c.URLs = []string{server.URL}
	sink, _ := newSink(t, c)
	if err := sink.Open(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown authority: %v", err)
	}
	c.TLS.CAFile = filepath.Join(t.TempDir(), "ca.pem")
	sink, _ = newSink(t, c)
	err := sink.Open(t.Context())
	if class, _ := pipeline.Classify(err); class != pipeline.FatalError {
		t.Errorf("no such file: %v", err)
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(c.TLS.CAFile, block, 0o600); err != nil {
		t.Fatal(err)
	}
	openSink(t, c)
}
