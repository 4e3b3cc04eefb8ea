package mongoraw

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	types "go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
	driver "go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"

	"sluice/internal/deepaudit"
	"sluice/internal/mongo"
	"sluice/internal/record"
)

// Listing reads what the sink has stored, record by record; it changes nothing. Uptime records are not in it. Its methods
// are called one at a time.
type Listing struct {
	cfg Config
	db  *driver.Database
}

var _ deepaudit.Lister = (*Listing)(nil)

// OpenListing connects. The caller closes it.
func OpenListing(ctx context.Context, name string, c Config) (*Listing, error) {
	client, err := mongo.Connect(ctx, c.URI, "sluice "+name)
	if err != nil {
		return nil, err
	}
	return &Listing{cfg: c, db: client.Database(c.Database)}, nil
}

// Close disconnects.
func (l *Listing) Close(ctx context.Context) { mongo.Disconnect(ctx, l.db.Client()) }

// collections are those of the layout that are there.
func (l *Listing) collections(ctx context.Context) ([]string, error) {
	filter := types.D{{Key: "name", Value: cappedName}}
	if l.cfg.Layout == LayoutPerOrg {
		filter = types.D{{Key: "name", Value: types.D{{Key: "$regex", Value: "^" + orgPrefix}}}}
	}
	all, err := l.db.ListCollectionNames(ctx, filter)
	if err != nil {
		return nil, fmt.Errorf("list collections: %w", mongo.Classify(err))
	}
	names := all[:0]
	for _, n := range all {
		if !strings.HasPrefix(n, orgPrefix+aggregatePrefix) {
			names = append(names, n)
		}
	}
	return names, nil
}

// each calls do for every collection of the layout.
func (l *Listing) each(ctx context.Context, do func(*driver.Collection) error) error {
	names, err := l.collections(ctx)
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := do(l.db.Collection(n)); err != nil {
			return fmt.Errorf("read %s: %w", n, mongo.Classify(err))
		}
	}
	return nil
}

// idAt is the least _id of a second; of seconds that an ObjectID cannot hold, the nearest there is.
func idAt(t time.Time) primitive.ObjectID {
	var id primitive.ObjectID
	binary.BigEndian.PutUint32(id[:4], uint32(min(max(t.Unix(), 0), math.MaxUint32)))
	return id
}

// within are the documents with from <= second of the _id < to.
func within(from, to time.Time) types.D {
	span := types.D{{Key: "$gte", Value: idAt(from)}}
	switch {
	case to.IsZero():
	case to.Unix() > math.MaxUint32:
		span = append(span, types.E{Key: "$lte", Value: greatest})
	default:
		span = append(span, types.E{Key: "$lt", Value: idAt(to)})
	}
	return types.D{{Key: "_id", Value: span}}
}

// greatest and least are the bounds of what an ObjectID can be.
var (
	greatest = primitive.ObjectID{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}
	least    = primitive.ObjectID{}
)

var justID = types.D{{Key: "_id", Value: 1}}

// Hours finds the hours by going from one to the next in the index, so that it reads one entry of each.
func (l *Listing) Hours(ctx context.Context, from, to time.Time) ([]time.Time, error) {
	seen := map[time.Time]bool{}
	err := l.each(ctx, func(c *driver.Collection) error {
		for at := from; ; {
			var d struct {
				ID primitive.ObjectID `bson:"_id"`
			}
			err := c.FindOne(ctx, within(at, to), options.FindOne().SetSort(justID).SetProjection(justID)).Decode(&d)
			if errors.Is(err, driver.ErrNoDocuments) {
				return nil
			}
			if err != nil {
				return err
			}
			hour := d.ID.Timestamp().UTC().Truncate(time.Hour)
			seen[hour] = true
			if at = hour.Add(time.Hour); at.Unix() > math.MaxUint32 || !to.IsZero() && !at.Before(to) {
				return nil
			}
		}
	})
	out := make([]time.Time, 0, len(seen))
	for t := range seen {
		out = append(out, t)
	}
	return out, err
}

// held is a document as far as an audit wants to know it.
type held struct {
	ID   primitive.ObjectID `bson:"_id"`
	Org  string             `bson:"orgid"`
	API  string             `bson:"apiid"`
	Code int32              `bson:"responsecode"`
}

