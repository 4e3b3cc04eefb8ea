package redislist

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/goccy/go-yaml"

	"sluice/internal/pipeline"
	"sluice/internal/testenv"
	"sluice/internal/units"
)

func TestConfigYAML(t *testing.T) {
	in := `
mode: single
addrs: ["redis:6379"]
username: u
password: p
db: 2
tls: {enabled: true, server_name: cache.example}
key_prefix: "{tyk}-"
uptime: false
claim: {interval: 500ms, lease: 1m, wait_replicas: 2, shield: 5m}
`
	c := Defaults()
	if err := yaml.UnmarshalWithOptions([]byte(in), &c, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	if c.Claim.WaitReplicas != 2 || c.Claim.Lease != units.Duration(time.Minute) || c.Uptime || !c.TLS.Enabled || len(c.Validate()) > 0 {
		t.Fatalf("%+v %v", c, c.Validate())
	}
	if err := yaml.Unmarshal([]byte("claim: {wait_replicas: auto}"), &c); err != nil || c.Claim.WaitReplicas != AutoReplicas {
		t.Fatal(c.Claim, err)
	}
	if err := yaml.Unmarshal([]byte("claim: {wait_replicas: some}"), &c); err == nil {
		t.Fatal("some is a number")
	}
	if ps := Defaults().Validate(); len(ps) > 0 {
		t.Fatal(ps)
	}
	if strings.Contains(c.Target(), "p\"") || !strings.Contains(c.Target(), "redis:6379") {
		t.Fatal(c.Target())
	}
}

func TestConfigProblems(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"mode":                func(c *Config) { c.Mode = "ring" },
		"addrs":               func(c *Config) { c.Addrs = nil },
		"addrs[0]":            func(c *Config) { c.Addrs = []string{"redis"} },
		"db":                  func(c *Config) { c.DB = -1 },
		"key_prefix":          func(c *Config) { c.KeyPrefix = "a b" },
		"password":            func(c *Config) { c.Username = "u" },
		"tls.enabled":         func(c *Config) { c.TLS.CAFile = "x" },
		"tls.key_file":        func(c *Config) { c.TLS.Enabled, c.TLS.CertFile = true, "x" },
		"iam.user":            func(c *Config) { c.TLS.Enabled, c.IAM = true, IAMConfig{Enabled: true, CacheName: "c"} },
		"iam.cache_name":      func(c *Config) { c.TLS.Enabled, c.IAM = true, IAMConfig{Enabled: true, User: "c"} },
		"claim.interval":      func(c *Config) { c.Claim.Interval = 0 },
		"claim.lease":         func(c *Config) { c.Claim.Lease = 1 },
		"claim.shield":        func(c *Config) { c.Claim.Shield = units.Duration(time.Second) },
		"claim.wait_replicas": func(c *Config) { c.Claim.WaitReplicas = -2 },
	} {
		c := Defaults()
		change(&c)
		ps := c.Validate()
		if len(ps) != 1 || ps[0].Key != want || ps[0].What == "" || ps[0].Cure == "" {
			t.Errorf("%s: %+v", want, ps)
		}
	}
}

// An IAM token is a presigned request without its scheme, kept until it is ten minutes old.
func TestIAMToken(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	loads := 0
	tok := newIAMToken(IAMConfig{Enabled: true, CacheName: "my-cache", User: "pump"})
	tok.clock = func() time.Time { return now }
	tok.load = func(context.Context) (aws.Config, error) {
		loads++
		return aws.Config{Region: "eu-west-1", Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "secret", SessionToken: "session"}, nil
		})}, nil
	}
	one, err := tok.get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse("http://" + one)
	if err != nil || u.Host != "my-cache" || u.Path != "/" {
		t.Fatal(one, err)
	}
	q := u.Query()
	for k, want := range map[string]string{"Action": "connect", "User": "pump", "X-Amz-Expires": "900", "X-Amz-Date": "20260102T030405Z",
		"X-Amz-Credential": "AKID/20260102/eu-west-1/elasticache/aws4_request", "X-Amz-Security-Token": "session", "X-Amz-SignedHeaders": "host"} {
		if got := q.Get(k); got != want {
			t.Errorf("%s is %q, want %q", k, got, want)
		}
	}
	if len(q.Get("X-Amz-Signature")) != 64 || strings.Contains(one, "secret") {
		t.Fatal(one)
	}
	now = now.Add(9 * time.Minute)
	if two, _ := tok.get(t.Context()); two != one || loads != 1 {
		t.Fatal("made anew too early")
	}
	now = now.Add(2 * time.Minute)
	if two, _ := tok.get(t.Context()); two == one || loads != 2 {
		t.Fatal("not made anew")
	}
}

