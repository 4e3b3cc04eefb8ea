package mongo

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"go.mongodb.org/mongo-driver/bson"
	driver "go.mongodb.org/mongo-driver/mongo"
)

// Index is an index that a sink wants.
type Index struct {
	Name    string
	Key     bson.D
	Expires bool // documents vanish when the time in the key's field has passed
	Sparse  bool
}

// Ascending is an index on one field, under the name that MongoDB gives it.
func Ascending(field string) Index {
	return Index{Name: field + "_1", Key: bson.D{{Key: field, Value: 1}}}
}

// options are those of createIndexes beside the key.
func (x Index) options() bson.D {
	o := bson.D{{Key: "name", Value: x.Name}}
	if x.Expires {
		o = append(o, bson.E{Key: "expireAfterSeconds", Value: 0})
	}
	if x.Sparse {
		o = append(o, bson.E{Key: "sparse", Value: true})
	}
	return o
}

// createIndexes is the command that makes indexes: all or none. background spares servers before 4.2 a lock; later ones
// ignore it.
func createIndexes(collection string, want ...Index) bson.D {
	specs := make(bson.A, len(want))
	for i, x := range want {
		spec := append(bson.D{{Key: "key", Value: x.Key}}, x.options()...)
		specs[i] = append(spec, bson.E{Key: "background", Value: true})
	}
	return bson.D{{Key: "createIndexes", Value: collection}, {Key: "indexes", Value: specs}}
}

// shell is what an administrator types to make it.
func (x Index) shell(collection string) string {
	return fmt.Sprintf("db.getCollection(%q).createIndex(%s, %s)", collection, shellDocument(x.Key), shellDocument(x.options()))
}

