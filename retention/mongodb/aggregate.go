package mongodb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
	driver "go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"

	"sluice/internal/crash"
	"sluice/internal/mongo"
	"sluice/internal/units"
	"sluice/retention/plan"
	"sluice/sinks/mongoagg"
)

// widths are those that a document's _id may have been made of.
var widths = []time.Duration{time.Hour, units.Day, time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute}

// Aggregates is the aggregate documents of one sink. It is for one goroutine.
type Aggregates struct {
	name   string
	client *driver.Client
	db     *driver.Database
	pace   pace
	now    func() time.Time
}

// NewAggregates connects. The caller closes the store. now stands in rolled-up documents.
func NewAggregates(ctx context.Context, name string, c mongoagg.Config, rate int, now func() time.Time) (*Aggregates, error) {
	client, err := mongo.Connect(ctx, c.URI, "sluice retain")
	if err != nil {
		return nil, err
	}
	return &Aggregates{name: name, client: client, db: client.Database(c.Database), pace: paced(rate), now: now}, nil
}

// Close disconnects.
func (s *Aggregates) Close(ctx context.Context) { mongo.Disconnect(ctx, s.client) }

// head is what is read of a document to decide about it.
type head struct {
	ID     primitive.ObjectID `bson:"_id"`
	Org    string             `bson:"orgid"`
	Bucket time.Time          `bson:"timestamp"`
	Total  struct {
		Hits float64 `bson:"hits"` // as int, long or double, by who made it
	} `bson:"total"`
	Sluice struct {
		Rev    int64 `bson:"rev"`
		Rolled struct {
			At  time.Time `bson:"at"`
			Rev int64     `bson:"rev"`
		} `bson:"rolled"`
	} `bson:"sluice"`
}

var headFields = bson.D{{Key: "orgid", Value: 1}, {Key: "timestamp", Value: 1}, {Key: "total.hits", Value: 1},
	{Key: "sluice.rev", Value: 1}, {Key: "sluice.rolled", Value: 1}}

// width finds what the document's _id was made of. One of the incumbent's is taken for an hour, as the Dashboard does.
func (h *head) width() time.Duration {
	for _, w := range widths {
		if mongoagg.DocumentID(h.Org, h.Bucket, w) == h.ID {
			return w
		}
	}
	return time.Hour
}

// emptied is when the document was rolled up; zero if something was counted in it since, or it never was.
func (h *head) emptied() time.Time {
	if h.Sluice.Rolled.Rev == 0 || h.Sluice.Rolled.Rev != h.Sluice.Rev {
		return time.Time{}
	}
	return h.Sluice.Rolled.At
}

// Inventory counts documents by day, organisation and width.
func (s *Aggregates) Inventory(ctx context.Context, _ time.Time) (plan.Inventory, error) {
	inv := plan.Inventory{Store: s.name, Kind: plan.Aggregate, Free: free(ctx, s.db), Ahead: "on the server's file system"}
	names, err := s.db.ListCollectionNames(ctx, bson.D{{Key: "type", Value: "collection"}})
	if err != nil {
		return inv, fmt.Errorf("list collections: %w", mongo.Classify(err))
	}
	slices.Sort(names)
	for _, name := range names {
		if _, ok := mongoagg.IsCollection(name); !ok {
			continue
		}
		why, err := expiryIndex(ctx, s.db.Collection(name))
		if err != nil {
			return inv, err
		}
		if why != "" {
			inv.Indexes = append(inv.Indexes, plan.TTL{Target: name, Why: why})
		}
		if err := s.count(ctx, name, &inv); err != nil {
			return inv, err
		}
	}
	return inv, nil
}

// place is what documents are counted by.
type place struct {
	org     string
	width   time.Duration
	day     time.Time
	emptied time.Time // to the hour, from below
}

func (s *Aggregates) count(ctx context.Context, name string, inv *plan.Inventory) error {
	size, err := sizesOf(ctx, s.db, name)
	if err != nil {
		return err
	}
	items := map[place]*plan.Item{}
	err = s.heads(ctx, name, bson.D{}, func(h *head) {
		at := place{org: h.Org, width: h.width(), day: dayOf(h.Bucket)}
		if e := h.emptied(); !e.IsZero() {
			at.emptied = e.UTC().Truncate(time.Hour).Add(time.Hour)
		}
		it := items[at]
		if it == nil {
			group := "organisations"
			if org, _ := mongoagg.IsCollection(name); org == "" {
				group = "mixed"
			}
			it = &plan.Item{Target: name, Org: at.org, Width: at.width, From: at.day, To: at.day.Add(max(units.Day, at.width)),
				Emptied: at.emptied, Group: group}
			items[at] = it
		}
		it.Records++
		it.Bytes += int64(size.each())
		if at.emptied.IsZero() {
			it.Stands += int64(h.Total.Hits)
		}
	})
	if err != nil {
		return err
	}
	for _, it := range items {
		inv.Items = append(inv.Items, *it)
	}
	slices.SortFunc(inv.Items, func(a, b plan.Item) int {
		return cmp.Or(cmp.Compare(a.Target, b.Target), cmp.Compare(a.Org, b.Org), a.From.Compare(b.From), cmp.Compare(a.Width, b.Width))
	})
	return nil
}

