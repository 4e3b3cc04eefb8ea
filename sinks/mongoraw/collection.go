package mongoraw

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	driver "go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"

	"sluice/internal/crash"
	"sluice/internal/mongo"
	"sluice/internal/pipeline"
)

// collection is one that the sink writes to.
type collection struct {
	name    string
	capped  bool // made with a size, has no expiry
	indexes []mongo.Index
}

func capped() collection {
	return collection{name: cappedName, capped: true, indexes: sharedIndexes()}
}

// uptime is as raw, and expires like the collections of organisations: nothing else bounds it.
func uptime() collection {
	return collection{name: uptimeName, indexes: append(sharedIndexes(), expiry())}
}

func perOrg(name string) collection {
	return collection{name: name, indexes: orgIndexes()}
}

// maxReady bounds what is remembered. Forgetting costs some requests, which change nothing.
const maxReady = 4096

// recheck is how long a capped collection is taken for one. If it is dropped under way, the next insert makes a plain
// one, which grows without bound.
const recheck = 5 * time.Minute

// collections remembers which ones are there with their indexes.
type collections struct {
	mu   sync.Mutex
	seen map[string]time.Time
}

func (c *collections) has(k collection) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.seen[k.name]
	return ok && (!k.capped || time.Since(at) < recheck)
}

func (c *collections) add(k collection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil || len(c.seen) >= maxReady {
		c.seen = map[string]time.Time{}
	}
	c.seen[k.name] = time.Now()
}

// errNoCollection says that the server refuses the collection's name.
var errNoCollection = errors.New("the server refuses the collection's name")

// ensure sees that a collection is there, capped if it must be, with its indexes, or that they are being built. Streams
// that ask at the same time do the same thing twice, to the same end.
func (s *Sink) ensure(ctx context.Context, db *driver.Database, k collection) error {
	if s.ready.has(k) {
		return nil
	}
	if k.capped {
		if err := s.ensureCapped(ctx, db, k); err != nil {
			return err
		}
	}
	var missing *mongo.MissingIndexes
	switch err := s.ensureIndexes(ctx, db, k); {
	case errors.As(err, &missing): // records are not held up for the Dashboard's speed
		s.log.Error("records are written without indexes", "collection", k.name, "err", err)
	case err != nil:
		return err
	}
	s.ready.add(k)
	return nil
}

// atStart sees to a collection with a fixed name at the start, when an operator is there: what only one can cure is fatal.
func (s *Sink) atStart(ctx context.Context, db *driver.Database, k collection) error {
	if err := mongo.CheckRights(ctx, db, k.name, "find", "insert"); err != nil {
		return err
	}
	if k.capped {
		if err := s.ensureCapped(ctx, db, k); err != nil {
			return err
		}
	}
	var missing *mongo.MissingIndexes
	switch err := s.ensureIndexes(ctx, db, k); {
	case errors.As(err, &missing):
		return pipeline.Fatal(err)
	case err != nil:
		return err
	}
	s.ready.add(k)
	return mongo.RefuseUnique(ctx, db.Collection(k.name))
}

// found is what listCollections says of a collection.
type found struct {
	Type    string `bson:"type"`
	Options struct {
		Capped bool    `bson:"capped"`
		Size   float64 `bson:"size"` // as int or long, by who made it
	} `bson:"options"`
}

func describe(ctx context.Context, db *driver.Database, name string) (*found, error) {
	cursor, err := db.ListCollections(ctx, bson.D{{Key: "name", Value: name}})
	if err != nil {
		return nil, fmt.Errorf("look for collection %s: %w", name, mongo.Classify(err))
	}
	var all []found
	if err := cursor.All(ctx, &all); err != nil {
		return nil, fmt.Errorf("look for collection %s: %w", name, mongo.Classify(err))
	}
	if len(all) == 0 {
		return nil, nil
	}
	return &all[0], nil
}

func (s *Sink) ensureCapped(ctx context.Context, db *driver.Database, k collection) error {
	is, err := describe(ctx, db, k.name)
	if err != nil {
		return err
	}
	if is == nil {
		if err := s.createCapped(ctx, db, k.name); err != nil {
			return err
		}
		if is, err = describe(ctx, db, k.name); err != nil {
			return err
		}
		if is == nil || !is.Options.Capped { // some servers take the option and do not heed it
			return uncappable(k.name, errors.New("what it made is not capped"))
		}
	}
	if !is.Options.Capped {
		return pipeline.Fatal(fmt.Errorf("collection %s.%s is there but not capped, so it would grow without bound: convert it "+
			"(db.runCommand({convertToCapped: %q, size: %d}); indexes are made again), rename or drop it, or set layout: per-org",
			db.Name(), k.name, k.name, s.cfg.CappedSize))
	}
	if size := roundCapped(int64(s.cfg.CappedSize)); int64(is.Options.Size) != size {
		s.log.Info("the capped collection has another size than configured; it is left, retention can change it",
			"collection", k.name, "size", int64(is.Options.Size), "capped_size", int64(s.cfg.CappedSize))
	}
	return nil
}

// roundCapped is the size a server makes of one asked for: a multiple of 256 bytes.
func roundCapped(n int64) int64 { return (n + 255) &^ 255 }

func (s *Sink) createCapped(ctx context.Context, db *driver.Database, name string) error {
	crash.Before("mongo-raw/capped")
	err := db.CreateCollection(ctx, name, options.CreateCollection().SetCapped(true).SetSizeInBytes(int64(s.cfg.CappedSize)))
	crash.After("mongo-raw/capped")
	switch {
	case err == nil:
		s.log.Info("capped collection made", "collection", name, "size", s.cfg.CappedSize.String())
		return nil
	case mongo.Code(err) == mongo.CodeNamespaceExists: // another pump was faster
		return nil
	case mongo.Unsupported(mongo.Code(err)):
		return uncappable(name, err)
	}
	return fmt.Errorf("make capped collection %s: %w", name, mongo.Classify(err))
}

func uncappable(name string, why error) error {
	return pipeline.Fatal(fmt.Errorf("the server has no capped collections, which %s must be: set layout: per-org: %w", name, why))
}