// Held reads along the index of _id, whose first bytes are the record's second.
func (l *Listing) Held(ctx context.Context, from, to time.Time, fields bool, do func(deepaudit.Held) error) error {
	projection := justID
	if fields {
		projection = types.D{{Key: "orgid", Value: 1}, {Key: "apiid", Value: 1}, {Key: "responsecode", Value: 1}}
	}
	if to.Unix() <= 0 || from.Unix() > math.MaxUint32 {
		return nil // no _id tells such times
	}
	return l.each(ctx, func(c *driver.Collection) error {
		cur, err := c.Find(ctx, within(from, to), options.Find().SetProjection(projection).SetSort(justID))
		if err != nil {
			return err
		}
		defer func() { _ = cur.Close(context.WithoutCancel(ctx)) }() // only read from
		for cur.Next(ctx) {
			var d held
			if err := cur.Decode(&d); err != nil {
				return err
			}
			h := deepaudit.Held{ID: record.ID(d.ID), Where: c.Name(), Org: d.Org, API: d.API, Code: d.Code}
			if err := do(h); err != nil {
				return err
			}
		}
		return cur.Err()
	})
}

// Has looks records up by their _id, in the collection of their organisation.
func (l *Listing) Has(ctx context.Context, sought []deepaudit.Sought) (map[record.ID]bool, error) {
	by := map[string]types.A{}
	for _, s := range sought {
		name := cappedName
		if l.cfg.Layout == LayoutPerOrg {
			var why string
			if name, why = orgCollection(l.db.Name(), s.Org); why != "" {
				continue
			}
		}
		by[name] = append(by[name], primitive.ObjectID(s.ID))
	}
	out := map[record.ID]bool{}
	for name, ids := range by {
		cur, err := l.db.Collection(name).Find(ctx, types.D{{Key: "_id", Value: types.D{{Key: "$in", Value: ids}}}}, options.Find().SetProjection(justID))
		if err != nil {
			return nil, fmt.Errorf("look for records in %s: %w", name, mongo.Classify(err))
		}
		var found []held
		if err := cur.All(ctx, &found); err != nil {
			return nil, fmt.Errorf("look for records in %s: %w", name, mongo.Classify(err))
		}
		for _, f := range found {
			out[record.ID(f.ID)] = true
		}
	}
	return out, nil
}

// maxOdd is how many documents without a record's ID are named of a collection.
const maxOdd = 1000

// Odd reads both ends of the index, where _ids of other types lie.
func (l *Listing) Odd(ctx context.Context, do func(where, key string)) error {
	return l.each(ctx, func(c *driver.Collection) error {
		for _, end := range []*options.FindOptions{
			options.Find().SetMax(types.D{{Key: "_id", Value: least}}),
			options.Find().SetMin(types.D{{Key: "_id", Value: greatest}}),
		} {
			cur, err := c.Find(ctx, types.D{}, end.SetHint(justID).SetProjection(justID).SetLimit(maxOdd))
			if err != nil {
				return err
			}
			var found []types.M
			if err := cur.All(ctx, &found); err != nil {
				return err
			}
			for _, f := range found {
				if _, ok := f["_id"].(primitive.ObjectID); !ok {
					do(c.Name(), fmt.Sprint(f["_id"]))
				}
			}
		}
		return nil
	})
}

// oldest is how many of the documents that were inserted first are looked at to see up to when a capped collection has
// overwritten records: they were inserted side by side, not in the order of their times.
const oldest = 1000

// Floor is the latest time among the oldest documents of a capped collection that is nearly full; one that is not has
// not overwritten anything.
func (l *Listing) Floor(ctx context.Context) (floor time.Time, err error) {
	if l.cfg.Layout != LayoutCapped {
		return floor, nil
	}
	var stats struct {
		Size    float64 `bson:"size"`
		MaxSize float64 `bson:"maxSize"`
		Each    float64 `bson:"avgObjSize"`
	}
	err = l.db.RunCommand(ctx, types.D{{Key: "collStats", Value: cappedName}}).Decode(&stats)
	switch {
	case err != nil:
		return floor, fmt.Errorf("read the size of %s: %w", cappedName, mongo.Classify(err))
	case stats.MaxSize == 0 || stats.Size+2*stats.Each < 0.9*stats.MaxSize:
		return floor, nil
	}
	cur, err := l.db.Collection(cappedName).Find(ctx, types.D{}, options.Find().SetSort(types.D{{Key: "$natural", Value: 1}}).SetLimit(oldest).SetProjection(justID))
	if err != nil {
		return floor, fmt.Errorf("read the oldest records: %w", mongo.Classify(err))
	}
	var found []struct {
		ID any `bson:"_id"`
	}
	if err := cur.All(ctx, &found); err != nil {
		return floor, fmt.Errorf("read the oldest records: %w", mongo.Classify(err))
	}
	for _, f := range found {
		if id, ok := f.ID.(primitive.ObjectID); ok && id.Timestamp().After(floor) {
			floor = id.Timestamp()
		}
	}
	return floor, nil
}

// Stores tells whether the sink stores a record at all: it leaves out MCP records and TCP reports, in the layout per-org also
// those without an organisation.
func (c Config) Stores(r *record.Record) bool {
	return stores(c.Layout, r)
}
