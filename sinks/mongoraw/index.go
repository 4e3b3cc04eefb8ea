package mongoraw

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	driver "go.mongodb.org/mongo-driver/mongo"

	"sluice/internal/crash"
	"sluice/internal/mongo"
)

// index is an index as createIndexes takes it.
type index struct {
	name    string
	key     bson.D
	expires bool // documents vanish when the time in the key's field has passed
}

func sharedIndexes() []index {
	return []index{
		{name: "orgid_1", key: bson.D{{Key: "orgid", Value: 1}}},
		{name: "apiid_1", key: bson.D{{Key: "apiid", Value: 1}}},
		{name: "logBrowserIndex", key: bson.D{{Key: "timestamp", Value: -1}, {Key: "orgid", Value: 1},
			{Key: "apiid", Value: 1}, {Key: "apikey", Value: 1}, {Key: "responsecode", Value: 1}}},
	}
}

func orgIndexes() []index {
	return []index{
		{name: "apiid_1", key: bson.D{{Key: "apiid", Value: 1}}},
		expiry(),
		{name: "logBrowserIndex", key: bson.D{{Key: "timestamp", Value: -1},
			{Key: "apiid", Value: 1}, {Key: "apikey", Value: 1}, {Key: "responsecode", Value: 1}}},
	}
}

func expiry() index {
	return index{name: "expireAt_1", key: bson.D{{Key: "expireAt", Value: 1}}, expires: true}
}

// command is the createIndexes command of one index: together, one that cannot be made would keep the others from being
// made. background spares servers before 4.2 a lock; later ones ignore it.
func (x index) command(collection string) bson.D {
	spec := bson.D{{Key: "key", Value: x.key}, {Key: "name", Value: x.name}, {Key: "background", Value: true}}
	if x.expires {
		spec = append(spec, bson.E{Key: "expireAfterSeconds", Value: 0})
	}
	return bson.D{{Key: "createIndexes", Value: collection}, {Key: "indexes", Value: bson.A{spec}}}
}

// patience is how long a delivery waits for indexes. On an empty collection they take milliseconds; on a large one that
// somebody left without, minutes, and records need not wait for that.
const patience = 5 * time.Second

// ensureIndexes begins to make the indexes and waits for them for a while. The build goes on after that, since a client
// that hangs up may end it.
func (s *Sink) ensureIndexes(ctx context.Context, db *driver.Database, k collection) error {
	if s.life.Err() != nil {
		return errNotOpen
	}
	done := make(chan error, 1)
	s.tasks.Go(func() { done <- s.makeIndexes(s.life, db, k) })
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		s.log.Warn("indexes are still being built, records are written meanwhile", "collection", k.name)
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// makeIndexes makes each index that is not there. One that differs from what is there, or that may not be made, is
// logged: the Dashboard is slower for it, no record is lost.
func (s *Sink) makeIndexes(ctx context.Context, db *driver.Database, k collection) error {
	for _, x := range k.indexes {
		crash.Before("mongo-raw/index")
		err := db.RunCommand(ctx, x.command(k.name)).Err()
		crash.After("mongo-raw/index")
		switch code := mongo.Code(err); {
		case err == nil:
		case code == mongo.CodeInvalidNamespace:
			return errNoCollection
		case code == 0 || mongo.Passing(code):
			return fmt.Errorf("make index %s of %s: %w", x.name, k.name, mongo.Classify(err))
		default:
			s.log.Warn("an index could not be made, the Dashboard may be slow", "collection", k.name, "index", x.name, "err", err)
		}
	}
	return nil
}
