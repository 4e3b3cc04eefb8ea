package mongodb

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	driver "go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"

	"sluice/internal/crash"
	"sluice/internal/mongo"
	"sluice/internal/units"
	"sluice/retention/plan"
	"sluice/sinks/mongoraw"
)

// Collections that the Dashboard reads.
const (
	cappedName      = "tyk_analytics"
	uptimeName      = "tyk_uptime_analytics"
	rawPrefix       = "z_tyk_analyticz_"
	aggregatePrefix = rawPrefix + "aggregate_"
)

// Raw is the raw records of one sink. It is for one goroutine.
type Raw struct {
	name   string
	layout string
	client *driver.Client
	db     *driver.Database
	pace   pace
	log    *slog.Logger
}

// NewRaw connects. The caller closes the store.
func NewRaw(ctx context.Context, name string, c mongoraw.Config, rate int, log *slog.Logger) (*Raw, error) {
	client, err := mongo.Connect(ctx, c.URI, "sluice retain")
	if err != nil {
		return nil, err
	}
	return &Raw{name: name, layout: c.Layout, client: client, db: client.Database(c.Database), pace: paced(rate), log: log}, nil
}

func paced(rate int) pace {
	if rate <= 0 {
		rate = defaultRate
	}
	return pace{rate: rate}
}

// Close disconnects.
func (r *Raw) Close(ctx context.Context) { mongo.Disconnect(ctx, r.client) }

// Inventory counts documents by day and organisation.
func (r *Raw) Inventory(ctx context.Context, _ time.Time) (plan.Inventory, error) {
	inv := plan.Inventory{Store: r.name, Kind: plan.Raw, Free: free(ctx, r.db), Ahead: "on the server's file system"}
	names, err := r.db.ListCollectionNames(ctx, bson.D{{Key: "type", Value: "collection"}})
	if err != nil {
		return inv, fmt.Errorf("list collections: %w", mongo.Classify(err))
	}
	slices.Sort(names)
	for _, name := range names {
		org, perOrg := strings.CutPrefix(name, rawPrefix)
		switch {
		case strings.HasPrefix(name, aggregatePrefix):
		case r.layout == mongoraw.LayoutCapped && name == cappedName:
			err = r.capped(ctx, &inv)
		case r.layout == mongoraw.LayoutPerOrg && perOrg:
			if err = r.expiry(ctx, name, &inv); err == nil {
				err = r.count(ctx, name, org, &inv)
			}
		case perOrg || name == cappedName:
			inv.Notes = append(inv.Notes, "collection "+name+" is not of layout "+r.layout+" and is left alone")
		}
		if err != nil {
			return inv, err
		}
	}
	return inv, nil
}

func (r *Raw) expiry(ctx context.Context, name string, inv *plan.Inventory) error {
	why, err := expiryIndex(ctx, r.db.Collection(name))
	if why != "" {
		inv.Indexes = append(inv.Indexes, plan.TTL{Target: name, Why: why})
	}
	return err
}

func (r *Raw) capped(ctx context.Context, inv *plan.Inventory) error {
	s, err := sizesOf(ctx, r.db, cappedName)
	if err != nil {
		return err
	}
	inv.Capped = &plan.Capped{Target: cappedName, Size: int64(s.MaxSize), Used: s.Size, Plain: !s.Capped, Locks: convertLocks(r.db.Name(), s.Size)}
	if !s.Capped {
		inv.Notes = append(inv.Notes, "collection "+cappedName+" is not capped and grows without bound: retention.raw.convert: true has it converted, "+
			"which takes "+convertLocks(r.db.Name(), s.Size))
		return r.count(ctx, cappedName, "", inv)
	}
	missing, err := mongoraw.MissingIndexes(ctx, r.db)
	if err != nil {
		return err
	}
	if len(missing) > 0 { // as after a conversion that was cut off behind its first half
		inv.Missing = append(inv.Missing, plan.TTL{Target: cappedName, Why: "it lacks " + strings.Join(missing, ", ") + ", which the Dashboard searches by"})
	}
	return r.count(ctx, cappedName, "", inv)
}

