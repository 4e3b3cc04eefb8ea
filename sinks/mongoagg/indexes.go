package mongoagg

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	driver "go.mongodb.org/mongo-driver/mongo"

	"sluice/internal/crash"
	"sluice/internal/mongo"
	"sluice/internal/pipeline"
)

// recheck is how long a collection's indexes are taken to be there: somebody may drop it under way.
const recheck = 10 * time.Minute

// indexes are those of the incumbent, by their names, and ours.
func indexes() []mongo.Index {
	expiry := mongo.Ascending("expireAt")
	expiry.Expires = true
	return []mongo.Index{expiry, mongo.Ascending("timestamp"), mongo.Ascending("orgid"), dirtyIndex()}
}

// dirtyIndex finds documents whose derived fields are behind. It is sparse, and the mark is taken away, so that it holds
// next to nothing.
func dirtyIndex() mongo.Index {
	x := mongo.Ascending("sluice.dirty")
	x.Sparse = true
	return x
}

// collections remembers which collections' indexes were seen to.
type collections struct {
	mu sync.Mutex
	at map[string]time.Time
}

func (c *collections) has(name string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.at[name]
	return ok && now.Sub(at) < recheck
}

func (c *collections) set(name string, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at[name] = now
}

// prepareAll sees to the indexes of the documents' collections, some at a time.
func (f *flushing) prepareAll(ctx context.Context, docs []*document, failed map[*document]error) {
	var mu sync.Mutex
	byCollection(docs, func(collection string, ds []*document) {
		if err := f.prepare(ctx, f.db, collection); err != nil {
			mu.Lock()
			defer mu.Unlock()
			for _, d := range ds {
				failed[d] = err
			}
		}
	})
}

// patience is how long a flush waits for indexes. On a small collection they take milliseconds; on a large one that
// lacks one, minutes, and counters need not wait for that. The build goes on, since a client that hangs up may end it.
const patience = 5 * time.Second

func (s *Sink) prepare(ctx context.Context, db *driver.Database, collection string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.ready.has(collection, s.now()) {
		return nil
	}
	var missing *mongo.MissingIndexes
	switch err := s.makeIndexes(ctx, db, collection); {
	case errors.As(err, &missing): // counters are not held up for the Dashboard's speed
		s.log.Error("counters are written without indexes", "collection", collection, "err", err)
	case err != nil:
		return err
	}
	s.ready.set(collection, s.now())
	return nil
}

// atStart sees to a collection at the start, when an operator is there: what only one can cure is fatal.
func (s *Sink) atStart(ctx context.Context, db *driver.Database, collection string) error {
	if err := mongo.CheckRights(ctx, db, collection, "find", "insert", "update"); err != nil {
		return err
	}
	var missing *mongo.MissingIndexes
	switch err := s.makeIndexes(ctx, db, collection); {
	case errors.As(err, &missing):
		return pipeline.Fatal(err)
	case err != nil:
		return err
	}
	s.ready.set(collection, s.now())
	return mongo.RefuseUnique(ctx, db.Collection(collection))
}

// makeIndexes begins to make what is not there and waits for it for a while.
func (s *Sink) makeIndexes(ctx context.Context, db *driver.Database, collection string) error {
	err := s.builds.Do(ctx, collection, patience, func(life context.Context) error {
		return mongo.MakeIndexes(life, db, collection, indexes(), makeIndex, s.log)
	})
	switch {
	case errors.Is(err, mongo.ErrQueued): // said of one before it
		return nil
	case errors.Is(err, mongo.ErrBuilding):
		s.log.Warn("indexes are still being built, counters are written meanwhile", "collection", collection)
		return nil
	}
	return err
}

func makeIndex(ctx context.Context, db *driver.Database, command bson.D) error {
	crash.Before("mongo-aggregate/index")
	err := db.RunCommand(ctx, command).Err()
	crash.After("mongo-aggregate/index")
	return err
}
