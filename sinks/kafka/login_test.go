package kafka

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	kgo "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/protocol/saslauthenticate"
	"github.com/segmentio/kafka-go/protocol/saslhandshake"

	bus "sluice/internal/kafka"
	"sluice/internal/pipeline"
	"sluice/internal/testenv"
	"sluice/internal/testenv/launch"
)

// authority signs certificates for 127.0.0.1.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	file string
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t}
	a.key, a.cert = a.make("authority", nil, nil)
	a.file = a.write("ca.pem", pemOf("CERTIFICATE", a.cert.Raw))
	return a
}

func (a *authority) make(name string, parent *x509.Certificate, by *ecdsa.PrivateKey) (*ecdsa.PrivateKey, *x509.Certificate) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: parent == nil,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	if parent == nil {
		parent, by = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, by)
	if err != nil {
		a.t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		a.t.Fatal(err)
	}
	return key, c
}

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func (a *authority) write(name, text string) string {
	file := filepath.Join(a.t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return file
}

// signed is a certificate with its key, as PEM.
func (a *authority) signed(name string) (cert, key string) {
	a.t.Helper()
	k, c := a.make(name, a.cert, a.key)
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	return pemOf("CERTIFICATE", c.Raw), pemOf("PRIVATE KEY", der)
}

// TestSecuredBroker: TLS with client certificates, SASL PLAIN, and SCRAM over TLS, against a broker; what is wrong is said with its
// cure, and needs an operator.
func TestSecuredBroker(t *testing.T) {
	ports := make([]int, 4)
	for i := range ports {
		var err error
		if ports[i], err = launch.FreePort(); err != nil {
			t.Fatal(err)
		}
	}
	nowhere := bus127(ports[3])
	ca := newAuthority(t)
	cert, key := ca.signed("broker")
	store := ca.write("broker.pem", key+cert)
	server := testenv.StartKafka(t, launch.KafkaConfig{
		Listeners: []launch.KafkaListener{
			{Name: "LOGIN", Port: ports[0], Protocol: "SASL_PLAINTEXT"}, {Name: "CERTS", Port: ports[1], Protocol: "SSL"},
			{Name: "SCRAM", Port: ports[2], Protocol: "SASL_SSL"}, {Name: "LOST", Port: ports[3], Protocol: "PLAINTEXT", Advertised: "127.0.0.1:1"},
		},
		Settings: []string{"sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512", "listener.name.login.sasl.enabled.mechanisms=PLAIN",
			"listener.name.login.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_jane=\"sesame\";",
			"listener.name.scram.sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512",
			"listener.name.scram.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;",
			"listener.name.scram.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;",
			"ssl.keystore.type=PEM", "ssl.keystore.location=" + store, "ssl.truststore.type=PEM", "ssl.truststore.location=" + ca.file,
			"listener.name.certs.ssl.client.auth=required"},
	})
	plain := testConfig(t, server.Addr)
	open(t, plain)
	scramUser(t, plain, "jane", "sesame")
	fatal := func(what string, c Config, want string) {
		t.Helper()
		s := newSink(t, c)
		defer s.Close(t.Context())
		err := s.Open(t.Context())
		if class, _ := pipeline.Classify(err); err == nil || class != pipeline.FatalError || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want a fatal error with %q", what, err, want)
		}
	}
	to := func(port int, edit func(*Config)) Config {
		c := plain
		c.Brokers = []string{bus127(port)}
		edit(&c)
		return c
	}
	login := func(mechanism, password string) func(*Config) {
		return func(c *Config) { c.SASL = bus.SASLConfig{Mechanism: mechanism, Username: "jane", Password: password} }
	}
	open(t, to(ports[0], login("plain", "sesame")))
	fatal("a wrong password", to(ports[0], login("plain", "simsim")), "sasl.password")
	fatal("a mechanism that is not enabled", to(ports[0], login("scram-sha-256", "sesame")), "sasl.mechanism")

	clientCert, clientKey := ca.signed("sluice")
	certs := func(c *Config) {
		c.TLS = bus.TLSConfig{Enabled: true, CAFile: ca.file, CertFile: ca.write("cert.pem", clientCert), KeyFile: ca.write("key.pem", clientKey)}
	}
	open(t, to(ports[1], certs))
	fatal("another authority", to(ports[1], func(c *Config) { certs(c); c.TLS.CAFile = newAuthority(t).file }), "tls.ca_file")
	for what, c := range map[string]Config{"TLS at a listener without": to(ports[0], certs), "no login at one with": to(ports[0], func(*Config) {}),
		"no TLS at one with": to(ports[1], func(*Config) {})} {
		s := newSink(t, c)
		if err := s.Open(t.Context()); err == nil || !strings.Contains(err.Error(), "tls.enabled") {
			t.Errorf("%s: %v", what, err)
		}
		_ = s.Close(t.Context())
	}
	withoutCert := to(ports[1], func(c *Config) { certs(c); c.TLS.CertFile, c.TLS.KeyFile = "", "" })
	if err := newSink(t, withoutCert).Open(t.Context()); err == nil {
		t.Error("without a client certificate it is let in")
	}

	for _, mechanism := range []string{"scram-sha-256", "scram-sha-512"} {
		scram := func(password string) Config {
			return to(ports[2], func(c *Config) {
				login(mechanism, password)(c)
				c.TLS = bus.TLSConfig{Enabled: true, CAFile: ca.file}
			})
		}
		open(t, scram("sesame"))
		fatal(mechanism+" with a wrong password", scram("simsim"), "sasl.password")
	}

	lost := newSink(t, to(ports[3], func(*Config) {}))
	defer lost.Close(t.Context())
	err := lost.Open(t.Context())
	if class, _ := pipeline.Classify(err); err == nil || class == pipeline.FatalError || !strings.Contains(err.Error(), "127.0.0.1:1") ||
		!strings.Contains(err.Error(), "advertised.listeners") {
		t.Errorf("a listener at %s that advertises another address: %v", nowhere, err)
	}
}