// count counts the documents of a collection by day and organisation, from the index that the Dashboard's log browser
// uses where it is there. org is whose collection it is; empty: the documents say.
func (r *Raw) count(ctx context.Context, name, org string, inv *plan.Inventory) error {
	s, err := sizesOf(ctx, r.db, name)
	if err != nil {
		return err
	}
	day := bson.D{{Key: "$dateToString", Value: bson.D{{Key: "format", Value: "%Y-%m-%d"}, {Key: "date", Value: "$timestamp"}}}}
	id := bson.D{{Key: "day", Value: day}}
	project := bson.D{{Key: "_id", Value: 0}, {Key: "timestamp", Value: 1}}
	if org == "" {
		id = append(id, bson.E{Key: "org", Value: "$orgid"})
		project = append(project, bson.E{Key: "orgid", Value: 1})
	}
	pipe := driver.Pipeline{{{Key: "$sort", Value: bson.D{{Key: "timestamp", Value: -1}}}}, {{Key: "$project", Value: project}},
		{{Key: "$group", Value: bson.D{{Key: "_id", Value: id}, {Key: "n", Value: bson.D{{Key: "$sum", Value: 1}}}}}}}
	if !r.hasLogIndex(ctx, name) {
		pipe = pipe[1:]
	}
	cur, err := r.db.Collection(name).Aggregate(ctx, pipe, options.Aggregate().SetAllowDiskUse(true))
	if err != nil {
		return fmt.Errorf("count the documents of %s: %w", name, mongo.Classify(err))
	}
	var found []struct {
		ID struct {
			Day *string `bson:"day"`
			Org string  `bson:"org"`
		} `bson:"_id"`
		N int64 `bson:"n"`
	}
	if err := cur.All(ctx, &found); err != nil {
		return fmt.Errorf("count the documents of %s: %w", name, mongo.Classify(err))
	}
	for _, f := range found {
		if f.ID.Day == nil {
			inv.Notes = append(inv.Notes, fmt.Sprintf("%d documents of %s have no timestamp and are left alone", f.N, name))
			continue
		}
		from, err := time.Parse(time.DateOnly, *f.ID.Day)
		if err != nil {
			return fmt.Errorf("count the documents of %s: the server says %q is a day", name, *f.ID.Day)
		}
		it := plan.Item{Target: name, Org: f.ID.Org, From: from, To: from.Add(units.Day), Records: f.N, Bytes: int64(float64(f.N) * s.each())}
		if org != "" {
			it.Org = org
		}
		inv.Items = append(inv.Items, it)
	}
	return nil
}

// hasLogIndex tells whether there is an index that begins with the time.
func (r *Raw) hasLogIndex(ctx context.Context, name string) bool {
	specs, err := r.db.Collection(name).Indexes().ListSpecifications(ctx)
	if err != nil {
		return false // it is only about speed
	}
	return slices.ContainsFunc(specs, func(s *driver.IndexSpecification) bool { return s.Name == "logBrowserIndex" })
}

// Do does an action of a plan; to do it again changes nothing.
func (r *Raw) Do(ctx context.Context, a *plan.Action, done func(int64)) error {
	coll := r.db.Collection(a.Target)
	switch a.Verb {
	case plan.SetTTL:
		return setExpiry(ctx, coll)
	case plan.ResizeCapped:
		if a.Target != cappedName {
			return fmt.Errorf("%s is not the capped collection", a.Target)
		}
		return r.resize(ctx, a)
	case plan.ConvertCapped, plan.MakeIndexes:
		if a.Target != cappedName {
			return fmt.Errorf("%s is not the collection that is to be capped", a.Target)
		}
		return r.convert(ctx, a)
	case plan.DeleteDocuments:
		if !strings.HasPrefix(a.Target, rawPrefix) || strings.HasPrefix(a.Target, aggregatePrefix) {
			return fmt.Errorf("%s is no raw collection of an organisation", a.Target)
		}
		span := bson.D{within(a.From, a.To)}
		return deleteAll(ctx, coll, span, span, &r.pace, done)
	}
	return fmt.Errorf("%s is not for raw records", a.Verb)
}

// resize changes the size of the capped collection. collMod takes an exclusive lock on the collection for the moment it
// takes to note the size; a smaller one drops the oldest documents with the next inserts, some at a time.
func (r *Raw) resize(ctx context.Context, a *plan.Action) error {
	crash.Before("retention/capped-size")
	err := r.db.RunCommand(ctx, bson.D{{Key: "collMod", Value: a.Target}, {Key: "cappedSize", Value: a.Size}}).Err()
	crash.After("retention/capped-size")
	if err != nil {
		return fmt.Errorf("resize %s (MongoDB 6.0 and later can): %w", a.Target, mongo.Classify(err))
	}
	return nil
}
