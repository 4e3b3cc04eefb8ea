package mongodb

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"go.mongodb.org/mongo-driver/bson"

	"sluice/internal/mongo"
	"sluice/retention/plan"
	"sluice/sinks/mongoraw"
)

// Uptime is the uptime checks of one sink. No archive has them, so that none is asked before they go. It is for one
// goroutine.
type Uptime struct{ *Raw }

// NewUptime connects. The caller closes the store.
func NewUptime(ctx context.Context, name string, c mongoraw.Config, rate int, log *slog.Logger) (*Uptime, error) {
	r, err := NewRaw(ctx, name, c, rate, log)
	if err != nil {
		return nil, err
	}
	return &Uptime{r}, nil
}

// Inventory counts checks by day and organisation.
func (u *Uptime) Inventory(ctx context.Context, _ time.Time) (plan.Inventory, error) {
	inv := plan.Inventory{Store: u.name, Kind: plan.Uptime, Free: free(ctx, u.db), Ahead: "on the server's file system"}
	names, err := u.db.ListCollectionNames(ctx, bson.D{{Key: "type", Value: "collection"}, {Key: "name", Value: uptimeName}})
	if err != nil {
		return inv, fmt.Errorf("list collections: %w", mongo.Classify(err))
	}
	if len(names) == 0 {
		return inv, nil
	}
	if err := u.expiry(ctx, uptimeName, &inv); err != nil {
		return inv, err
	}
	return inv, u.count(ctx, uptimeName, "", &inv)
}

// Do does an action of a plan; to do it again changes nothing.
func (u *Uptime) Do(ctx context.Context, a *plan.Action, done func(int64)) error {
	coll := u.db.Collection(a.Target)
	switch {
	case a.Target != uptimeName:
		return fmt.Errorf("%s holds no uptime checks", a.Target)
	case a.Verb == plan.SetTTL:
		return setExpiry(ctx, coll)
	case a.Verb == plan.DeleteDocuments:
		span := bson.D{within(a.From, a.To)}
		if len(a.Orgs) > 0 {
			span = append(span, ofOrgs(a.Orgs))
		}
		return deleteAll(ctx, coll, span, span, &u.pace, done)
	}
	return fmt.Errorf("%s is not for uptime checks", a.Verb)
}

// ofOrgs is the filter of organisations; the empty one also has the documents that name none.
func ofOrgs(orgs []string) bson.E {
	values := make(bson.A, 0, len(orgs)+1)
	for _, o := range orgs {
		values = append(values, o)
		if o == "" {
			values = append(values, nil)
		}
	}
	return bson.E{Key: "orgid", Value: bson.D{{Key: "$in", Value: values}}}
}