// scramUser makes a user that logs in by SCRAM.
func scramUser(t *testing.T, c Config, name, password string) {
	t.Helper()
	a, err := bus.NewAccess(t.Context(), c.way())
	if err != nil {
		t.Fatal(err)
	}
	client := a.Client(c.Topic)
	defer bus.CloseClient(client)
	var ups []kgo.UserScramCredentialsUpsertion
	for mechanism, h := range map[kgo.ScramMechanism]func() hash.Hash{kgo.ScramMechanismSha256: sha256.New, kgo.ScramMechanismSha512: sha512.New} {
		salt := []byte("0123456789abcdef")
		salted, err := pbkdf2.Key(h, password, salt, 4096, h().Size())
		if err != nil {
			t.Fatal(err)
		}
		ups = append(ups, kgo.UserScramCredentialsUpsertion{Name: name, Mechanism: mechanism, Iterations: 4096, Salt: salt, SaltedPassword: salted})
	}
	for _, up := range ups { // a user may be there once in a request
		res, err := client.AlterUserScramCredentials(t.Context(), &kgo.AlterUserScramCredentialsRequest{Upsertions: []kgo.UserScramCredentialsUpsertion{up}})
		if err != nil || res.Results[0].Error != nil {
			t.Fatal(err, res)
		}
	}
}

// mskStub is a broker that lets in who signs as MSK demands, and then hangs up.
type mskStub struct {
	t        *testing.T
	listener net.Listener
	secret   string

	mu      sync.Mutex
	verdict error
	asked   int
	done    sync.WaitGroup
}

func newMSKStub(t *testing.T, ca *authority, secret string) *mskStub {
	t.Helper()
	cert, key := ca.signed("msk")
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	s := &mskStub{t: t, listener: l, secret: secret}
	s.done.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.done.Go(func() { defer c.Close(); s.serve(c) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); s.done.Wait() })
	return s
}

func (s *mskStub) serve(c net.Conn) {
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	for {
		version, id, _, msg, err := protocol.ReadRequest(c)
		if err != nil {
			return
		}
		var answer protocol.Message
		switch m := msg.(type) {
		case *apiversions.Request:
			answer = &apiversions.Response{ApiKeys: []apiversions.ApiKeyResponse{{ApiKey: int16(protocol.SaslHandshake), MaxVersion: 1},
				{ApiKey: int16(protocol.SaslAuthenticate), MaxVersion: 1}, {ApiKey: int16(protocol.ApiVersions), MaxVersion: 2}}}
		case *saslhandshake.Request:
			answer = &saslhandshake.Response{Mechanisms: []string{"AWS_MSK_IAM"}}
		case *saslauthenticate.Request:
			err := s.judge(m.AuthBytes)
			s.mu.Lock()
			s.verdict, s.asked = err, s.asked+1
			s.mu.Unlock()
			if err != nil {
				answer = &saslauthenticate.Response{ErrorCode: int16(kgo.SASLAuthenticationFailed), ErrorMessage: err.Error()}
			} else {
				answer = &saslauthenticate.Response{AuthBytes: []byte(`{"version":"2020_10_22","request-id":"1"}`)}
			}
		default:
			return
		}
		if protocol.WriteResponse(c, version, id, answer) != nil {
			return
		}
	}
}

