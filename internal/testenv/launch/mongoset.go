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

// MongoMember starts the mongod at bin with its data in dir, as a member of a
// replica set that InitiateMongo makes. It is ready when it answers.
func MongoMember(ctx context.Context, bin, dir string, args ...string) (*Server, error) {
	return startServer(ctx, mongoCommand(bin, dir, args), mongoAnswers)
}

// mongoCommand is the mongod that tests need: a small cache, and expiry by TTL
// off, so that documents with dates in the past can be read back.
func mongoCommand(bin, dir string, args []string) func(port int) Command {
	return func(port int) Command {
		base := []string{
			"--port", strconv.Itoa(port), "--bind_ip", "127.0.0.1", "--dbpath", dir,
			"--replSet", ReplicaSet, "--wiredTigerCacheSizeGB", mongoCacheGB, "--nounixsocket",
			"--setParameter", "ttlMonitorEnabled=false",
			"--setParameter", "diagnosticDataCollectionEnabled=false",
		}
		return Command{Path: bin, Args: append(base, args...), Dir: dir}
	}
}

// How fast the members of a set notice that one is gone. MongoDB's own values
// are 10 s and 2 s; these keep tests short and bear a busy machine.
const (
	electionTimeout   = 3 * time.Second
	heartbeatInterval = 500 * time.Millisecond
)

// InitiateMongo makes a replica set of the members. It does not wait for the
// election.
func InitiateMongo(ctx context.Context, members []*Server) error {
	var list bson.A
	for i, m := range members {
		list = append(list, bson.D{{Key: "_id", Value: i}, {Key: "host", Value: m.Addr}})
	}
	command := bson.D{{Key: "replSetInitiate", Value: bson.D{
		{Key: "_id", Value: ReplicaSet}, {Key: "members", Value: list},
		{Key: "settings", Value: bson.D{
			{Key: "electionTimeoutMillis", Value: electionTimeout.Milliseconds()},
			{Key: "heartbeatIntervalMillis", Value: heartbeatInterval.Milliseconds()},
		}},
	}}}
	return AskMongo(ctx, members[0].Addr, command, nil)
}

// AskMongo runs a command in the database admin of one server, whatever its
// role, and decodes the answer unless into is nil.
func AskMongo(ctx context.Context, addr string, command bson.D, into any) (err error) {
	// The driver's own search for a server would hide an early exit of mongod
	// for its whole length, so it is kept short and repeated by the caller.
	const oneTry = 2 * time.Second
	client, err := mongo.Connect(ctx, options.Client().ApplyURI("mongodb://"+addr).
		SetDirect(true).SetServerSelectionTimeout(oneTry))
	if err != nil {
		return fmt.Errorf("connect to mongod: %w", err)
	}
	defer func() { err = errors.Join(err, client.Disconnect(context.WithoutCancel(ctx))) }()
	result := client.Database("admin").RunCommand(ctx, command)
	if into == nil {
		return result.Err()
	}
	return result.Decode(into)
}

func mongoAnswers(ctx context.Context, s *Server) error {
	return AskMongo(ctx, s.Addr, bson.D{{Key: "ping", Value: 1}}, nil)
}

// MongoPrimary tells whether the server at addr is a primary that can be
// written to.
func MongoPrimary(ctx context.Context, addr string) (bool, error) {
	var hello struct {
		Primary bool `bson:"isWritablePrimary"`
	}
	if err := AskMongo(ctx, addr, bson.D{{Key: "hello", Value: 1}}, &hello); err != nil {
		return false, fmt.Errorf("ask %s for its role: %w", addr, err)
	}
	return hello.Primary, nil
}