func (s *Aggregates) heads(ctx context.Context, name string, filter bson.D, visit func(*head)) error {
	cur, err := s.db.Collection(name).Find(ctx, filter, options.Find().SetProjection(headFields).SetBatchSize(batch))
	if err != nil {
		return fmt.Errorf("read documents of %s: %w", name, mongo.Classify(err))
	}
	defer cur.Close(ctx)
	for cur.Next(ctx) {
		var h head
		if err := bson.Unmarshal(cur.Current, &h); err != nil {
			continue // not an aggregate document: its _id or time is of another type
		}
		if !h.Bucket.IsZero() {
			visit(&h)
		}
	}
	if err := cur.Err(); err != nil {
		return fmt.Errorf("read documents of %s: %w", name, mongo.Classify(err))
	}
	return nil
}

// Do does an action of a plan; to do it again changes nothing.
func (s *Aggregates) Do(ctx context.Context, a *plan.Action, done func(int64)) error {
	if _, ok := mongoagg.IsCollection(a.Target); !ok {
		return fmt.Errorf("%s holds no aggregates", a.Target)
	}
	switch a.Verb {
	case plan.SetTTL:
		return setExpiry(ctx, s.db.Collection(a.Target))
	case plan.DeleteDocuments:
		return s.delete(ctx, a, done)
	case plan.RollUp:
		return s.rollUp(ctx, a, done)
	}
	return fmt.Errorf("%s is not for aggregates", a.Verb)
}

// chosen are the documents that an action is about.
func (s *Aggregates) chosen(ctx context.Context, a *plan.Action) (out []head, err error) {
	filter := bson.D{within(a.From, a.To)}
	if len(a.Orgs) > 0 {
		filter = append(filter, bson.E{Key: "orgid", Value: bson.D{{Key: "$in", Value: a.Orgs}}})
	}
	width, _ := a.Widths()
	err = s.heads(ctx, a.Target, filter, func(h *head) {
		if h.width() == width && h.emptied().IsZero() != a.Emptied {
			out = append(out, *h)
		}
	})
	return out, err
}

// emptiedFor is how long an emptied document stays at least.
const emptiedFor = units.Day

func (s *Aggregates) delete(ctx context.Context, a *plan.Action, done func(int64)) error {
	docs, err := s.chosen(ctx, a)
	if err != nil {
		return err
	}
	coll := s.db.Collection(a.Target)
	for part := range slices.Chunk(docs, batch) {
		models := make([]driver.WriteModel, 0, len(part))
		for _, h := range part {
			if a.Emptied && s.now().Sub(h.emptied()) < emptiedFor {
				continue
			}
			// as it was read: what was counted since keeps it for the next plan
			rev := bson.E{Key: "sluice.rev", Value: h.Sluice.Rev}
			if h.Sluice.Rev == 0 {
				rev = bson.E{Key: "sluice.rev", Value: bson.D{{Key: "$exists", Value: false}}}
			}
			models = append(models, driver.NewDeleteOneModel().SetFilter(bson.D{{Key: "_id", Value: h.ID}, rev}))
		}
		if len(models) == 0 {
			continue
		}
		crash.Before("retention/aggregates")
		res, err := coll.BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false))
		crash.After("retention/aggregates")
		if err != nil {
			return fmt.Errorf("delete documents of %s: %w", a.Target, mongo.Classify(err))
		}
		done(res.DeletedCount)
		if err := s.pace.wait(ctx, len(models)); err != nil {
			return err
		}
	}
	return nil
}

// rollUp rolls up by organisation and coarser bucket, each in a transaction of its own.
func (s *Aggregates) rollUp(ctx context.Context, a *plan.Action, done func(int64)) error {
	docs, err := s.chosen(ctx, a)
	if err != nil {
		return err
	}
	_, into := a.Widths()
	type coarse struct {
		org string
		at  time.Time
	}
	fine := map[coarse][]primitive.ObjectID{}
	var order []coarse
	for _, h := range docs {
		c := coarse{h.Org, h.Bucket.UTC().Truncate(into)}
		if fine[c] == nil {
			order = append(order, c)
		}
		fine[c] = append(fine[c], h.ID)
	}
	var errs []error
	for _, c := range order {
		r := mongoagg.RollUp{Collection: a.Target, Org: c.org, Bucket: c.at, Width: into, Fine: fine[c], Now: s.now().UTC()}
		n, err := r.Run(ctx, s.db)
		switch {
		case errors.Is(err, mongoagg.ErrTooLarge):
			errs = append(errs, err) // the others can still be
		case err != nil:
			return errors.Join(append(errs, err)...)
		}
		done(int64(n))
		if err := s.pace.wait(ctx, n); err != nil {
			return err
		}
	}
	return errors.Join(errs...)
}
