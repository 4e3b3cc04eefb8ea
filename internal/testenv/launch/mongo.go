package launch

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
)

// ReplicaSet is the name of the replica set of every MongoDB started here.
const ReplicaSet = "rs0"

// mongoCacheGB is the smallest cache WiredTiger takes; tests hold little data,
// and several members share one machine.
const mongoCacheGB = "0.25"

// codeAlreadyInitialized is MongoDB's error for a replica set that exists, as
// it does after a restart.
const codeAlreadyInitialized = 23

// Mongo starts the mongod at bin with its data in dir, as the single member of
// a replica set that has elected it. Expiry by TTL is off, so that documents
// with dates in the past can be read back.
func Mongo(ctx context.Context, bin, dir string, args ...string) (*Server, error) {
	command := func(port int) Command {
		base := []string{
			"--port", strconv.Itoa(port), "--bind_ip", "127.0.0.1", "--dbpath", dir,
			"--replSet", ReplicaSet, "--wiredTigerCacheSizeGB", mongoCacheGB, "--nounixsocket",
			"--setParameter", "ttlMonitorEnabled=false",
			"--setParameter", "diagnosticDataCollectionEnabled=false",
		}
		return Command{Path: bin, Args: append(base, args...), Dir: dir}
	}
	return startServer(ctx, command, electPrimary)
}

// MongoURI returns the address of a server started by Mongo as drivers take it.
func MongoURI(s *Server) string {
	return fmt.Sprintf("mongodb://%s/?replicaSet=%s", s.Addr, ReplicaSet)
}

// electPrimary makes the replica set, if there is none, and fails until its
// member is primary.
func electPrimary(ctx context.Context, s *Server) (err error) {
	// The driver's own search for a server would hide an early exit of mongod
	// for its whole length, so it is kept short and repeated by the caller.
	const oneTry = 2 * time.Second
	client, err := mongo.Connect(ctx, options.Client().ApplyURI("mongodb://"+s.Addr).
		SetDirect(true).SetServerSelectionTimeout(oneTry))
	if err != nil {
		return fmt.Errorf("connect to mongod: %w", err)
	}
	defer func() { err = errors.Join(err, client.Disconnect(context.WithoutCancel(ctx))) }()

	admin := client.Database("admin")
	initiate := bson.D{{Key: "replSetInitiate", Value: bson.D{
		{Key: "_id", Value: ReplicaSet},
		{Key: "members", Value: bson.A{bson.D{{Key: "_id", Value: 0}, {Key: "host", Value: s.Addr}}}},
	}}}
	err = admin.RunCommand(ctx, initiate).Err()
	var known mongo.CommandError
	if err != nil && (!errors.As(err, &known) || known.Code != codeAlreadyInitialized) {
		return fmt.Errorf("make the replica set: %w", err)
	}
	var hello struct {
		Primary bool `bson:"isWritablePrimary"`
	}
	if err := admin.RunCommand(ctx, bson.D{{Key: "hello", Value: 1}}).Decode(&hello); err != nil {
		return fmt.Errorf("ask for the primary: %w", err)
	}
	if !hello.Primary {
		return errNotReady
	}
	return nil
}
