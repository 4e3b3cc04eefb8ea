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

// dialer makes every connection of a source: it alone knows how one finds a server and logs in there.
type dialer struct {
	cfg       Config
	tls       *tls.Config // nil: plain
	sentinels *tls.Config // of the Sentinels
	token     *iamToken   // nil: username and password
}

func newDialer(cfg Config) (*dialer, error) {
	d := &dialer{cfg: cfg}
	var err error
	if d.tls, err = cfg.TLS.load("tls"); err != nil {
		return nil, err
	}
	if d.sentinels, err = cfg.Sentinel.TLS.load("sentinel.tls"); err != nil {
		return nil, err
	}
	if cfg.IAM.Enabled {
		d.token = newIAMToken(cfg.IAM)
	}
	return d, nil
}

// load reads the files. What is wrong with them only an operator can cure.
// key is where the configuration has them.
func (c TLSConfig) load(key string) (*tls.Config, error) {
	if !c.Enabled {
		return nil, nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, pipeline.Fatal(fmt.Errorf("read %s.ca_file: %w", key, err))
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, pipeline.Fatal(fmt.Errorf("%s.ca_file %s holds no certificate", key, c.CAFile))
		}
	}
	if c.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, pipeline.Fatal(fmt.Errorf("read %s.cert_file and %s.key_file: %w", key, key, err))
		}
		t.Certificates = []tls.Certificate{cert}
	}
	return t, nil
}

// conn connects to host:port. Names are looked up each time, since they move.
func (d *dialer) conn(ctx context.Context, addr string, with *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	c, err := (&net.Dialer{KeepAlive: 5 * time.Second}).DialContext(ctx, "tcp", addr)
	if err != nil || with == nil {
		return c, err
	}
	t := with.Clone()
	if t.ServerName == "" {
		t.ServerName, _, _ = net.SplitHostPort(addr)
	}
	tc := tls.Client(c, t)
	if err := tc.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("TLS with %s: %w", addr, err), c.Close())
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

// control connects to the primary, wherever it is now. In a Cluster there is none: it is any node that answers.
func (d *dialer) control(ctx context.Context) (*control, error) {
	if d.cfg.Mode != ModeSentinel {
		return d.firstOf(ctx, d.cfg.Addrs)
	}
	addr, err := d.primary(ctx)
	if err != nil {
		return nil, err
	}
	return d.controlAt(ctx, addr)
}

// to connects to where a session is to work.
func (d *dialer) to(ctx context.Context, at place) (*control, error) {
	if at.addr == "" {
		return d.control(ctx)
	}
	return d.controlAt(ctx, at.addr)
}

// firstOf connects to the first of several addresses that is a primary; if none is, to the first that answers.
func (d *dialer) firstOf(ctx context.Context, addrs []string) (found *control, err error) {
	var errs []error
	for _, addr := range addrs {
		c, err := d.controlAt(ctx, addr)
		switch {
		case err != nil:
			errs = append(errs, err)
			continue
		case len(addrs) == 1 || d.cfg.Mode == ModeCluster || c.isPrimary(ctx):
			if found != nil {
				found.close()
			}
			return c, nil
		case found == nil:
			found = c
		default:
			c.close()
		}
	}
	if found != nil {
		return found, nil
	}
	return nil, errors.Join(errs...)
}

// controlAt connects to a server and logs in there.
func (d *dialer) controlAt(ctx context.Context, addr string) (*control, error) {
	user, password, err := d.credentials(ctx)
	if err != nil {
		return nil, err
	}
	ls := &lines{}
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{addr},
		DialCtxFn: func(dctx context.Context, _ string, _ *net.Dialer, _ *tls.Config) (net.Conn, error) {
			dctx, cancel := context.WithCancel(dctx)
			defer cancel()
			defer context.AfterFunc(ctx, cancel)() // which bounds the dialling only
			nc, err := d.conn(dctx, addr, d.tls)
			if err == nil {
				ls.add(nc)
			}
			return nc, err
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
	if err != nil {
		return nil, err
	}
	conn, _ := client.Dedicate()
	c := &control{client: client, conn: conn, addr: addr, lines: ls, broken: make(chan struct{})}
	if _, err := c.do(ctx, conn.B().Ping().Build()); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}
