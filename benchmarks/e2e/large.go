package main

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo/options"

	"sluice/benchmarks/sample"
)

const (
	largeName = "aggregate, large document"
	// largePaths make a document of some 2 MB and more, with its lists.
	largePaths = 800
	largeSpan  = 20 * time.Second
	largeRate  = 500
)

// large measures what updates of a large aggregate document cost: first a backlog makes one of many paths, then a trickle
// touches ten of them. Bytes are those that mongod receives, reads and derived fields included.
func (b *bench) large(ctx context.Context) (result, error) {
	out := result{Name: largeName, Records: int(largeRate * largeSpan.Seconds())}
	if err := b.clean(ctx); err != nil {
		return out, err
	}
	u, missing, err := b.daemon(ctx, []string{"aggregate"}, nil, func(r *run, c *child) error {
		backlog := feed{rate: 1 << 20, lists: 1, options: sample.Options{Paths: largePaths, APIs: 1, Keys: 1, Orgs: 1}}
		if err := b.push(ctx, backlog, largePaths); err != nil {
			return err
		}
		if err := b.counted(ctx, largePaths); err != nil {
			return err
		}
		if err := pause(ctx, 8*time.Second); err != nil { // its derived fields are written
			return err
		}
		before, err := b.mongoTraffic(ctx)
		if err != nil {
			return err
		}
		began := c.cpu()
		few := feed{rate: largeRate, lists: 1, options: sample.Options{Paths: 10, APIs: 1, Keys: 1, Orgs: 1}}
		if err := b.push(ctx, few, out.Records); err != nil {
			return err
		}
		if err := b.counted(ctx, largePaths+out.Records); err != nil {
			return err
		}
		after, err := b.mongoTraffic(ctx)
		if err != nil {
			return err
		}
		out.CPU = (c.cpu() - began).Seconds()
		updates := float64(after.updates - before.updates)
		size, err := b.largest(ctx, r.database)
		out.Extra = map[string]float64{
			"document bytes": float64(size), "updates": updates,
			"bytes sent an update":   float64(after.bytes-before.bytes) / updates,
			"mongod CPU s an update": (after.cpu - before.cpu).Seconds() / updates,
		}
		return err
	})
	out.Wall, out.RSS, out.Missing = largeSpan.Seconds(), float64(u.rss)/(1<<20), missing
	return out, err
}

// counted returns when so many records of the list are in the aggregates.
func (b *bench) counted(ctx context.Context, n int) error {
	err := until(ctx, 2*time.Minute, func() (bool, error) {
		m, err := b.effective(ctx, list, "aggregate")
		return m >= n, err
	})
	if err != nil {
		return fmt.Errorf("%d records did not take effect: %w", n, err)
	}
	return nil
}

// traffic is what mongod has had so far.
type traffic struct {
	updates, bytes int64
	cpu            time.Duration
}

func (b *bench) mongoTraffic(ctx context.Context) (traffic, error) {
	var s struct {
		Opcounters struct {
			Update int64 `bson:"update"`
		} `bson:"opcounters"`
		Network struct {
			BytesIn int64 `bson:"bytesIn"`
		} `bson:"network"`
	}
	err := b.mongo.Database("admin").RunCommand(ctx, bson.D{{Key: "serverStatus", Value: 1}}).Decode(&s)
	return traffic{s.Opcounters.Update, s.Network.BytesIn, b.mongodCPU()}, err
}

// largest is the size of the largest aggregate document of a database.
func (b *bench) largest(ctx context.Context, database string) (size int, err error) {
	db := b.mongo.Database(database)
	names, err := db.ListCollectionNames(ctx, bson.D{})
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		cur, err := db.Collection(name).Find(ctx, bson.D{}, options.Find().SetBatchSize(1))
		if err != nil {
			return 0, err
		}
		for cur.Next(ctx) {
			size = max(size, len(cur.Current))
		}
		if err := cur.Close(ctx); err != nil {
			return 0, err
		}
	}
	return size, nil
}
