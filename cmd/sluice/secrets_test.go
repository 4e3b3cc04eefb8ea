package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/internal/record"
	"sluice/internal/testenv"
	"sluice/internal/testenv/launch"
)

// secrets are what must not show, each under the name of where it was planted.
type secrets map[string]string

// plant makes a secret with characters that encoders change.
func (s secrets) plant(where string) string {
	v := fmt.Sprintf("pl4nted+%s/%d", strings.ReplaceAll(where, " ", "-"), len(s))
	s[where] = v
	return v
}

// found names what is in the text, as it was planted or as some encoder would write it.
func (s secrets) found(text string) (names []string) {
	for where, v := range s {
		quoted, _ := json.Marshal(v)
		for _, form := range []string{v, string(quoted[1 : len(quoted)-1]), urlSafe(v), inBase64(v, 0), inBase64(v, 1), inBase64(v, 2)} {
			if strings.Contains(text, form) {
				names = append(names, where)
				break
			}
		}
	}
	return names
}

// inBase64 is what the middle of a text looks like in base64 with some bytes before it.
func inBase64(v string, before int) string {
	all := base64.StdEncoding.EncodeToString([]byte("xxx"[:before] + v + "xxx"))
	return all[4 : 4+len(v)]
}

func (s secrets) check(t *testing.T, where, text string) {
	t.Helper()
	if len(text) == 0 {
		t.Errorf("%s shows nothing at all: the test does not work", where)
	}
	if names := s.found(text); len(names) > 0 {
		t.Errorf("%s shows the secret of: %s\n%s", where, strings.Join(names, ", "), text)
	}
}

// called is a request as a caller made it, with secrets in it.
func (s secrets) called(n int, at time.Time) []byte {
	return made(n, at, func(r *record.Record) {
		r.APIKey, r.OauthID = s["api key"], s["oauth id"]
		r.RawRequest = base64.StdEncoding.EncodeToString([]byte("POST / HTTP/1.1\r\nAuthorization: " + s["request body"]))
		r.RawResponse = s["response body"]
	})
}

