// Package deploy holds what operators deploy from; its tests keep it true.
package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/redis/rueidis"
	"go.mongodb.org/mongo-driver/bson"
	driver "go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"

	"sluice/internal/config"
	"sluice/internal/pipeline"
	"sluice/internal/testenv"
	"sluice/sinks/mongoagg"
	"sluice/sinks/mongoraw"
	"sluice/sources/redislist"
)

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.FromSlash(name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func load(t *testing.T, text string, env ...string) *config.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sluice.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, warnings, err := config.Load(t.Context(), path, env, nil)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%v %v", err, warnings)
	}
	return c
}

func TestConfigMapIsAConfiguration(t *testing.T) {
	var m struct {
		Data map[string]string `yaml:"data"`
	}
	if err := yaml.Unmarshal(read(t, "kubernetes/configmap.yaml"), &m); err != nil {
		t.Fatal(err)
	}
	c := load(t, m.Data["sluice.yaml"], "REDIS_PASSWORD=p", "MONGO_URI=mongodb://m/?replicaSet=rs0", "ADMIN_TOKEN=t")
	if len(c.Sources) != 1 || len(c.Sinks) != 3 || c.State.Durable {
		t.Errorf("%+v", c)
	}
}

// The README shows the example as it is.
func TestReadmeShowsTheExample(t *testing.T) {
	example := string(read(t, "../docs/examples/sluice.yaml"))
	load(t, example)
	if !strings.Contains(string(read(t, "../README.md")), "```yaml\n"+example+"```\n") {
		t.Error("README.md shows another file than docs/examples/sluice.yaml")
	}
}

// Files that documents link to are there.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#: ]+)(#[^)]*)?\)`)
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	decisions, err := filepath.Glob("../docs/decisions/*.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, page := range append(append(pages, decisions...), "../README.md", "../CHANGELOG.md", "README.md") {
		for _, m := range link.FindAllStringSubmatch(string(read(t, page)), -1) {
			n++
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", page, m[1], err)
			}
		}
	}
	if n < 10 {
		t.Errorf("only %d links found", n)
	}
}

// The policies parse, and allow nothing that removes but from the spool.
func TestPolicyDeletesNothingButFromTheSpool(t *testing.T) {
	var p struct {
		Statement []struct{ Action, Resource any }
	}
	b := read(t, "aws/s3-policy.json")
	if err := json.Unmarshal(b, &p); err != nil || len(p.Statement) == 0 {
		t.Fatal(err)
	}
	for _, s := range p.Statement {
		if a := fmt.Sprint(s.Action); strings.Contains(a, "Delete") && fmt.Sprint(s.Resource) != "arn:aws:s3:::my-analytics-archive/sluice/spool/*" {
			t.Errorf("%s is allowed on %s", a, s.Resource)
		}
	}
	if strings.Contains(string(b), `:*"`) {
		t.Error("the policy allows more than is needed")
	}
}

// setUser makes the user of a file on servers.
func setUser(t *testing.T, file string, addrs ...string) (name string) {
	t.Helper()
	words := strings.Fields(strings.ReplaceAll(string(read(t, file)), ">CHANGE-ME", ">secret"))
	if words[0] != "user" {
		t.Fatalf("the line begins with %q", words[0])
	}
	for _, addr := range addrs {
		c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{addr}, DisableCache: true, AlwaysRESP2: true, ForceSingleClient: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.Do(t.Context(), c.B().Arbitrary("ACL", "SETUSER").Args(words[1:]...).Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	return words[1]
}

func TestACLIsEnough(t *testing.T) {
	srv := testenv.StartRedis(t)
	cfg := redislist.Defaults()
	cfg.Addrs, cfg.Username, cfg.Password = []string{srv.Addr}, setUser(t, "redis/sluice.acl", srv.Addr), "secret"
	mustPass(t, cfg)
}

func TestACLOfClusterIsEnough(t *testing.T) {
	c := testenv.StartRedisCluster(t, 0)
	cfg := redislist.Defaults()
	cfg.Mode, cfg.Addrs = redislist.ModeCluster, c.Addrs
	cfg.Username, cfg.Password = setUser(t, "redis/sluice-cluster.acl", c.Addrs...), "secret"
	mustPass(t, cfg)
}

func TestACLOfSentinelsIsEnough(t *testing.T) {
	srv := testenv.StartRedis(t)
	sentinels := testenv.StartSentinels(t, srv)
	cfg := redislist.Defaults()
	cfg.Mode, cfg.Addrs, cfg.MasterName = redislist.ModeSentinel, sentinels.Addrs, sentinels.Master
	cfg.Username, cfg.Password = setUser(t, "redis/sluice.acl", srv.Addr), "secret"
	cfg.Sentinel.Username, cfg.Sentinel.Password = setUser(t, "redis/sluice-sentinel.acl", sentinels.Addrs...), "secret"
	mustPass(t, cfg)
}

func mustPass(t *testing.T, cfg redislist.Config) {
	t.Helper()
	s, err := redislist.New("main", cfg, redislist.Deps{Token: strings.Repeat("a", 32), Home: "home", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := redislist.Err(s.Check(t.Context())); err != nil {
		t.Error(err)
	}
	if err := s.Shield(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := s.Audit(t.Context()); err != nil {
		t.Error(err)
	}
	if idle, _, err := s.Idle(t.Context()); err != nil || !idle {
		t.Error(idle, err)
	}
}

// A user with the role alone opens the sinks, which make their collections and indexes.
func TestRoleIsEnough(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("bm90IGEgc2VjcmV0Cg=="), 0o400); err != nil {
		t.Fatal(err)
	}
	srv := testenv.StartMongo(t, "--auth", "--keyFile", key)
	admin := connect(t, srv.URI)
	run(t, admin.Database("admin"), bson.D{{Key: "createUser", Value: "root"}, {Key: "pwd", Value: "p"}, {Key: "roles", Value: bson.A{"root"}}})
	admin = connect(t, strings.Replace(srv.URI, "://", "://root:p@", 1))
	var role bson.D
	if err := bson.UnmarshalExtJSON(read(t, "mongodb/role.json"), false, &role); err != nil {
		t.Fatal(err)
	}
	db := admin.Database("tyk_analytics")
	run(t, db, role)
	run(t, db, bson.D{{Key: "createUser", Value: "sluice"}, {Key: "pwd", Value: "p"}, {Key: "roles", Value: bson.A{"sluice"}}})

	uri := strings.Replace(srv.URI, "://", "://sluice:p@", 1) + "&authSource=tyk_analytics"
	log := slog.New(slog.DiscardHandler)
	ac, rc := mongoagg.Defaults(), mongoraw.Defaults()
	ac.URI, rc.URI, rc.CappedSize = uri, uri, 1<<20
	agg, err := mongoagg.New("dashboard", ac, log)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := mongoraw.New("raw", rc, log)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]pipeline.Sink{"mongo-aggregate": agg, "mongo-raw": raw} {
		if err := s.Open(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	names, err := db.ListCollectionNames(t.Context(), bson.D{})
	if err != nil || len(names) < 3 {
		t.Errorf("collections %v, %v", names, err)
	}
}

func connect(t *testing.T, uri string) *driver.Client {
	t.Helper()
	c, err := driver.Connect(t.Context(), options.Client().ApplyURI(uri))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Disconnect(context.Background()) })
	return c
}

func run(t *testing.T, db *driver.Database, command bson.D) {
	t.Helper()
	if err := db.RunCommand(t.Context(), command).Err(); err != nil {
		t.Fatal(err)
	}
}
