package redislist

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"sluice/internal/testenv"
)

// switched drains through an address while what is behind it changes from a primary to its replica, and back to having a
// replica. Each record has one effect.
func switched(t *testing.T, primary, replica *testenv.RedisServer, addr string, turn func()) {
	cfg := testConfig(addr)
	cfg.Claim.WaitReplicas = 1
	s, d := newSource(t, cfg, tokenA), newDrain("x")
	o := newOracle(t, "x")
	o.pause = 10 * time.Millisecond
	at := primary.Addr
	g := &gateway{o: o, list: analytics().name, find: func() (string, error) { return addr, nil }}
	g.wait.Store(1)
	stop := g.traffic("before", 100, 5*time.Millisecond)
	run(t, s, d)
	o.watch(d)
	eventually(t, "the drain is under way at "+at, func() bool { return o.n.Load() > 1000 })
	turn()
	stop()
	host, port, err := net.SplitHostPort(replica.Addr)
	if err != nil {
		t.Fatal(err)
	}
	dialRedis(t, primary.Addr).do("REPLICAOF", host, port)
	before := o.certain()
	stop = g.traffic("after", 100, 5*time.Millisecond)
	eventually(t, "gateways go on", func() bool { return o.certain() > before+500 })
	stop()
	o.judge()
	wantDrained(t, s)
	if reg := dialRedis(t, replica.Addr).registry(analytics()); reg.Owner != tokenA {
		t.Errorf("%+v", reg)
	}
}

// HAProxy leads to whichever server says it is the primary.
func TestHAProxySwitches(t *testing.T) {
	t.Parallel()
	primary, replica, _ := withReplica(t)
	front := testenv.StartHAProxy(t, primary.Addr, replica.Addr)
	switched(t, primary, replica, front, func() {
		primary.Kill()
		dialRedis(t, replica.Addr).do("REPLICAOF", "NO", "ONE")
		primary.Restart()
	})
}

// A name moves to the promoted replica. Connections to the old primary stay open: it is left when it says that it is none.
func TestNameMoves(t *testing.T) {
	t.Parallel()
	primary, replica, _ := withReplica(t)
	front := newCutter(t, primary.Addr)
	switched(t, primary, replica, front.addr, func() {
		dialRedis(t, replica.Addr).do("REPLICAOF", "NO", "ONE")
		front.mu.Lock()
		front.upstream = replica.Addr // for new connections alone
		front.mu.Unlock()
	})
}

// One of three Redis is dead: the others are drained as if it was not there.
func TestOneSourceIsDead(t *testing.T) {
	t.Parallel()
	dead := testenv.StartRedis(t)
	deadAddr := dead.Addr
	dead.Pause() // worse than gone: it takes connections and says nothing
	run(t, newSource(t, testConfig(deadAddr), tokenA), newDrain("x"))
	for range 2 {
		srv := testenv.StartRedis(t)
		s, d := newSource(t, testConfig(srv.Addr), tokenA), newDrain("x")
		o := newOracle(t, "x")
		g := &gateway{o: o, list: analytics().name, find: func() (string, error) { return srv.Addr, nil }}
		stop := g.traffic("alive", 100, time.Millisecond)
		run(t, s, d)
		o.watch(d)
		began := time.Now()
		eventually(t, "the living are drained", func() bool { return o.n.Load() > 2000 })
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("2000 records took %s", took)
		}
		stop()
		o.judge()
	}
	dead.Continue()
}

// A server that takes IAM tokens alone: the stub checks each as the service does, by signing it again. The login of a later
// connection has a new token once the old one is ten minutes old.
func TestIAMTokensAreRenewed(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	creds := credentials.NewStaticCredentialsProvider("AKID", "secret", "session")
	k := newIAMToken(IAMConfig{Enabled: true, CacheName: "cache", User: "sluice"})
	k.clock = func() time.Time { return now }
	k.load = func(context.Context) (aws.Config, error) {
		return aws.Config{Region: "eu-west-1", Credentials: creds}, nil
	}
	tokens := map[string]bool{}
	for range 4 {
		token, err := k.get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		verifyIAM(t, token, creds, now)
		tokens[token] = true
		now = now.Add(6 * time.Minute)
	}
	if len(tokens) != 2 { // at 0, 6, 12 and 18 minutes
		t.Errorf("%d tokens in 18 minutes, want 2", len(tokens))
	}
}

// verifyIAM checks a token as ElastiCache does: what is signed is the request without its signature, at the time it names,
// for the service elasticache, and that time is at most 15 minutes ago.
func verifyIAM(t *testing.T, token string, creds aws.CredentialsProvider, now time.Time) {
	t.Helper()
	u, err := url.Parse("http://" + token)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	made, err := time.Parse("20060102T150405Z", q.Get("X-Amz-Date"))
	if err != nil || now.Sub(made) >= 15*time.Minute || now.Before(made) {
		t.Fatalf("made %s, presented %s: %v", made, now, err)
	}
	if u.Host != "cache" || q.Get("Action") != "connect" || q.Get("User") != "sluice" || q.Get("X-Amz-Expires") != "900" ||
		!strings.Contains(q.Get("X-Amz-Credential"), "/eu-west-1/elasticache/aws4_request") {
		t.Fatalf("%s", token)
	}
	c, err := creds.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	plain := url.Values{"Action": q["Action"], "User": q["User"], "X-Amz-Expires": q["X-Amz-Expires"]}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://cache/?"+plain.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	const ofNothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	want, _, err := v4.NewSigner().PresignHTTP(t.Context(), c, r, ofNothing, "elasticache", "eu-west-1", made)
	if err != nil {
		t.Fatal(err)
	}
	w, err := url.Parse(want)
	if err != nil || w.Query().Get("X-Amz-Signature") != q.Get("X-Amz-Signature") || q.Get("X-Amz-Signature") == "" {
		t.Fatalf("signature %q, want %q", q.Get("X-Amz-Signature"), w.Query().Get("X-Amz-Signature"))
	}
}
