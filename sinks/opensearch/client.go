package opensearch

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/opensearch-project/opensearch-go/v2/opensearchtransport"
	"github.com/opensearch-project/opensearch-go/v2/signer"
	"github.com/opensearch-project/opensearch-go/v2/signer/awsv2"

	"sluice/internal/awscreds"
	"sluice/internal/pipeline"
)

// client sends requests to a cluster, each exactly once: repeating is the pipeline's affair, since a repeated request
// must be signed anew. It is safe for concurrent use.
type client struct {
	http  *http.Transport
	nodes *opensearchtransport.Client
}

const (
	dialIdle       = 90 * time.Second
	connsPerNode   = 16
	handshakeLimit = 10 * time.Second
)

// newClient makes a client. It reads files and, for AWS, the default chain of region and credentials.
func newClient(ctx context.Context, c Config) (*client, error) {
	tlsConfig, err := c.TLS.config()
	if err != nil {
		return nil, pipeline.Fatal(err)
	}
	base := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSClientConfig:     tlsConfig,
		TLSHandshakeTimeout: handshakeLimit,
		MaxIdleConnsPerHost: connsPerNode,
		IdleConnTimeout:     dialIdle,
		ForceAttemptHTTP2:   true,
	}
	settings := opensearchtransport.Config{
		Transport:    onceOnly{base},
		DisableRetry: true,
		Username:     c.Auth.Basic.Username,
		Password:     c.Auth.Basic.Password,
	}
	if k := c.Auth.APIKey; k.ID != "" {
		value := "ApiKey " + base64.StdEncoding.EncodeToString([]byte(k.ID+":"+k.Key))
		settings.Header = http.Header{"Authorization": {value}}
	}
	if c.Auth.AWS.Service != "" {
		if settings.Signer, err = newSigner(ctx, c.Auth.AWS); err != nil {
			return nil, err
		}
	}
	for _, s := range c.URLs {
		u, err := url.Parse(s)
		if err != nil {
			return nil, pipeline.Fatal(fmt.Errorf("read the address of the cluster: %w", err))
		}
		settings.URLs = append(settings.URLs, u)
	}
	nodes, err := opensearchtransport.New(settings)
	if err != nil {
		return nil, pipeline.Fatal(fmt.Errorf("make a client: %w", err))
	}
	return &client{http: base, nodes: nodes}, nil
}

func (t TLS) config() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CAFile == "" {
		return c, nil
	}
	pem, err := os.ReadFile(t.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read tls.ca_file: %w", err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tls.ca_file %s holds no certificate in PEM", t.CAFile)
	}
	return c, nil
}

// onceOnly keeps the client library from repeating a request by itself: it does so after a bare io.EOF even when retries
// are off, with a body that is used up and a signature of the first time.
type onceOnly struct{ next http.RoundTripper }

func (o onceOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := o.next.RoundTrip(r)
	if errors.Is(err, io.EOF) {
		return res, errors.New("the server closed the connection before it answered")
	}
	return res, err
}

// awsSigner signs with the request's context: the library's signer asks for credentials with none.
type awsSigner struct {
	credentials aws.CredentialsProvider
	signer.Signer
}

func newSigner(ctx context.Context, a AWS) (signer.Signer, error) {
	var options []func(*awsconfig.LoadOptions) error
	if a.Region != "" {
		options = append(options, awsconfig.WithRegion(a.Region))
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("load the AWS configuration: %w", err)
	}
	if cfg.Region == "" {
		return nil, pipeline.Fatal(errors.New("auth.aws.region is not set and the AWS default chain has none"))
	}
	inner, err := awsv2.NewSignerWithService(cfg, a.Service)
	if err != nil {
		return nil, pipeline.Fatal(fmt.Errorf("make a signer: %w", err))
	}
	return awsSigner{credentials: cfg.Credentials, Signer: inner}, nil
}

// SignRequest fetches credentials where that can be cut short; the signer itself then finds them cached.
func (s awsSigner) SignRequest(r *http.Request) error {
	if _, err := s.credentials.Retrieve(r.Context()); err != nil {
		return fmt.Errorf("get AWS credentials: %w", awscreds.Explain(err))
	}
	return s.Signer.SignRequest(r)
}

// response is an answer of the cluster, read to its end.
type response struct {
	status int
	header http.Header
	body   []byte
}

// content is a request's body, which can be read from its beginning more than once.
type content struct {
	open func() io.ReadCloser
	size int64
}

// do sends one request. An error means that there was no answer.
func (c *client) do(ctx context.Context, method, path string, header http.Header, body *content) (response, error) {
	req, err := http.NewRequestWithContext(ctx, method, path, nil)
	if err != nil {
		return response{}, fmt.Errorf("make request: %w", err)
	}
	if body != nil {
		req.Body, req.ContentLength = body.open(), body.size
		// For a connection that turns out to be closed before anything was written to it.
		req.GetBody = func() (io.ReadCloser, error) { return body.open(), nil }
		req.Header.Set("Content-Type", "application/json")
	}
	for k, v := range header {
		req.Header[k] = v
	}
	res, err := c.nodes.Perform(req)
	if req.Body != nil {
		req.Body.Close() // also where it never came to sending
	}
	if err != nil {
		return response{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return response{}, fmt.Errorf("read the answer: %w", err)
	}
	return response{status: res.StatusCode, header: res.Header, body: b}, nil
}

// doJSON sends a small request. body may be empty.
func (c *client) doJSON(ctx context.Context, method, path string, body []byte) (response, error) {
	if len(body) == 0 {
		return c.do(ctx, method, path, nil, nil)
	}
	open := func() io.ReadCloser { return io.NopCloser(bytes.NewReader(body)) }
	return c.do(ctx, method, path, nil, &content{open: open, size: int64(len(body))})
}

func (c *client) close() {
	if c != nil {
		c.http.CloseIdleConnections()
	}
}
