package redislist

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/redis/rueidis"

	"sluice/internal/pipeline"
)

const (
	dialTimeout    = 5 * time.Second
	commandTimeout = 5 * time.Second // beyond it the connection counts as broken
)

// dialer makes every connection of a source: it alone knows where the primary is and how one logs in there.
type dialer struct {
	cfg   Config
	tls   *tls.Config // nil: plain
	token *iamToken   // nil: username and password
}

func newDialer(cfg Config) (*dialer, error) {
	d := &dialer{cfg: cfg}
	var err error
	if d.tls, err = cfg.TLS.load(); err != nil {
		return nil, err
	}
	if cfg.IAM.Enabled {
		d.token = newIAMToken(cfg.IAM)
	}
	return d, nil
}

// load reads the files. What is wrong with them only an operator can cure.
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

// conn connects to the primary.
func (d *dialer) conn(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var errs []error
	for _, addr := range d.cfg.Addrs {
		c, err := d.connTo(ctx, addr)
		if err == nil {
			return c, nil
		}
		errs = append(errs, fmt.Errorf("connect to %s: %w", addr, err))
	}
	return nil, errors.Join(errs...)
}

func (d *dialer) connTo(ctx context.Context, addr string) (net.Conn, error) {
	c, err := (&net.Dialer{KeepAlive: 5 * time.Second}).DialContext(ctx, "tcp", addr)
	if err != nil || d.tls == nil {
		return c, err
	}
	t := d.tls.Clone()
	if t.ServerName == "" {
		t.ServerName, _, _ = net.SplitHostPort(addr)
	}
	tc := tls.Client(c, t)
	if err := tc.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return tc, nil
}

// credentials to log in with; both empty when there is none.
func (d *dialer) credentials(ctx context.Context) (user, password string, err error) {
	if d.token == nil {
		return d.cfg.Username, d.cfg.Password, nil
	}
	password, err = d.token.get(ctx)
	return d.cfg.IAM.User, password, err
}

// client makes a client whose connections come from conn. ctx bounds the dialling only.
func (d *dialer) client(ctx context.Context) (rueidis.Client, error) {
	user, password, err := d.credentials(ctx)
	if err != nil {
		return nil, err
	}
	return rueidis.NewClient(rueidis.ClientOption{
		InitAddress: d.cfg.Addrs[:1], // only a name: DialCtxFn knows where to go
		DialCtxFn: func(dctx context.Context, _ string, _ *net.Dialer, _ *tls.Config) (net.Conn, error) {
			dctx, cancel := context.WithCancel(dctx)
			defer cancel()
			defer context.AfterFunc(ctx, cancel)()
			return d.conn(dctx)
		},
		Username:            user,
		Password:            password,
		SelectDB:            d.cfg.DB,
		ClientSetInfo:       rueidis.DisableClientSetInfo,
		ForceSingleClient:   true,
		AlwaysRESP2:         true,
		DisableCache:        true,
		DisableRetry:        true,
		PipelineMultiplex:   -1,
		RingScaleEachConn:   8,
		ReadBufferEachConn:  32 << 10,
		WriteBufferEachConn: 32 << 10,
		ConnWriteTimeout:    commandTimeout,
	})
}
