package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	signer "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	kgo "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	msk "github.com/segmentio/kafka-go/sasl/aws_msk_iam_v2"
	saslplain "github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"sluice/internal/pipeline"
)

// dialTimeout bounds a connection to one broker, its logins included.
const dialTimeout = 10 * time.Second

// metadataTTL is how long the leaders of partitions are remembered. An error of a moved leader asks for them anew.
const metadataTTL = 5 * time.Second

// Access is the way to a cluster, ready for use: certificates read, credentials at hand.
type Access struct {
	brokers   []string
	tls       *tls.Config
	mechanism sasl.Mechanism
}

// NewAccess reads certificates and credentials. Nothing is connected to.
func NewAccess(ctx context.Context, c Config) (*Access, error) {
	a := &Access{brokers: c.Brokers}
	var err error
	if a.tls, err = c.TLS.load(); err != nil {
		return nil, err
	}
	a.mechanism, err = c.SASL.load(ctx)
	return a, err
}

// Client makes a client with connections of its own, which end with CloseClient. Its calls may be made concurrently.
func (a *Access) Client(topic string) *kgo.Client {
	d := &net.Dialer{Timeout: dialTimeout}
	return &kgo.Client{Addr: kgo.TCP(a.brokers...), Timeout: time.Minute, Transport: &kgo.Transport{
		Dial: d.DialContext, DialTimeout: dialTimeout, ClientID: "sluice", TLS: a.tls, SASL: a.mechanism,
		MetadataTTL: metadataTTL, MetadataTopics: []string{topic},
	}}
}

// CloseClient ends a client's connections.
func CloseClient(c *kgo.Client) {
	if t, ok := c.Transport.(*kgo.Transport); ok {
		t.CloseIdleConnections()
	}
}

// Dialer is the way for a member of a consumer group.
func (a *Access) Dialer() *kgo.Dialer {
	return &kgo.Dialer{ClientID: "sluice", Timeout: dialTimeout, TLS: a.tls, SASLMechanism: a.mechanism}
}

// Brokers are the brokers as configured.
func (a *Access) Brokers() []string { return a.brokers }

func (c TLSConfig) load() (*tls.Config, error) {
	if !c.Enabled {
		return nil, nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, pipeline.Fatal(fmt.Errorf("read tls.ca_file: %w", err))
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, pipeline.Fatal(fmt.Errorf("tls.ca_file %s holds no certificate", c.CAFile))
		}
	}
	if c.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, pipeline.Fatal(fmt.Errorf("read tls.cert_file and tls.key_file: %w", err))
		}
		t.Certificates = []tls.Certificate{cert}
	}
	return t, nil
}

func (s SASLConfig) load(ctx context.Context) (sasl.Mechanism, error) {
	switch s.Mechanism {
	case "":
		return nil, nil
	case plain:
		return saslplain.Mechanism{Username: s.Username, Password: s.Password}, nil
	case scramSHA256, scramSHA512:
		algorithm := scram.SHA256
		if s.Mechanism == scramSHA512 {
			algorithm = scram.SHA512
		}
		m, err := scram.Mechanism(algorithm, s.Username, s.Password)
		if err != nil {
			return nil, pipeline.Fatal(fmt.Errorf("sasl.username and sasl.password: %w", err))
		}
		return m, nil
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithRegion(s.Region))
	if err != nil {
		return nil, fmt.Errorf("AWS credentials for the brokers: %w", err)
	}
	if cfg.Region == "" {
		return nil, pipeline.Fatal(errors.New("sasl.region is missing, and the environment names no AWS region"))
	}
	return &msk.Mechanism{Signer: signer.NewSigner(), Credentials: cfg.Credentials, Region: cfg.Region}, nil
}
