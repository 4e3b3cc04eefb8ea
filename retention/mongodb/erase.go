package mongodb

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/bson"

	"sluice/internal/crash"
	"sluice/internal/mongo"
	"sluice/retention/erase"
	"sluice/retention/plan"
)

// Eraser takes somebody's raw records out of a database, whatever the layout. It is for one goroutine.
type Eraser struct {
	*Raw
	Person *erase.Person
}

// whose is the filter of the person's records.
func (e *Eraser) whose() bson.D {
	p := e.Person
	f := bson.D{{Key: "apikey", Value: bson.D{{Key: "$ne", Value: erase.Nobody}}}}
	if len(p.Keys) > 0 {
		f = bson.D{{Key: "apikey", Value: bson.D{{Key: "$in", Value: p.Keys}}}}
	}
	if p.Org != "" {
		f = append(f, bson.E{Key: "orgid", Value: p.Org})
	}
	if len(p.APIs) > 0 {
		f = append(f, bson.E{Key: "apiid", Value: bson.D{{Key: "$in", Value: p.APIs}}})
	}
	return append(f, span(p.From, p.To)...)
}

func span(from, to time.Time) bson.D {
	at := bson.D{}
	if !from.IsZero() {
		at = append(at, bson.E{Key: "$gte", Value: from})
	}
	if !to.IsZero() {
		at = append(at, bson.E{Key: "$lt", Value: to})
	}
	if len(at) == 0 {
		return nil
	}
	return bson.D{{Key: "timestamp", Value: at}}
}

// Plan counts the person's records by collection.
func (e *Eraser) Plan(ctx context.Context) (out []plan.Action, err error) {
	names, err := e.db.ListCollectionNames(ctx, bson.D{{Key: "type", Value: "collection"}})
	if err != nil {
		return nil, fmt.Errorf("list collections: %w", mongo.Classify(err))
	}
	slices.Sort(names)
	for _, name := range names {
		if name != cappedName && !strings.HasPrefix(name, rawPrefix) || strings.HasPrefix(name, aggregatePrefix) {
			continue
		}
		n, err := e.db.Collection(name).CountDocuments(ctx, e.whose())
		if err != nil {
			return nil, fmt.Errorf("count documents of %s: %w", name, mongo.Classify(err))
		}
		if n == 0 {
			continue
		}
		a := plan.Action{Verb: e.Person.Verb(), Store: e.name, Kind: plan.Raw, Target: name, Records: n, Reason: e.Person.String()}
		if a.HeldBy, err = e.held(ctx, name); err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

// held tells which holds cover some of the person's records of a collection.
func (e *Eraser) held(ctx context.Context, name string) (out []string, err error) {
	for _, h := range e.Person.Holds {
		also := bson.A{e.whose(), span(h.From, h.To)}
		if also[1].(bson.D) == nil {
			also = also[:1]
		}
		if h.Org != "*" {
			also = append(also, bson.D{{Key: "orgid", Value: h.Org}})
		}
		n, err := e.db.Collection(name).CountDocuments(ctx, bson.D{{Key: "$and", Value: also}})
		if err != nil {
			return nil, fmt.Errorf("count documents of %s: %w", name, mongo.Classify(err))
		}
		if n > 0 {
			out = append(out, h.String())
		}
	}
	return out, nil
}

// free is the filter of the person's records that are on no hold.
func (e *Eraser) free() bson.D {
	var held bson.A
	for _, h := range e.Person.Holds {
		of := span(h.From, h.To)
		if h.Org != "*" {
			of = append(of, bson.E{Key: "orgid", Value: h.Org})
		}
		if len(of) == 0 {
			of = bson.D{{Key: "_id", Value: bson.D{{Key: "$exists", Value: true}}}} // everything
		}
		held = append(held, of)
	}
	if len(held) == 0 {
		return e.whose()
	}
	return append(e.whose(), bson.E{Key: "$nor", Value: held})
}

// Do does an action of a plan; to do it again changes nothing. What is on hold stays, also if it came after the plan.
func (e *Eraser) Do(ctx context.Context, a *plan.Action, done func(int64)) error {
	if err := e.do(ctx, a, done); err != nil {
		return err
	}
	held, err := e.held(ctx, a.Target)
	if err != nil {
		return err
	}
	return erase.NewHeldError(held)
}

func (e *Eraser) do(ctx context.Context, a *plan.Action, done func(int64)) error {
	coll := e.db.Collection(a.Target)
	if a.Verb == plan.Erase {
		return deleteAll(ctx, coll, e.free(), nil, &e.pace, done)
	}
	empty := bson.D{{Key: "apikey", Value: erase.Nobody}}
	for _, field := range []string{"alias", "oauthid", "ipaddress", "useragent", "rawrequest", "rawresponse"} {
		empty = append(empty, bson.E{Key: field, Value: ""})
	}
	change := bson.D{{Key: "$set", Value: empty}, {Key: "$unset", Value: bson.D{{Key: "geo.city", Value: ""}, {Key: "geo.location", Value: ""}}},
		{Key: "$pull", Value: bson.D{{Key: "tags", Value: bson.D{{Key: "$regex", Value: "^key-"}}}}}}
	crash.Before("erase/anonymise-documents")
	res, err := coll.UpdateMany(ctx, e.free(), change)
	crash.After("erase/anonymise-documents")
	if err != nil {
		return fmt.Errorf("anonymise documents of %s: %w", a.Target, mongo.Classify(err))
	}
	done(res.ModifiedCount)
	return nil
}