// certificate writes a certificate for 127.0.0.1 that vouches for itself.
func certificate(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test " + rand.Text()}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	kb, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for f, b := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: kb}} {
		if err := os.WriteFile(f, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// tlsFront puts TLS with client certificates before a server.
func tlsFront(t *testing.T, upstream, certFile, keyFile string) string {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(certFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(b)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: pool,
		ClientAuth: tls.RequireAndVerifyClientCert})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", upstream)
			if err != nil {
				_ = c.Close()
				continue
			}
			wg.Go(func() { _, _ = io.Copy(up, c); _ = up.Close() })
			wg.Go(func() { _, _ = io.Copy(c, up); _ = c.Close() })
		}
	})
	t.Cleanup(func() { _ = ln.Close(); wg.Wait() })
	return ln.Addr().String()
}

// TLS is verified: the right authority and client certificate get through, everything else does not.
func TestTLS(t *testing.T) {
	srv := testenv.StartRedis(t)
	r, l := dialRedis(t, srv.Addr), analytics()
	certFile, keyFile := certificate(t)
	cfg := testConfig(tlsFront(t, srv.Addr, certFile, keyFile))
	cfg.TLS = TLSConfig{Enabled: true, CAFile: certFile, CertFile: certFile, KeyFile: keyFile}
	s, d := newSource(t, cfg, tokenA), newDrain("x")
	r.push(l.name, 0, 3)
	stop := run(t, s, d)
	st := d.stream(t, l.name)
	if es := readAll(t, st, claims(t, st, 1)[0], 0); len(es) != 3 {
		t.Fatal(es)
	}
	stop()
	for what, change := range map[string]func(*TLSConfig){
		"unknown authority": func(c *TLSConfig) { c.CAFile = "" },
		"wrong name":        func(c *TLSConfig) { c.ServerName = "another.example" },
		"no certificate":    func(c *TLSConfig) { c.CertFile, c.KeyFile = "", "" },
	} {
		bad := cfg
		change(&bad.TLS)
		if found := newSource(t, bad, tokenA).Check(t.Context()); len(fails(found)) != 1 {
			t.Errorf("%s: %v", what, found)
		}
	}
	cfg.TLS.CAFile = keyFile
	_, err := New("main", cfg, Deps{Token: tokenA, Home: "h", Log: testLog(t)})
	if class, _ := pipeline.Classify(err); class != pipeline.FatalError {
		t.Fatal(err)
	}
}

// The demo's Redis has no INFO: that is accepted only if it is said so. It also runs every script.
func TestEmbedded(t *testing.T) {
	m := miniredis.RunT(t)
	l := analytics()
	for i := range 1500 {
		if _, err := m.Push(l.name, payload(i)); err != nil {
			t.Fatal(err)
		}
	}
	cfg := testConfig(m.Addr())
	err := newSource(t, cfg, tokenA).Run(t.Context(), newDrain("x"))
	if class, _ := pipeline.Classify(err); class != pipeline.FatalError || !strings.Contains(err.Error(), "no identity") {
		t.Fatal(err)
	}
	if !m.Exists(l.name) {
		t.Fatal("a server without identity was drained")
	}
	cfg.Embedded = true
	s, d := newSource(t, cfg, tokenA), newDrain("x")
	run(t, s, d)
	st := d.stream(t, l.name)
	c := claims(t, st, 1)[0]
	if es := readAll(t, st, c, 0); len(es) != 1500 || string(es[1499].Payload) != payload(1499) {
		t.Fatal(len(es))
	}
	if err := st.Settle(t.Context(), "x", []pipeline.Settled{rng(c.ID, 0, 1100)}); err != nil {
		t.Fatal(err)
	}
	readAll(t, st, c, 1100)
	if err := st.Settle(t.Context(), "x", []pipeline.Settled{rng(c.ID, 1100, 1500)}); err != nil {
		t.Fatal(err)
	}
	a, err := s.Audit(t.Context())
	if err != nil || len(a) != 1 || a[0].Sinks["x"].Effective != 1500 || len(a[0].Strange) > 0 {
		t.Fatalf("%+v %v", a, err)
	}
}

// FuzzRegistry reads registries of any content: an error or a registry, never more.
func FuzzRegistry(f *testing.F) {
	id := "0123456789ab01234567-0000000001"
	f.Add("c:"+id, "10 1790000000000 key a,b", "o:"+id, "0", "i:"+id+":a", "5")
	f.Add("c:"+id, "10 1790000000000 key a local", "o:"+id, "x", "k:a:b:taken", "5")
	f.Add("m:a", id+"-0000000001 "+id+"-0000000002 tag with blanks", "k:", "", "until", "-1")
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2, k3, v3 string) {
		fields := map[string]string{"v": "1", "lineage": "00112233445566778899aabbccddeeff", "epoch": "0123456789ab01234567", "n": "1", "taken": "10"}
		fields[k1], fields[k2], fields[k3] = v1, v2, v3
		r, err := parseRegistry(fields)
		if err != nil {
			return
		}
		for _, c := range r.Claims {
			if back, err := parseClaim(c.ID.String(), fields["c:"+c.ID.String()]); err != nil || back.Len != c.Len || c.least() > c.Len {
				t.Fatalf("%+v", c)
			}
		}
		for _, v := range r.Members {
			if m, err := parseMembers(v); err == nil && membersString(m) != v {
				t.Fatalf("%q", v)
			}
		}
		listView{reg: r}.audit(analytics(), time.Now())
	})
}
