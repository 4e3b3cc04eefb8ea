package mongo

import (
	"context"
	"fmt"
	"time"

	driver "go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
	"go.mongodb.org/mongo-driver/mongo/readconcern"
	"go.mongodb.org/mongo-driver/mongo/readpref"
	"go.mongodb.org/mongo-driver/mongo/writeconcern"
)

// WriteTimeout bounds how long a server waits for its majority before it reports a write-concern error: without a bound,
// writes whose client has given up would gather on a primary that lost its secondaries.
const WriteTimeout = 20 * time.Second

const (
	connectTimeout   = 10 * time.Second
	selectionTimeout = 10 * time.Second
	maxPoolSize      = 32
	closeTimeout     = 5 * time.Second
)

// Connect makes a client and sees that a primary answers. Writes wait for a majority, reads see only what a majority
// has, both at the primary. Options of the URI win over what is set here, but for these concerns. The error is
// classified. The caller disconnects the client.
func Connect(ctx context.Context, uri, appName string) (*driver.Client, error) {
	set := uriOptions(uri)
	o := options.Client()
	if _, ok := set["appname"]; !ok {
		o.SetAppName(appName)
	}
	if _, ok := set["connecttimeoutms"]; !ok {
		o.SetConnectTimeout(connectTimeout)
	}
	if _, ok := set["serverselectiontimeoutms"]; !ok {
		o.SetServerSelectionTimeout(selectionTimeout)
	}
	if _, ok := set["maxpoolsize"]; !ok {
		o.SetMaxPoolSize(maxPoolSize)
	}
	o.ApplyURI(uri)
	o.SetWriteConcern(&writeconcern.WriteConcern{W: "majority", WTimeout: WriteTimeout})
	o.SetReadConcern(readconcern.Majority())
	o.SetReadPreference(readpref.Primary())

	client, err := driver.Connect(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("connect to MongoDB: %w", Classify(err))
	}
	if err := client.Ping(ctx, readpref.Primary()); err != nil {
		Disconnect(context.WithoutCancel(ctx), client)
		return nil, fmt.Errorf("reach MongoDB: %w", Classify(err))
	}
	return client, nil
}

// Disconnect ends a client and its goroutines, waiting a few seconds at most for what is in flight. It may be called
// with nil.
func Disconnect(ctx context.Context, client *driver.Client) {
	if client == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	_ = client.Disconnect(ctx) // the sockets are closed whatever it says
}
