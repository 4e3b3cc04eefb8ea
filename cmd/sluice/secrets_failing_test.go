package main

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	kgo "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/protocol/saslauthenticate"
	"github.com/segmentio/kafka-go/protocol/saslhandshake"

	"sluice/internal/config"
	"sluice/internal/testenv"
)

// secretKeys are the keys that the configuration marks as secret, behind the part that has them: "sink s3-csv secret_key".
func secretKeys(t *testing.T) (keys []string) {
	t.Helper()
	var b bytes.Buffer
	if err := config.Reference(&b); err != nil {
		t.Fatal(err)
	}
	heading, secret := regexp.MustCompile(`^[A-Z][A-Z0-9 -]+$`), regexp.MustCompile(`^(?:\w+\.<name>\.|\w+\.)(\S+)  \(.*\bsecret\)$`)
	part := ""
	for line := range strings.Lines(b.String()) {
		line = strings.TrimSuffix(line, "\n")
		if m := secret.FindStringSubmatch(line); m != nil {
			keys = append(keys, part+" "+m[1])
		} else if heading.MatchString(line) {
			part = strings.Replace(strings.ToLower(line), " of type ", " ", 1)
		}
	}
	return keys
}

// connections is a configuration whose secrets are planted, for what fails with it.
type connections struct {
	t       *testing.T
	secrets secrets
	planted map[string]bool // by secretKeys
	begun   []func()        // waits for a command and looks at what it said
}

// plant makes a secret for a key.
func (c *connections) plant(key, where string) string {
	c.planted[key] = true
	return c.secrets.plant(strings.Trim(regexp.MustCompile(`[^a-zA-Z0-9]+`).ReplaceAllString(key+" "+where, " "), " "))
}

// write makes a file of sources and sinks.
func (c *connections) write(name, state string, sources, sinks map[string]string) string {
	c.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "region: r\nstate: {dir: %s%s}\nlog: {level: debug}\nadmin: {listen: 127.0.0.1:0, token: %q}\nsources:\n",
		filepath.Join(c.t.TempDir(), "state"), state, c.plant("admin token", name))
	for _, k := range sortedKeys(sources) {
		fmt.Fprintf(&b, "  %s: %s\n", k, sources[k])
	}
	b.WriteString("sinks:\n")
	for _, k := range sortedKeys(sinks) {
		fmt.Fprintf(&b, "  %s: %s, timeout: 2s}\n", k, strings.TrimSuffix(sinks[k], "}"))
	}
	file := filepath.Join(c.t.TempDir(), name+".yaml")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return file
}

// try starts a command that must fail for the words it gives, and one that shows the configuration.
func (c *connections) try(file, want string, args ...string) {
	c.t.Helper()
	bin := testenv.Build(c.t)
	env := []string{"AWS_ACCESS_KEY_ID=AKIDPLANTED", "AWS_REGION=r",
		"AWS_SECRET_ACCESS_KEY=" + c.secrets["AWS secret key"], "AWS_SESSION_TOKEN=" + c.secrets["AWS session token"]}
	p := testenv.Start(c.t, bin, append(args, "--config", file), env)
	show := testenv.Start(c.t, bin, []string{"config", "show", "--config", file}, env)
	name := strings.Join(args, " ") + " with " + filepath.Base(file)
	c.begun = append(c.begun, func() {
		code := p.Wait()
		said := p.Stdout() + p.Stderr()
		if code != 1 || !strings.Contains(said, want) {
			c.t.Errorf("%s exits %d, want 1 and %q:\n%s", name, code, want, said)
		}
		c.secrets.check(c.t, name, said)
		if code := show.Wait(); code != 0 {
			c.t.Errorf("config show of %s exits %d", filepath.Base(file), code)
		}
		c.secrets.check(c.t, "config show of "+filepath.Base(file), show.Stdout()+show.Stderr())
	})
}

