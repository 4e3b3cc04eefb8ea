package launch

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
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
// a replica set that has elected it.
func Mongo(ctx context.Context, bin, dir string, args ...string) (*Server, error) {
	return startServer(ctx, mongoCommand(bin, dir, args), electPrimary)
}

// MongoURI returns the address of a server started by Mongo as drivers take it.
func MongoURI(s *Server) string {
	return fmt.Sprintf("mongodb://%s/?replicaSet=%s", s.Addr, ReplicaSet)
}

// electPrimary makes the replica set, if there is none, and fails until its
// member is primary.
func electPrimary(ctx context.Context, s *Server) error {
	err := AskMongo(ctx, s.Addr, bson.D{{Key: "replSetInitiate", Value: bson.D{
		{Key: "_id", Value: ReplicaSet},
		{Key: "members", Value: bson.A{bson.D{{Key: "_id", Value: 0}, {Key: "host", Value: s.Addr}}}},
	}}}, nil)
	var known mongo.CommandError
	if err != nil && (!errors.As(err, &known) || known.Code != codeAlreadyInitialized) {
		return fmt.Errorf("make the replica set: %w", err)
	}
	primary, err := MongoPrimary(ctx, s.Addr)
	if err != nil {
		return err
	}
	if !primary {
		return errNotReady
	}
	return nil
}
