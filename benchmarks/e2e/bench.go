package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"

	"sluice/benchmarks/sample"
	"sluice/internal/testenv/install"
	"sluice/internal/testenv/launch"
)

// bench has the programs and servers that every scenario uses. Redis and MongoDB are its own, so that what they cost can
// be told; OpenSearch and S3 are those of the environment (`make servers`).
type bench struct {
	dir           string // temporary
	sluice, floor string
	redis         *launch.Server
	client        *redis.Client
	mongod        *launch.Server
	mongo         *mongo.Client
	openSearch    string
	s3            *bucket
	log           func(format string, args ...any)

	master string // what the master list holds
	runs   int

	profiles string // directory; empty: none
}

// list is the one that gateways without further settings write.
const (
	list   = "analytics-tyk-system-analytics"
	master = "bench-master"
)

func open(ctx context.Context, log func(string, ...any)) (_ *bench, err error) {
	b := &bench{log: log, openSearch: os.Getenv(launch.EnvOpenSearch)}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if b.dir, err = os.MkdirTemp("", "sluice-bench-"); err != nil {
		return b, err
	}
	if b.sluice, err = b.build(ctx, "./cmd/sluice"); err != nil {
		return b, err
	}
	if b.floor, err = b.build(ctx, "./benchmarks/floor"); err != nil {
		return b, err
	}
	if err := b.startRedis(ctx); err != nil {
		return b, err
	}
	if err := b.startMongo(ctx); err != nil {
		return b, err
	}
	if v := os.Getenv(launch.EnvS3); v != "" {
		if b.s3, err = newBucket(ctx, v); err != nil {
			return b, err
		}
	}
	return b, nil
}

func (b *bench) build(ctx context.Context, pkg string) (string, error) {
	root, err := sample.Root()
	if err != nil {
		return "", err
	}
	bin := filepath.Join(b.dir, filepath.Base(pkg))
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", "measured", "-o", bin, pkg)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return bin, nil
}

func (b *bench) startRedis(ctx context.Context) error {
	bin, err := install.RedisServer()
	if err != nil {
		return err
	}
	dir := filepath.Join(b.dir, "redis")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if b.redis, err = launch.Redis(ctx, bin, dir); err != nil {
		return err
	}
	b.client = redis.NewClient(&redis.Options{Addr: b.redis.Addr, ReadTimeout: time.Minute})
	return nil
}

func (b *bench) startMongo(ctx context.Context) error {
	bin, err := install.Mongod()
	if errors.Is(err, install.ErrMissing) {
		b.log("no MongoDB: %v", err)
		return nil
	}
	if err != nil {
		return err
	}
	dir := filepath.Join(b.dir, "mongo")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if b.mongod, err = launch.Mongo(ctx, bin, dir); err != nil {
		return err
	}
	b.mongo, err = mongo.Connect(ctx, options.Client().ApplyURI(launch.MongoURI(b.mongod)))
	return err
}

func (b *bench) close() error {
	var errs []error
	if b.client != nil {
		errs = append(errs, b.client.Close())
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if b.mongo != nil {
		errs = append(errs, b.mongo.Disconnect(ctx))
	}
	for _, s := range []*launch.Server{b.redis, b.mongod} {
		if s != nil {
			errs = append(errs, s.Kill())
		}
	}
	if b.s3 != nil {
		errs = append(errs, b.s3.remove(ctx))
	}
	return errors.Join(append(errs, os.RemoveAll(b.dir))...)
}

// mongodCPU is what our MongoDB has used so far; 0 where there is none.
func (b *bench) mongodCPU() time.Duration {
	if b.mongod == nil {
		return 0
	}
	return cpuOf(b.mongod.Process().PID())
}

// mongoUpdates is the number of update operations that MongoDB has had so far.
func (b *bench) mongoUpdates(ctx context.Context) (int64, error) {
	var s struct {
		Opcounters struct {
			Update int64 `bson:"update"`
		} `bson:"opcounters"`
	}
	err := b.mongo.Database("admin").RunCommand(ctx, bson.D{{Key: "serverStatus", Value: 1}}).Decode(&s)
	return s.Opcounters.Update, err
}

// fill makes the list of n records under the master's name, unless it is there already.
func (b *bench) fill(ctx context.Context, n int, o sample.Options) error {
	want := fmt.Sprint(n, o.Paths, o.Keys, o.APIs, o.Orgs)
	if b.master == want {
		return nil
	}
	b.master = ""
	b.log("filling a list of %d records", n)
	if err := b.client.Del(ctx, master, list).Err(); err != nil {
		return err
	}
	if o.Start.IsZero() {
		o.Start = time.Now().UTC().Truncate(time.Hour).Add(-2 * time.Hour)
	}
	m, err := sample.New(o)
	if err != nil {
		return err
	}
	const push = 1000
	for i := 0; i < n; {
		values := make([]any, 0, push)
		for ; len(values) < push && i < n; i++ {
			values = append(values, string(m.Next(i)))
		}
		if err := b.client.RPush(ctx, master, values...).Err(); err != nil {
			return fmt.Errorf("fill the list: %w", err)
		}
	}
	b.master = want
	return nil
}

// restore puts the master's records into the gateway's list, and removes what a run before left.
func (b *bench) restore(ctx context.Context) error {
	if err := b.clean(ctx); err != nil {
		return err
	}
	return b.client.Copy(ctx, master, list, 0, false).Err()
}

// clean removes the lists, claims and registries of a run before.
func (b *bench) clean(ctx context.Context) error {
	keys, err := b.client.Keys(ctx, "*analytics*").Result()
	if err != nil || len(keys) == 0 {
		return err
	}
	return b.client.Del(ctx, keys...).Err()
}

// effective is how many records of the list have taken effect in a sink, as the ledger says.
func (b *bench) effective(ctx context.Context, list, sink string) (int, error) {
	n, err := b.client.HGet(ctx, "{"+list+"}:sluice", "k:"+sink+":effective").Int()
	if errors.Is(err, redis.Nil) {
		return 0, nil
	}
	return n, err
}

// unique names a database, an index or a prefix of one run.
func unique() string { return "bench" + strings.ToLower(rand.Text()[:10]) }