// TestFailingConnectionsShowNoSecret: the errors of stores that refuse, cannot be reached, speak no TLS, or repeat what they were
// sent. Every key that the configuration marks as secret has one here.
func TestFailingConnectionsShowNoSecret(t *testing.T) {
	t.Parallel()
	redis := testenv.StartRedis(t, "--requirepass", "another")
	mongo := strings.TrimPrefix(testenv.Mongo(t), "mongodb://")
	bucket := testenv.S3(t)
	// gateways that echo what they were sent, as some do in their error pages
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, `{"error":{"type":"security_exception","reason":"bad credentials %s"}}`, r.Header.Get("Authorization"))
	}))
	t.Cleanup(echo.Close)
	token := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, "<Error><Code>AccessDenied</Code><Message>no session %s</Message></Error>", r.Header.Get("X-Amz-Security-Token"))
	}))
	t.Cleanup(token.Close)
	plain := listening(t, func(c net.Conn) { _, _ = io.WriteString(c, "220 not what you want\r\n") }) // who hung up needs no answer
	repeats := listening(t, repeatCommands)
	broker := listening(t, refuseLogin)
	dead := closedPort(t)

	s := secrets{}
	s.plant("AWS secret key")
	s.plant("AWS session token")
	s.plant("key file")
	c := &connections{t: t, secrets: s, planted: map[string]bool{}}
	source := func(addr, more string) string {
		return fmt.Sprintf("{type: redis, addrs: [%q], password: %q%s}", addr, c.plant("source redis password", addr+more), more)
	}
	sentinel := func(addr string) string {
		return source(addr, fmt.Sprintf(", mode: sentinel, master_name: tyk, sentinel: {password: %q}", c.plant("source redis sentinel.password", addr)))
	}
	bus := func(key, mechanism, addr, more string) string {
		password := c.plant(key, mechanism+" "+addr+more)
		return fmt.Sprintf("{type: kafka, brokers: [%q], topic: t%d, sasl: {mechanism: %s, username: u, password: %q}%s}", addr, len(s), mechanism, password, more)
	}
	uri := func(kind, form, addr, db string) string {
		return fmt.Sprintf(`{type: %s, uri: "`+form+`", database: %s}`, kind, urlSafe(c.plant("sink "+kind+" uri", form)), addr, db)
	}
	basic := func(addr string) string {
		return fmt.Sprintf("auth: {basic: {username: u, password: %q}}", c.plant("sink opensearch auth.basic.password", addr))
	}
	apiKey := func(addr string) string {
		return fmt.Sprintf("auth: {api_key: {id: i, key: %q}}", c.plant("sink opensearch auth.api_key.key", addr))
	}
	s3 := func(key, name, endpoint, access string) string {
		return fmt.Sprintf("bucket: %s, endpoint: %q, path_style: true, region: %s, access_key: %q, secret_key: %q}", name, endpoint, bucket.Region, access, c.plant(key, endpoint))
	}
	const archive, sasl = "sink s3-csv secret_key", "sink kafka sasl.password"
	sinks := map[string]string{
		"mongorefused": uri("mongo-raw", "mongodb://user:%s@%s", mongo, "a"),
		"mongodead":    uri("mongo-raw", "mongodb://user:%s@%s/?serverSelectionTimeoutMS=300", dead, "b"),
		"mongotls":     uri("mongo-aggregate", "mongodb://user:%s@%s&tls=true", mongo, "c"),
		"mongosrv":     uri("mongo-aggregate", "mongodb+srv://user:%s@%s/", "nowhere.invalid", "d"),
		"searchecho":   fmt.Sprintf(`{type: opensearch, urls: [%q], %s}`, echo.URL, basic(echo.URL)),
		"searchkey":    fmt.Sprintf(`{type: opensearch, index: "k-{yyyy}", urls: [%q], %s}`, echo.URL, apiKey(echo.URL)),
		"searchtls":    fmt.Sprintf(`{type: opensearch, urls: ["https://%s"], %s}`, plain, basic(plain)),
		"searchdead":   fmt.Sprintf(`{type: opensearch, urls: ["http://%s"], %s}`, dead, apiKey(dead)),
		"s3refused":    "{type: s3-csv, " + s3(archive, bucket.Bucket, bucket.Endpoint, bucket.AccessKey),
		"s3dead":       "{type: s3-csv, " + s3(archive, "b-b", "http://"+dead, "k"),
		"s3tls":        "{type: s3-csv, " + s3(archive, "c-c", "https://"+plain, "k"),
		"s3echo":       fmt.Sprintf("{type: s3-csv, bucket: spools, endpoint: %q, path_style: true, region: r}", token.URL),
		"busplain":     bus(sasl, "plain", broker, ""),
		"bus256":       bus(sasl, "scram-sha-256", broker, ""),
		"bus512":       bus(sasl, "scram-sha-512", broker, ""),
		"busdead":      bus(sasl, "plain", dead, ""),
		"bustls":       bus(sasl, "plain", plain, ", tls: {enabled: true}"),
	}
	sources := map[string]string{
		"refused":         source(redis.Addr, ""),
		"repeats":         source(repeats, ""),
		"dead":            source(dead, ""),
		"tls":             source(plain, ", tls: {enabled: true}"),
		"sentinel":        sentinel(redis.Addr),
		"sentinelrepeats": sentinel(repeats),
	}
	c.try(c.write("all", "", sources, sinks), "fail", "check", "--connect")
	pick := func(m map[string]string, k string) map[string]string { return map[string]string{k: m[k]} }
	once := []string{"run", "--once", "--timeout", "1s"}
	c.try(c.write("dead", "", pick(sources, "dead"), pick(sinks, "searchdead")), "", once...)
	c.try(c.write("refused", "", pick(sources, "refused"), pick(sinks, "searchecho")), "WRONGPASS", once...)
	for source, want := range map[string]string{"repeats": "you said", "sentinel": "refuses sentinel.username", "sentinelrepeats": "you said"} {
		c.try(c.write(source, "", pick(sources, source), pick(sinks, "busdead")), want, once...)
	}
	for sink, want := range map[string]string{"mongorefused": "uthentication", "searchkey": "security_exception", "s3refused": "SignatureDoesNotMatch",
		"busplain": "you said", "bus256": "you said", "bus512": "you said"} {
		c.try(c.write(sink, "", pick(sources, "dead"), pick(sinks, sink)), want, once...)
	}
	c.try(c.write("spool", ", durable: false, spool: \"s3://spools/\"", pick(sources, "dead"), pick(sinks, "s3echo")), "no session", "check", "--connect")
	c.try(c.write("audit", "", pick(sources, "refused"), pick(sinks, "s3dead")), "WRONGPASS", "audit", "--output", "json")

	worker := map[string]string{"topic": bus("source kafka sasl.password", "plain", broker, ", group: g")}
	c.try(c.write("worker", "", worker, pick(sinks, "mongodead")), "you said", "check", "--connect")
	c.try(c.write("worker-run", "", worker, pick(sinks, "mongodead")), "you said", once...)
	lake := map[string]string{"lake": "{type: archive, " + s3("source archive secret_key", bucket.Bucket, bucket.Endpoint, bucket.AccessKey)}
	c.try(c.write("lake", "", lake, pick(sinks, "mongodead")), "SignatureDoesNotMatch", "check", "--connect")

	cert, damaged := clientKey(t, s["key file"])
	files := fmt.Sprintf("tls: {enabled: true, cert_file: %s, key_file: %s}", cert, damaged)
	for name, source := range map[string]string{"redis-key": source(dead, ", "+files),
		"sentinel-key": source(dead, ", mode: sentinel, master_name: tyk, sentinel: {"+files+"}")} {
		c.try(c.write(name, "", map[string]string{"main": source}, pick(sinks, "busdead")), "key_file", "check", "--connect")
	}
	c.try(c.write("bus-key", "", pick(sources, "dead"), map[string]string{"bus": bus(sasl, "plain", dead, ", "+files)}), "key_file", "check", "--connect")

	for _, end := range c.begun {
		end()
	}
	want := secretKeys(t)
	if len(want) < 11 || !slices.Contains(want, "source redis password") {
		t.Fatalf("the configuration marks as secret: %q", want)
	}
	for _, key := range want {
		if !c.planted[key] {
			t.Errorf("%s is marked as secret, and no test plants one there", key)
		}
		delete(c.planted, key)
	}
	for key := range c.planted {
		t.Errorf("%s is planted, and no key is marked as secret", key)
	}
}