// judge computes the signature as AWS documents it (Signature Version 4, presigned query) and compares.
func (s *mskStub) judge(data []byte) error {
	var f map[string]string
	if err := json.Unmarshal(data, &f); err != nil {
		return err
	}
	if f["version"] != "2020_10_22" || f["action"] != "kafka-cluster:Connect" || f["host"] != "127.0.0.1" {
		return fmt.Errorf("fields %v", f)
	}
	if at, err := time.Parse("20060102T150405Z", f["x-amz-date"]); err != nil || time.Since(at).Abs() > time.Minute {
		return fmt.Errorf("signed at %q", f["x-amz-date"])
	}
	scope := strings.SplitN(f["x-amz-credential"], "/", 2)
	if len(scope) != 2 || scope[0] != "AKIDTEST" || !strings.HasSuffix(scope[1], "/eu-west-1/kafka-cluster/aws4_request") {
		return fmt.Errorf("credential %q", f["x-amz-credential"])
	}
	var query []string
	for wire, name := range map[string]string{"action": "Action", "x-amz-algorithm": "X-Amz-Algorithm", "x-amz-credential": "X-Amz-Credential",
		"x-amz-date": "X-Amz-Date", "x-amz-expires": "X-Amz-Expires", "x-amz-signedheaders": "X-Amz-SignedHeaders", "x-amz-security-token": "X-Amz-Security-Token"} {
		if v, ok := f[wire]; ok {
			query = append(query, name+"="+strings.ReplaceAll(url.QueryEscape(v), "+", "%20"))
		}
	}
	slices.Sort(query)
	empty := sha256.Sum256(nil)
	canonical := "GET\n/\n" + strings.Join(query, "&") + "\nhost:" + f["host"] + "\n\nhost\n" + hex.EncodeToString(empty[:])
	sum := sha256.Sum256([]byte(canonical))
	key := []byte("AWS4" + s.secret)
	for _, part := range append(strings.Split(scope[1], "/"), "AWS4-HMAC-SHA256\n"+f["x-amz-date"]+"\n"+scope[1]+"\n"+hex.EncodeToString(sum[:])) {
		h := hmac.New(sha256.New, key)
		_, _ = io.WriteString(h, part) // never fails
		key = h.Sum(nil)
	}
	if hex.EncodeToString(key) != f["x-amz-signature"] {
		return errors.New("the signature is wrong")
	}
	return nil
}

// TestMSKIAMSignsForEachConnection: the token that a connection logs in with is signed as AWS documents it; one of another key is refused,
// which needs an operator.
func TestMSKIAMSignsForEachConnection(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDTEST")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "sesame")
	t.Setenv("AWS_SESSION_TOKEN", "a session/token+")
	ca := newAuthority(t)
	for secret, let := range map[string]bool{"sesame": true, "simsim": false} {
		stub := newMSKStub(t, ca, secret)
		c := testConfig(t, stub.listener.Addr().String())
		c.TLS = bus.TLSConfig{Enabled: true, CAFile: ca.file}
		c.SASL = bus.SASLConfig{Mechanism: "aws_msk_iam", Region: "eu-west-1"}
		s := newSink(t, c)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		err := s.Open(ctx)
		cancel()
		_ = s.Close(t.Context())
		stub.mu.Lock()
		verdict, asked := stub.verdict, stub.asked
		stub.mu.Unlock()
		if asked == 0 || (verdict == nil) != let {
			t.Errorf("the broker's secret is %s: asked %d times, %v", secret, asked, verdict)
		}
		if class, _ := pipeline.Classify(err); (class == pipeline.FatalError) == let {
			t.Errorf("the broker's secret is %s: %v", secret, err)
		}
	}
}
