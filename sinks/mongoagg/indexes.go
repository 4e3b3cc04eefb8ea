package mongoagg

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	driver "go.mongodb.org/mongo-driver/mongo"

	"sluice/internal/crash"
	"sluice/internal/mongo"
)

// recheck is how long a collection's indexes are taken to be there: somebody may drop it under way.
const recheck = 10 * time.Minute

// dirtyIndex finds documents whose derived fields are behind. It is sparse, and the mark is taken away, so that it holds
// next to nothing.
const dirtyIndex = "sluice.dirty_1"

// indexSpecs are those of the incumbent, by their names, and ours.
func indexSpecs() []bson.D {
	index := func(field string, more ...bson.E) bson.D {
		return append(bson.D{{Key: "key", Value: bson.D{{Key: field, Value: 1}}}, {Key: "name", Value: field + "_1"},
			{Key: "background", Value: true}}, more...) // background: servers before 4.2 lock less, later ones ignore it
	}
	return []bson.D{index("expireAt", bson.E{Key: "expireAfterSeconds", Value: 0}), index("timestamp"), index("orgid"),
		index("sluice.dirty", bson.E{Key: "sparse", Value: true})}
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
	if s.ready.has(collection, s.now()) {
		return nil
	}
	if err := s.life.Err(); err != nil {
		return err
	}
	done := make(chan error, 1)
	s.tasks.Go(func() { done <- s.makeIndexes(s.life, db, collection) })
	wait := time.NewTimer(patience)
	defer wait.Stop()
	select {
	case err := <-done:
		if err != nil {
			return err
		}
	case <-wait.C:
		s.log.Warn("indexes are still being built, counters are written meanwhile", "collection", collection)
	case <-ctx.Done():
		return ctx.Err()
	}
	s.ready.set(collection, s.now())
	return nil
}

// makeIndexes makes each index that is not there, one by one: together, one that cannot be made would keep the others
// from being made. One that differs from what is there is logged; the Dashboard is slower for it, nothing is lost.
func (s *Sink) makeIndexes(ctx context.Context, db *driver.Database, collection string) error {
	for _, spec := range indexSpecs() {
		crash.Before("mongo-aggregate/index")
		err := db.RunCommand(ctx, bson.D{{Key: "createIndexes", Value: collection}, {Key: "indexes", Value: bson.A{spec}}}).Err()
		crash.After("mongo-aggregate/index")
		switch code := mongo.Code(err); {
		case err == nil:
		case code == 0 || code == mongo.CodeInvalidNamespace || mongo.Passing(code) || fatal(err):
			return fmt.Errorf("make an index of %s: %w", collection, mongo.Classify(err))
		default:
			s.log.Warn("an index could not be made", "collection", collection, "index", spec[1].Value, "err", err)
		}
	}
	return nil
}
