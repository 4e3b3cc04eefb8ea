package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"sluice/internal/testenv/install"
	"sluice/internal/testenv/launch"
)

// How Redis is run, if not as one server behind a stable name.
const (
	bySentinel = "sentinel" // a primary and a replica, three Sentinels; pumps find the primary by themselves, past any proxy
	asCluster  = "cluster"  // three primaries, each with a replica; past any proxy too
	withTLS    = "tls"      // one server, which pumps reach by TLS through the proxy
)

// startSentinel starts a pair and those who watch it.
func (w *world) startSentinel(ctx context.Context) (err error) {
	h, p, _ := strings.Cut(w.redis.Addr, ":")
	if w.second, err = w.oneRedis(ctx, "replica", "--replicaof", h+" "+p); err != nil {
		return err
	}
	bin, err := install.RedisServer()
	if err != nil {
		return err
	}
	for i := range 3 {
		dir := filepath.Join(w.opts.dir, "sentinel"+strconv.Itoa(i))
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		s, err := launch.WatchingSentinel(ctx, bin, dir, w.redis.Addr)
		if s != nil {
			w.watchers = append(w.watchers, s)
		}
		if err != nil {
			return err
		}
	}
	if err := w.inStep(ctx); err != nil {
		return err
	}
	return w.await(ctx, "the Sentinels know the replica and each other", func() (bool, error) {
		return w.sentinelsAgree(ctx), nil
	})
}

// inStep waits until the primary has its replica.
func (w *world) inStep(ctx context.Context) error {
	return w.await(ctx, "the replica is in step", func() (bool, error) {
		info, err := w.info(ctx, "replication")
		return strings.Contains(info["slave0"], "state=online"), err
	})
}

// sentinelsAgree tells whether every Sentinel knows one replica and two others.
func (w *world) sentinelsAgree(ctx context.Context) bool {
	for _, s := range w.watchers {
		c, err := connect(s.Addr)
		if err != nil {
			return false
		}
		m, err := c.Do(ctx, c.B().Arbitrary("SENTINEL", "MASTER", launch.MasterName).Build()).AsStrMap()
		c.Close()
		if err != nil || m["num-slaves"] != "1" || m["num-other-sentinels"] != "2" {
			return false
		}
	}
	return true
}

// namedPrimary is the address that the first Sentinel gives.
func (w *world) namedPrimary(ctx context.Context) (string, error) {
	c, err := connect(w.watchers[0].Addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	at, err := c.Do(ctx, c.B().Arbitrary("SENTINEL", "GET-MASTER-ADDR-BY-NAME", launch.MasterName).Build()).AsStrSlice()
	if err != nil || len(at) != 2 {
		return "", errors.Join(err, fmt.Errorf("strange answer %q", at))
	}
	return net.JoinHostPort(at[0], at[1]), nil
}

// startCluster starts six nodes and makes them a Cluster.
func (w *world) startCluster(ctx context.Context) error {
	bin, err := install.RedisServer()
	if err != nil {
		return err
	}
	cli, err := install.RedisCLI()
	if err != nil {
		return err
	}
	var addrs []string
	for i := range 6 {
		dir := filepath.Join(w.opts.dir, "node"+strconv.Itoa(i))
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		n, err := launch.RedisNode(ctx, bin, dir, redisArgs...)
		if n != nil {
			w.nodes = append(w.nodes, n)
		}
		if err != nil {
			return err
		}
		addrs = append(addrs, n.Addr)
	}
	if err := launch.CreateCluster(ctx, cli, addrs, 1); err != nil {
		return err
	}
	w.client, err = rueidis.NewClient(rueidis.ClientOption{InitAddress: addrs, DisableCache: true, DisableRetry: true, ConnWriteTimeout: giveUp})
	return err
}

// addrs are those of several servers.
func addrs(servers []*launch.Server) string {
	var out []string
	for _, s := range servers {
		out = append(out, strconv.Quote(s.Addr))
	}
	return strings.Join(out, ", ")
}

// keys are those that match, on whatever node they lie.
func (w *world) keys(ctx context.Context, pattern string) ([]string, error) {
	if len(w.nodes) == 0 {
		return w.client.Do(ctx, w.client.B().Keys().Pattern(pattern).Build()).AsStrSlice()
	}
	seen := map[string]bool{}
	for _, n := range w.nodes {
		c, err := connect(n.Addr)
		if err != nil {
			return nil, err
		}
		some, err := c.Do(ctx, c.B().Keys().Pattern(pattern).Build()).AsStrSlice()
		c.Close()
		if err != nil {
			return nil, err
		}
		for _, k := range some {
			seen[k] = true
		}
	}
	return sortedKeys(seen), nil
}

// redisWay is how a configuration reaches Redis.
func (w *world) redisWay() string {
	switch w.opts.shape.Mode {
	case bySentinel:
		return fmt.Sprintf("mode: sentinel, addrs: [%s], master_name: %s", addrs(w.watchers), launch.MasterName)
	case asCluster:
		return fmt.Sprintf("mode: cluster, addrs: [%s]", addrs(w.nodes))
	case withTLS:
		return fmt.Sprintf("addrs: [%q], tls: {enabled: true, ca_file: %s}", w.ways["redis"].proxy.Addr(), w.certificate())
	}
	return fmt.Sprintf("addrs: [%q]", w.ways["redis"].proxy.Addr())
}

func (w *world) certificate() string { return filepath.Join(w.opts.dir, "redis.crt") }

// certify makes a certificate for this machine, which vouches for itself, and returns what a server needs to be told to take
// TLS on another port.
func (w *world) certify() ([]string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "soak"}, NotBefore: time.Now().Add(-24 * time.Hour),
		NotAfter: time.Now().Add(30 * 24 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(w.opts.dir, "redis.key")
	port, err := launch.FreePort()
	if err == nil {
		err = os.WriteFile(w.certificate(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
	}
	if err == nil {
		err = os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600)
	}
	w.secure = fmt.Sprintf("127.0.0.1:%d", port)
	return []string{"--tls-port", strconv.Itoa(port), "--tls-cert-file", w.certificate(), "--tls-key-file", file,
		"--tls-ca-cert-file", w.certificate(), "--tls-auth-clients", "no"}, err
}