// clientKey is a certificate, and a key for it that is none.
func clientKey(t *testing.T, secret string) (cert, key string) {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "client.crt"), filepath.Join(dir, "client.key")
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: s.Certificate().Raw}, key: {Type: "PRIVATE KEY", Bytes: []byte(secret)}} {
		if err := os.WriteFile(name, append([]byte(secret+"\n"), pem.EncodeToMemory(block)...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// repeatCommands answers as a proxy that knows no command does: with what it was sent.
func repeatCommands(c net.Conn) {
	for b := make([]byte, 4096); ; {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		for _, command := range strings.Split(string(b[:n]), "*")[1:] {
			if _, err := fmt.Fprintf(c, "-ERR unknown command, you said %s\r\n", strings.Join(strings.Fields(command), " ")); err != nil {
				return
			}
		}
	}
}

// refuseLogin is a Kafka broker that refuses every login and repeats it.
func refuseLogin(c net.Conn) {
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
			answer = &saslhandshake.Response{Mechanisms: []string{m.Mechanism}}
		case *saslauthenticate.Request:
			answer = &saslauthenticate.Response{ErrorCode: int16(kgo.SASLAuthenticationFailed), ErrorMessage: "you said " + string(m.AuthBytes)}
		default:
			return
		}
		if protocol.WriteResponse(c, version, id, answer) != nil {
			return
		}
	}
}

// listening is an address that serves each connection and then ends it.
func listening(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				serve(c)
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); all.Wait() }) // the programs that hold the connections ended before
	return l.Addr().String()
}