func shellDocument(d bson.D) string {
	parts := make([]string, len(d))
	for i, e := range d {
		if s, ok := e.Value.(string); ok {
			parts[i] = fmt.Sprintf("%q: %q", e.Key, s)
			continue
		}
		parts[i] = fmt.Sprintf("%q: %v", e.Key, e.Value)
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// MissingIndexes says that the user may not create the indexes that a collection lacks. Records can be written all the
// same; the Dashboard is slower, and nothing expires without an expiry index.
type MissingIndexes struct {
	Database, Collection string
	Missing              []Index
}

func (m *MissingIndexes) Error() string {
	commands := make([]string, len(m.Missing))
	for i, x := range m.Missing {
		commands[i] = x.shell(m.Collection)
	}
	return fmt.Sprintf("%s.%s lacks indexes that the user may not create: grant it createIndex (deploy/mongodb/role.json), "+
		"or let an administrator run in %s: %s", m.Database, m.Collection, m.Database, strings.Join(commands, "; "))
}

// RunCommand runs a command in a database.
type RunCommand func(ctx context.Context, db *driver.Database, command bson.D) error

// MakeIndexes makes the indexes that are not there: all at once, which ten thousand new collections want, and each by itself when
// that is refused, so that one that cannot be made does not keep the others from being made. One that cannot be made, since another with that name or key is in the
// way, is logged with the cure. A *MissingIndexes error says that the user may not make what is missing; an error with
// CodeInvalidNamespace, that there can be no such collection. Others may pass.
func MakeIndexes(ctx context.Context, db *driver.Database, collection string, want []Index, make RunCommand, log *slog.Logger) error {
	if make(ctx, db, createIndexes(collection, want...)) == nil {
		return nil
	}
	var denied []Index
	for _, x := range want {
		err := make(ctx, db, createIndexes(collection, x))
		switch code := Code(err); {
		case err == nil:
		case code == codeUnauthorized:
			denied = append(denied, x)
		case code == 0 || code == CodeInvalidNamespace || Passing(code):
			return fmt.Errorf("make index %s of %s: %w", x.Name, collection, Classify(err))
		default:
			warnOf(ctx, db, collection, x, err, log)
		}
	}
	if len(denied) == 0 {
		return nil
	}
	there, err := Indexes(ctx, db.Collection(collection))
	if err != nil && Code(err) != codeUnauthorized && Code(err) != codeNamespaceNotFound {
		return err
	}
	missing := &MissingIndexes{Database: db.Name(), Collection: collection}
	for _, x := range denied {
		if !served(x, there) {
			missing.Missing = append(missing.Missing, x)
		}
	}
	if missing.Missing == nil {
		return nil
	}
	return missing
}

// warnOf says that an index could not be made, and what to do about it. An equal one under another name will do.
func warnOf(ctx context.Context, db *driver.Database, collection string, x Index, why error, log *slog.Logger) {
	there, err := Indexes(ctx, db.Collection(collection))
	if err == nil && served(x, there) {
		return
	}
	cure := "make it by hand: " + x.shell(collection)
	for _, f := range there {
		if f.Name == x.Name || f.sameKey(x.Key) {
			cure = fmt.Sprintf("an index that somebody made is in the way: db.getCollection(%q).dropIndex(%q), ours is made within minutes", collection, f.Name)
		}
	}
	log.Warn("an index could not be made, the Dashboard may be slow", "collection", collection, "index", x.Name, "err", why, "cure", cure)
}

// FoundIndex is an index as a server lists it.
type FoundIndex struct {
	Name    string   `bson:"name"`
	Key     bson.D   `bson:"key"`
	Unique  bool     `bson:"unique"`
	Sparse  bool     `bson:"sparse"`
	Expires *float64 `bson:"expireAfterSeconds"` // as int, long or double, by who made it
	Partial bson.Raw `bson:"partialFilterExpression"`
}

// Indexes lists the indexes of a collection; none if there is no such collection.
func Indexes(ctx context.Context, coll *driver.Collection) ([]FoundIndex, error) {
	cur, err := coll.Indexes().List(ctx)
	if Code(err) == codeNamespaceNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the indexes of %s: %w", coll.Name(), Classify(err))
	}
	var out []FoundIndex
	if err := cur.All(ctx, &out); err != nil {
		return nil, fmt.Errorf("list the indexes of %s: %w", coll.Name(), Classify(err))
	}
	return out, nil
}

// clashes tells whether documents can clash in it other than by _id.
func (f *FoundIndex) clashes() bool {
	return f.Unique && (len(f.Key) != 1 || f.Key[0].Key != "_id")
}

func (f *FoundIndex) sameKey(key bson.D) bool {
	if len(f.Key) != len(key) {
		return false
	}
	for i, e := range key {
		if f.Key[i].Key != e.Key || fmt.Sprint(f.Key[i].Value) != fmt.Sprint(e.Value) {
			return false
		}
	}
	return true
}

// served tells whether one of the indexes does what x is for.
func served(x Index, there []FoundIndex) bool {
	for i := range there {
		f := &there[i]
		expires := f.Expires != nil && *f.Expires == 0
		if f.sameKey(x.Key) && expires == x.Expires && (!f.Sparse || x.Sparse) && f.Partial == nil {
			return true
		}
	}
	return false
}

// Missing are the names of the wanted indexes that a collection has nothing equal to.
func Missing(ctx context.Context, coll *driver.Collection, want []Index) (names []string, err error) {
	there, err := Indexes(ctx, coll)
	if err != nil {
		return nil, err
	}
	for _, x := range want {
		if !served(x, there) {
			names = append(names, x.Name)
		}
	}
	return names, nil
}

// RefuseUnique is a fatal error if somebody has put a unique index on a collection: with it, records whose values are
// not unique could never be stored. A server that does not let its indexes be listed is taken at its best.
func RefuseUnique(ctx context.Context, coll *driver.Collection) error {
	there, err := Indexes(ctx, coll)
	if Code(err) == codeUnauthorized {
		return nil
	}
	if err != nil {
		return err
	}
	for i := range there {
		if f := &there[i]; f.clashes() {
			return Fatal(fmt.Errorf("%s.%s has a unique index %q on %s", coll.Database().Name(), coll.Name(), f.Name, shellDocument(f.Key)),
				fmt.Sprintf("it would refuse records: drop it with db.getCollection(%q).dropIndex(%q), or make it again without unique", coll.Name(), f.Name))
		}
	}
	return nil
}
