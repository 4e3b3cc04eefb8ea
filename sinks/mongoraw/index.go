package mongoraw

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	driver "go.mongodb.org/mongo-driver/mongo"

	"sluice/internal/crash"
	"sluice/internal/mongo"
)

func sharedIndexes() []mongo.Index {
	return []mongo.Index{
		mongo.Ascending("orgid"),
		mongo.Ascending("apiid"),
		{Name: "logBrowserIndex", Key: bson.D{{Key: "timestamp", Value: -1}, {Key: "orgid", Value: 1},
			{Key: "apiid", Value: 1}, {Key: "apikey", Value: 1}, {Key: "responsecode", Value: 1}}},
	}
}

func orgIndexes() []mongo.Index {
	return []mongo.Index{
		mongo.Ascending("apiid"),
		expiry(),
		{Name: "logBrowserIndex", Key: bson.D{{Key: "timestamp", Value: -1},
			{Key: "apiid", Value: 1}, {Key: "apikey", Value: 1}, {Key: "responsecode", Value: 1}}},
	}
}

func expiry() mongo.Index {
	x := mongo.Ascending("expireAt")
	x.Expires = true
	return x
}

// patience is how long a delivery waits for indexes. On an empty collection they take milliseconds; on a large one that
// somebody left without, minutes, and records need not wait for that.
const patience = 5 * time.Second

// ensureIndexes begins to make the indexes and waits for them for a while. The build goes on after that, since a client
// that hangs up may end it.
func (s *Sink) ensureIndexes(ctx context.Context, db *driver.Database, k collection) error {
	err := s.builds.Do(ctx, k.name, patience, func(life context.Context) error {
		return mongo.MakeIndexes(life, db, k.name, k.indexes, makeIndex, s.log)
	})
	switch {
	case errors.Is(err, mongo.ErrQueued): // said of one before it
		return nil
	case errors.Is(err, mongo.ErrBuilding):
		s.log.Warn("indexes are still being built, records are written meanwhile", "collection", k.name)
		return nil
	case mongo.Code(err) == mongo.CodeInvalidNamespace:
		return errNoCollection
	}
	return err
}

// MissingIndexes are the names of the indexes that the capped collection lacks.
func MissingIndexes(ctx context.Context, db *driver.Database) ([]string, error) {
	return mongo.Missing(ctx, db.Collection(cappedName), sharedIndexes())
}

// MakeIndexes makes the indexes of the capped collection that are not there, and waits for them.
func MakeIndexes(ctx context.Context, db *driver.Database, log *slog.Logger) error {
	return mongo.MakeIndexes(ctx, db, cappedName, sharedIndexes(), makeIndex, log)
}

func makeIndex(ctx context.Context, db *driver.Database, command bson.D) error {
	crash.Before("mongo-raw/index")
	err := db.RunCommand(ctx, command).Err()
	crash.After("mongo-raw/index")
	return err
}