// TestNothingShowsASecret plants secrets wherever the configuration and the traffic have them, and looks for them in
// everything that a running, well program shows at its most talkative.
func TestNothingShowsASecret(t *testing.T) {
	t.Parallel()
	s := secrets{}
	for _, where := range []string{"api key", "oauth id", "request body", "response body", "payload that does not decode"} {
		s.plant(where)
	}
	r := newRig(t).withArchive().withSearch().withRaw()
	r.sink("local", "sqlite", "path: "+filepath.Join(r.dir, "local.db"))
	s["S3 secret key"] = r.bucket.SecretKey
	redisPassword := filepath.Join(r.dir, "redis-password")
	if err := os.WriteFile(redisPassword, []byte(s.plant("Redis password")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sentinels := testenv.StartSentinels(t, r.redis, "requirepass "+s.plant("Sentinel password"), "sentinel auth-pass "+launch.MasterName+" "+s["Redis password"])
	file := r.file(func(c string) string {
		c = strings.Replace(c, `addrs: ["`+r.redis.Addr+`"]`, fmt.Sprintf("mode: sentinel\n    addrs: [%s]\n    master_name: %s\n    sentinel: {password: %q}",
			strings.Join(sentinels.Addrs, ", "), sentinels.Master, s["Sentinel password"]), 1)
		c = strings.Replace(c, "type: redis", "type: redis\n    password: ${file:"+redisPassword+"}", 1)
		c = strings.Replace(c, "secret_key: "+r.bucket.SecretKey, "secret_key: wrong-unless-replaced", 1)
		c = strings.Replace(c, "type: opensearch", "type: opensearch, auth: {basic: {username: u, password: \"${SEARCH_PASSWORD}\"}}", 1)
		c = strings.Replace(c, "admin: {", "log: {level: debug, format: json}\nadmin: {token: "+s.plant("admin token")+", ", 1)
		return strings.Replace(c, "past: 36500d", "past: 365d", 1)
	})
	env := []string{"SEARCH_PASSWORD=" + s.plant("OpenSearch password"), "SLUICE_SINKS_ARCHIVE_SECRET_KEY=" + r.bucket.SecretKey}
	now := time.Now()
	for i := range 20 {
		r.push(msgpackList, s.called(i, now))
	}
	r.push(msgpackList, []byte(s["payload that does not decode"]), s.called(20, now.Add(-10*365*24*time.Hour)))
	r.push(protobufList, []byte("\x0a\x7f"+s["payload that does not decode"]))

	if err := r.client.Do(t.Context(), r.client.B().ConfigSet().ParameterValue().ParameterValue("requirepass", s["Redis password"]).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	p := testenv.Start(t, r.bin, []string{"run", "--config", file}, env)
	p.WaitFor("console")
	where := consoleAddress(t, p)
	run := func(args ...string) *testenv.Process {
		c := testenv.Start(t, r.bin, append(args, "--config", file), env)
		c.Wait()
		return c
	}
	balanced := func() (a audit) {
		_ = json.Unmarshal([]byte(run("audit", "--output", "json").Stdout()), &a) // empty as long as it fails
		return a
	}
	deadline := time.Now().Add(time.Minute)
	for a := balanced(); a.Taken < 23 || a.Sinks["archive"].Pending+a.Sinks["search"].Pending+a.Sinks["local"].Pending > 0; a = balanced() {
		if time.Now().After(deadline) {
			t.Fatalf("never drained: %+v", a.Sinks)
		}
		time.Sleep(200 * time.Millisecond)
	}
	for _, path := range []string{"/", "/api/status", "/api/traffic", "/api/deadletters", "/metrics", "/live", "/ready", "/login", "/static/app.js"} {
		s.check(t, path, get(t, where+path, s["admin token"]))
	}
	if traffic := get(t, where+"/api/traffic?from="+now.Add(-time.Hour).UTC().Format(time.RFC3339), s["admin token"]); !strings.Contains(traffic, `"hits":20`) {
		t.Errorf("the traffic that was looked through is not there:\n%s", traffic)
	}
	p.Terminate()
	if code := p.Wait(); code != 0 {
		t.Errorf("the pump ends with %d", code)
	}
	s.check(t, "the log", p.Stdout()+p.Stderr())
	for _, args := range [][]string{{"check"}, {"check", "--connect"}, {"check", "--connect", "--output", "json"}, {"config", "show"},
		{"audit"}, {"audit", "--output", "json"}, {"deadletters", "list"}, {"retain"}, {"archive", "ls"}, {"archive", "stats"}} {
		c := run(args...)
		if c.ExitCode() != 0 {
			t.Errorf("%v exits %d:\n%s%s", args, c.ExitCode(), c.Stdout(), c.Stderr())
		}
		s.check(t, strings.Join(args, " "), c.Stdout()+c.Stderr())
	}
	for _, args := range [][]string{{"deadletters", "export"}, {"deadletters", "list", "--output", "json"}} { // the user asks for the bytes
		if out := run(args...).Stdout(); !strings.Contains(out, base64.StdEncoding.EncodeToString([]byte(s["payload that does not decode"]))[:20]) {
			t.Errorf("%v does not have the bytes", args)
		}
	}
}

// consoleAddress is where the console of a process is.
func consoleAddress(t *testing.T, p *testenv.Process) string {
	t.Helper()
	_, rest, ok := strings.Cut(p.Stderr(), "http://")
	if !ok {
		t.Fatalf("no address in the log:\n%s", p.Stderr())
	}
	return "http://" + rest[:strings.IndexAny(rest, "\" \n")]
}

// get reads a page with a token and returns its body, whatever the status.
func get(t *testing.T, url, token string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Close = true
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode >= http.StatusInternalServerError {
		t.Fatalf("%s: status %d, %v", url, res.StatusCode, err)
	}
	return string(body)
}

// urlSafe escapes a password for a URI.
func urlSafe(s string) string { return strings.NewReplacer("+", "%2B", "/", "%2F").Replace(s) }
