package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
	"go.mongodb.org/mongo-driver/bson"

	"sluice/internal/fault"
	"sluice/internal/testenv/install"
	"sluice/internal/testenv/launch"
)

// Pumps log in as a user of their own, so that its password can be changed and its commands be told from the suite's.
const (
	pumpUser     = "pump"
	pumpPassword = "soak-secret"
)

// startRedis starts a Redis that keeps what it acknowledged when it is killed, and one that follows it if asked to.
func (w *world) startRedis(ctx context.Context) (err error) {
	var more []string
	switch w.opts.shape.Mode {
	case asCluster:
		return w.startCluster(ctx)
	case withTLS:
		if more, err = w.certify(); err != nil {
			return err
		}
	}
	if w.redis, err = w.oneRedis(ctx, "redis", more...); err != nil {
		return err
	}
	if w.gateway, err = fault.NewProxy(w.redis.Addr, w.opts.seed); err != nil {
		return err
	}
	w.client, err = connect(w.gateway.Addr())
	switch {
	case err != nil:
		return err
	case w.opts.shape.Mode == bySentinel:
		return w.startSentinel(ctx)
	case !w.opts.shape.replica:
		return nil
	}
	if w.link, err = fault.NewProxy(w.redis.Addr, w.opts.seed); err != nil {
		return err
	}
	h, p, _ := strings.Cut(w.link.Addr(), ":")
	if w.second, err = w.oneRedis(ctx, "replica", "--replicaof", h+" "+p); err != nil {
		return err
	}
	return w.inStep(ctx)
}

// redisArgs are those of every server: it keeps what it acknowledged, and knows the pumps' user.
var redisArgs = []string{"--appendonly", "yes", "--appendfsync", "always", "--repl-diskless-sync-delay", "0",
	"--user", pumpUser, "on", ">" + pumpPassword, "~*", "&*", "+@all"}

func connect(addr string) (rueidis.Client, error) {
	return rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{addr}, DisableCache: true, ForceSingleClient: true,
		DisableRetry: true, Dialer: net.Dialer{Timeout: giveUp, KeepAlive: time.Second}, ConnWriteTimeout: giveUp}) // a push may have 512 MB
}

func (w *world) oneRedis(ctx context.Context, name string, args ...string) (*launch.Server, error) {
	bin, err := install.RedisServer()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(w.opts.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	return launch.Redis(ctx, bin, dir, slices.Concat(redisArgs, w.opts.shape.redis, args)...)
}

// replicated waits until the replica has what the gateway has written by a connection: only then is it owed whatever happens.
func replicated(ctx context.Context, c rueidis.DedicatedClient) error {
	n, err := c.Do(ctx, c.B().Wait().Numreplicas(1).Timeout(200).Build()).AsInt64()
	if err == nil && n < 1 {
		err = errors.New("the replica has not confirmed it")
	}
	return err
}

// info is one section of INFO, by name of its values.
func (w *world) info(ctx context.Context, section string) (map[string]string, error) {
	text, err := w.client.Do(ctx, w.client.B().Info().Section(section).Build()).ToString()
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			out[k] = v
		}
	}
	return out, nil
}

// figure is a number out of a value like calls=3,usec=5.
func figure(value, name string) int64 {
	for part := range strings.SplitSeq(value, ",") {
		if v, ok := strings.CutPrefix(part, name+"="); ok {
			n, _ := strconv.ParseInt(v, 10, 64)
			return n
		}
	}
	return 0
}

// await asks until it is so.
func (w *world) await(ctx context.Context, what string, f func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, w.patience(giveUp))
	defer cancel()
	for {
		ok, err := f()
		if ok && err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it did not come to pass that %s: %w", what, errors.Join(err, context.Cause(ctx)))
		case <-time.After(pushEvery):
		}
	}
}

// mongoSet are the members of a MongoDB of the soak's own.
type mongoSet []*launch.Server

// startMongo starts what the shape asks for and returns its address; "" for the MongoDB of the environment.
func (w *world) startMongo(ctx context.Context) (uri string, err error) {
	members := map[string]int{"single": 1, "set": 3}[w.opts.shape.mongo]
	if members == 0 {
		return "", nil
	}
	bin, err := install.Mongod()
	if err != nil {
		return "", err
	}
	var addrs []string
	for i := range members {
		dir := filepath.Join(w.opts.dir, "mongo"+strconv.Itoa(i))
		if err := os.Mkdir(dir, 0o700); err != nil {
			return "", err
		}
		m, err := launch.MongoMember(ctx, bin, dir, w.opts.shape.mongod...)
		if err != nil {
			return "", err
		}
		w.mongo = append(w.mongo, m)
		addrs = append(addrs, m.Addr)
	}
	if err := launch.InitiateMongo(ctx, w.mongo); err != nil {
		return "", err
	}
	uri = "mongodb://" + strings.Join(addrs, ",") + "/?replicaSet=" + launch.ReplicaSet
	return uri, w.await(ctx, "MongoDB has a primary", func() (bool, error) { return w.mongo.primary(ctx) != nil, nil })
}

// primary is the member that takes writes; nil while there is none.
func (s mongoSet) primary(ctx context.Context) *launch.Server {
	for _, m := range s {
		var hello struct {
			Primary bool `bson:"isWritablePrimary"`
		}
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second) // a member may be frozen
		err := launch.AskMongo(ctx, m.Addr, bson.D{{Key: "hello", Value: 1}}, &hello)
		cancel()
		if err == nil && hello.Primary {
			return m
		}
	}
	return nil
}

// mongoURI is how a sink of a pump reaches MongoDB.
func (w *world) mongoURI(sink string) string {
	if y := w.ways[sink]; y != nil {
		return fmt.Sprintf("mongodb://%s/?directConnection=true&serverSelectionTimeoutMS=2000", y.proxy.Addr())
	}
	return w.stores.uri + "&serverSelectionTimeoutMS=2000"
}
