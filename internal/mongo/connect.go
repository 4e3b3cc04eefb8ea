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
// writes whose client has given up would gather on a primary that lost its secondaries. wtimeoutMS in the URI sets
// another one, within bounds: below a second, a busy set would time out all the time.
const (
	WriteTimeout    = 20 * time.Second
	minWriteTimeout = time.Second
	maxWriteTimeout = 10 * time.Minute
)

const (
	connectTimeout   = 10 * time.Second
	selectionTimeout = 10 * time.Second
	maxPoolSize      = 32
	closeTimeout     = 5 * time.Second
)

// Connect makes a client and sees that a primary answers. Options of the URI win over what is set here, but for what
// says when something counts:
//
//   - Writes wait for a majority (ValidateURI refuses less).
//   - Reads see only what a majority has, at the primary, whatever readPreference says: positions read elsewhere are old.
//   - The driver repeats no writes by itself. All that is sent here may be repeated by its sender, which knows how, and
//     Amazon DocumentDB before 8.0.2 refuses the driver's way.
//
// The error is classified, and names the cure where one is known. The caller disconnects the client.
func Connect(ctx context.Context, uri, appName string) (*driver.Client, error) {
	client, err := driver.Connect(ctx, clientOptions(uri, appName))
	if err != nil {
		return nil, fmt.Errorf("connect to MongoDB: %w", explain(ctx, uri, Classify(err)))
	}
	if err := client.Ping(ctx, readpref.Primary()); err != nil {
		Disconnect(context.WithoutCancel(ctx), client)
		return nil, fmt.Errorf("reach MongoDB: %w", explain(ctx, uri, Classify(err)))
	}
	return client, nil
}

func clientOptions(uri, appName string) *options.ClientOptions {
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
	timeout, ok := writeTimeout(set["wtimeoutms"])
	if !ok {
		timeout = WriteTimeout
	}
	o.SetWriteConcern(&writeconcern.WriteConcern{W: "majority", WTimeout: timeout})
	o.SetReadConcern(readconcern.Majority())
	if set["readconcernlevel"] == readconcern.Linearizable().Level {
		o.SetReadConcern(readconcern.Linearizable())
	}
	o.SetReadPreference(readpref.Primary())
	o.SetRetryWrites(false)
	return o
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
