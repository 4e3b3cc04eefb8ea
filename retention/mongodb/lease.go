package mongodb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	driver "go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"

	"sluice/internal/crash"
	"sluice/internal/mongo"
)

// leaseCollection holds the lease, one document.
const leaseCollection = "sluice_retention"

// Lease keeps retention jobs on one database apart, wherever they run. Expiry goes by the server's clock.
type Lease struct {
	client *driver.Client
	coll   *driver.Collection
	owner  string
	span   time.Duration
}

// NewLease connects. owner is this job's own; the caller closes the lease.
func NewLease(ctx context.Context, uri, database, owner string, span time.Duration) (*Lease, error) {
	client, err := mongo.Connect(ctx, uri, "sluice retain")
	if err != nil {
		return nil, err
	}
	return &Lease{client: client, coll: client.Database(database).Collection(leaseCollection), owner: owner, span: span}, nil
}

// Close disconnects; it gives nothing back.
func (l *Lease) Close(ctx context.Context) { mongo.Disconnect(ctx, l.client) }

func (l *Lease) String() string {
	return "document lease in " + l.coll.Database().Name() + "." + leaseCollection
}

// Take takes the lease or renews it; who is whose it is while another's holds.
func (l *Lease) Take(ctx context.Context) (who string, err error) {
	var hello struct {
		Now time.Time `bson:"localTime"`
	}
	if err := l.client.Database("admin").RunCommand(ctx, bson.D{{Key: "hello", Value: 1}}).Decode(&hello); err != nil {
		return "", fmt.Errorf("ask MongoDB for the time: %w", mongo.Classify(err))
	}
	free := bson.A{bson.D{{Key: "owner", Value: l.owner}}, bson.D{{Key: "until", Value: bson.D{{Key: "$lt", Value: hello.Now}}}}}
	crash.Before("retention/lease")
	_, err = l.coll.UpdateOne(ctx, bson.D{{Key: "_id", Value: "lease"}, {Key: "$or", Value: free}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "owner", Value: l.owner}, {Key: "until", Value: hello.Now.Add(l.span)}}}},
		options.Update().SetUpsert(true))
	crash.After("retention/lease")
	if !driver.IsDuplicateKeyError(err) { // which says that it is there and not free
		return "", mongo.Classify(err)
	}
	var held struct {
		Owner string    `bson:"owner"`
		Until time.Time `bson:"until"`
	}
	err = l.coll.FindOne(ctx, bson.D{{Key: "_id", Value: "lease"}}).Decode(&held)
	if err != nil && !errors.Is(err, driver.ErrNoDocuments) {
		return "", fmt.Errorf("read the lease: %w", mongo.Classify(err))
	}
	return fmt.Sprintf("%s, until %s", held.Owner, held.Until.UTC().Format(time.RFC3339)), nil
}

// Release gives the lease back if it is still this job's.
func (l *Lease) Release(ctx context.Context) error {
	crash.Before("retention/lease-end")
	_, err := l.coll.DeleteOne(ctx, bson.D{{Key: "_id", Value: "lease"}, {Key: "owner", Value: l.owner}})
	crash.After("retention/lease-end")
	return mongo.Classify(err)
}
